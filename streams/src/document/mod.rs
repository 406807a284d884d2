//! The proposal document: what goes into it, its templates, its page flow and the PDF bytes; and the role that
//! renders, stores and reports it.

pub mod input;
pub mod processor;
pub mod render;
mod source;
pub mod store;
pub mod template;

mod flow;
mod format;
mod paint;
mod sections;
mod table;
mod text;
mod tree;

pub use input::{ApprovalStepSummary, PriceTotals, RenderInput, RenderLine, canonical_json};
pub use processor::{Documents, Renderer, WAKE};
pub use render::{RenderError, render};
pub use store::ArtifactStore;
pub use template::{DEFAULT_TEMPLATE_ID, Template};

#[cfg(test)]
mod tests;
