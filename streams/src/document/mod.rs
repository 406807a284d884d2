//! The proposal document: what goes into it, its templates, its page flow and the PDF bytes.
//! Leaves fetching the quote, storing the artifact and reporting back to the document processor.

pub mod input;
pub mod render;
pub mod template;

mod flow;
mod format;
mod paint;
mod sections;
mod table;
mod text;
mod tree;

pub use input::{ApprovalStepSummary, PriceTotals, RenderInput, RenderLine, canonical_json};
pub use render::{RenderError, render};
pub use template::{DEFAULT_TEMPLATE_ID, Template};

#[cfg(test)]
mod tests;
