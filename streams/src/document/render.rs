//! `render`: one pure function from a proposal's input to the bytes of its PDF. No clock, no random, no I/O: the same
//! input gives the same bytes. Leaves storing them to the document processor.

use thiserror::Error;

use super::flow::{Flow, Mark, Running};
use super::input::RenderInput;
use super::paint::{Properties, paint};
use super::sections;
use super::template::Template;
use super::text::Fonts;

/// The most lines that one proposal shows: far over what fits a request of 1 MiB.
pub const MAX_LINES: usize = 10_000;

/// Why an input cannot be rendered. All but the last three name a fault of the input, which no retry mends.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RenderError {
    /// The registry has no such template.
    #[error("no template {id:?} version {version:?}")]
    UnknownTemplate {
        /// The id asked for.
        id: String,
        /// The version asked for.
        version: String,
    },
    /// More lines than [`MAX_LINES`].
    #[error("{0} lines are more than the {MAX_LINES} that a proposal may have")]
    TooManyLines(usize),
    /// Two lines have one number.
    #[error("line {0:?} occurs twice")]
    DuplicateLine(String),
    /// A parent is not among the lines.
    #[error("line {line:?} names the parent {parent:?}, which is not a line of the quote")]
    UnknownParent {
        /// The child.
        line: String,
        /// The parent it names.
        parent: String,
    },
    /// Lines are each other's parents.
    #[error("line {0:?} is its own ancestor")]
    LineCycle(String),
    /// An amount or quantity that is none.
    #[error("{field} is not a decimal in plain notation: {value:?}")]
    NotADecimal {
        /// The input's field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// An instant that is none.
    #[error("{field} is not an RFC 3339 instant: {value:?}")]
    NotAnInstant {
        /// The input's field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// The input has no JSON form.
    #[error("the input cannot be written as JSON: {0}")]
    Json(String),
    /// The built-in typeface cannot be read.
    #[error("the built-in typeface cannot be read")]
    Typeface,
    /// A template's measures make no shape.
    #[error("the template's measures make no shape")]
    Geometry,
    /// The PDF library refused.
    #[error("the PDF cannot be written: {0}")]
    Pdf(String),
}

/// Renders a proposal to PDF.
pub fn render(input: &RenderInput) -> Result<Vec<u8>, RenderError> {
    let template = Template::find(&input.template_id, &input.template_version).ok_or_else(|| {
        RenderError::UnknownTemplate { id: input.template_id.clone(), version: input.template_version.clone() }
    })?;
    if input.lines.len() > MAX_LINES {
        return Err(RenderError::TooManyLines(input.lines.len()));
    }
    let input_hash = input.input_hash().map_err(|error| RenderError::Json(error.to_string()))?;

    let fonts = Fonts::load()?;
    let pages = lay_out(input, template, &fonts, &input_hash)?;
    let properties = Properties {
        title: format!("Proposal {} revision {}", input.quote_id, input.quote_revision),
        author: input.tenant_name.clone(),
        input_hash,
    };
    paint(template, &fonts, pages, properties)
}

/// Every mark of every page.
pub(super) fn lay_out(
    input: &RenderInput,
    template: &'static Template,
    fonts: &Fonts,
    input_hash: &str,
) -> Result<Vec<Vec<Mark>>, RenderError> {
    let mut flow = Flow::new(fonts, template);
    sections::write(&mut flow, input)?;
    let running = Running {
        head: format!("{} · Proposal {} for {}", input.tenant_name, input.quote_id, input.customer_name),
        foot: format!(
            "{} · Revision {} · Template {} version {}",
            input.quote_id, input.quote_revision, template.id, template.version
        ),
        input_hash: input_hash.to_owned(),
    };
    Ok(flow.finish(&running))
}
