//! Configuration: what a customer wants, checked against the catalog, as an immutable snapshot. `form` judges
//! what needs no catalog, `lines` each line by itself, `structure` the tree and the rules; `advice` says what
//! would do instead; prices are `pricing`'s.

mod advice;
mod form;
mod lines;
mod structure;

pub use advice::advise;
pub use form::check_form;

use crate::canonical;
use crate::catalog::Catalog;
use crate::ids::{AssetId, LineNumber, OfferingId};
use crate::moment::Moment;
use crate::money::Quantity;
use crate::reference::Customer;
use crate::rejection::{ErrorCode, FieldCode, FieldError, Rejection};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What a line does with a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LineAction {
    Add,
    /// Priced as a full new price.
    Change,
    Disconnect,
    NoChange,
}

impl LineAction {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Change => "CHANGE",
            Self::Disconnect => "DISCONNECT",
            Self::NoChange => "NO_CHANGE",
        }
    }
    /// Whether the line sells something, and so costs something.
    pub fn is_charged(self) -> bool {
        matches!(self, Self::Add | Self::Change)
    }
}

/// A characteristic's value. DECIMAL and DATE are texts whose type the catalog knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum CharacteristicValue {
    Boolean(bool),
    Integer(i64),
    Text(String),
}

impl fmt::Display for CharacteristicValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(flag) => flag.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Values by characteristic name.
pub type Characteristics = BTreeMap<String, CharacteristicValue>;

/// A line as a client asks for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineRequest {
    pub line_number: LineNumber,
    #[serde(default)]
    pub parent_line_number: Option<LineNumber>,
    pub product_offering_id: OfferingId,
    /// Without it: the newest version on sale.
    #[serde(default)]
    pub product_offering_version: Option<String>,
    /// Its own and absolute, also within a bundle.
    pub quantity: Quantity,
    pub action: LineAction,
    #[serde(default)]
    pub characteristics: BTreeMap<String, CharacteristicValue>,
    /// The installed product that CHANGE, DISCONNECT, NO_CHANGE act on.
    #[serde(default)]
    pub asset_id: Option<AssetId>,
    /// `YYYY-MM-DD`.
    #[serde(default)]
    pub requested_date: Option<String>,
}

/// A line of a valid configuration: everything that pricing and the order need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfiguredLine {
    pub line_number: LineNumber,
    pub parent_line_number: Option<LineNumber>,
    pub product_offering_id: OfferingId,
    pub product_offering_version: String,
    pub product_offering_name: String,
    pub quantity: Quantity,
    pub action: LineAction,
    /// With the defaults of what was not given.
    pub characteristics: BTreeMap<String, CharacteristicValue>,
    pub asset_id: Option<AssetId>,
    pub requested_date: Option<String>,
    pub tax_category: String,
    /// Fulfilment step types, in order.
    pub fulfilment: Vec<String>,
}

/// A valid configuration, with what it was judged by. Immutable: configuring again makes another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    pub catalog_version: String,
    pub segment: String,
    /// In the order of the request.
    pub lines: Vec<ConfiguredLine>,
    pub configuration_hash: String,
}

impl Configuration {
    /// The hash of what this configuration says; that of a stored one must be its `configuration_hash`.
    pub fn computed_hash(&self) -> String {
        canonical::hash(&(&self.catalog_version, &self.segment, &self.lines))
    }
}

/// Checks well-formed lines ([`check_form`]) against the catalog: a snapshot, or every fault at once.
pub fn configure(
    catalog: &Catalog,
    customer: &Customer,
    at: Moment,
    lines: &[LineRequest],
) -> Result<Configuration, Rejection> {
    let mut faults = Faults::default();
    let judge = lines::Judge { catalog, segment: &customer.segment, at };
    let resolved: Vec<_> = lines.iter().enumerate().map(|(i, line)| judge.line(i, line, &mut faults)).collect();
    structure::check(catalog, lines, &resolved, &mut faults);
    faults.refuse()?;
    let lines = resolved.into_iter().flatten().map(|resolved| resolved.line).collect();
    let mut configuration = Configuration {
        catalog_version: catalog.version().to_owned(),
        segment: customer.segment.clone(),
        lines,
        configuration_hash: String::new(),
    };
    configuration.configuration_hash = configuration.computed_hash();
    Ok(configuration)
}

/// What is wrong, by line.
#[derive(Default)]
struct Faults {
    errors: Vec<(usize, FieldError)>,
    /// Whether an offering is unknown, hidden or not on sale.
    hidden: bool,
}

impl Faults {
    /// A fault of a line; `field` is the pointer below it, or empty.
    fn add(&mut self, line: usize, field: &str, code: FieldCode, detail: impl Into<String>) {
        self.errors.push((line, FieldError::new(format!("/lines/{line}{field}"), code, detail)));
    }
    /// A line that a rule rules out.
    fn add_broken(&mut self, line: usize, rule: &str, detail: String) {
        let error = FieldError::new(format!("/lines/{line}"), FieldCode::Rule, detail).by_rule(rule);
        self.errors.push((line, error));
    }
    fn refuse(mut self) -> Result<(), Rejection> {
        if self.errors.is_empty() {
            return Ok(());
        }
        self.errors.sort_by_key(|(line, _)| *line);
        let (code, detail) = if self.hidden {
            (
                ErrorCode::OfferingNotVisible,
                "The configuration names an offering that this customer cannot buy: see errors.",
            )
        } else {
            (ErrorCode::ConfigurationInvalid, "The configuration is not valid: see errors.")
        };
        Err(Rejection::new(code, detail).with_errors(self.errors.into_iter().map(|(_, error)| error).collect()))
    }
}

#[cfg(test)]
mod tests;
