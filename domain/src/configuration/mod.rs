//! Configuration: what a customer wants, checked against the catalog, as an immutable snapshot.

use crate::canonical;
use crate::catalog::condition::{self, Typed};
use crate::catalog::{Catalog, Characteristic, CharacteristicType, Offering, RuleKind, RuleScope, RuleSide};
use crate::ids::{AssetId, LineNumber, OfferingId};
use crate::moment::Moment;
use crate::money::{Quantity, fits, parse_plain};
use crate::reference::Customer;
use crate::rejection::{ErrorCode, FieldCode, FieldError, Rejection};
use bigdecimal::BigDecimal;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LineAction {
    Add,
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
    pub fn is_charged(self) -> bool {
        matches!(self, Self::Add | Self::Change)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum CharacteristicValue {
    Boolean(bool),
    Integer(i64),
    Text(String),
}

/// A line's characteristics by name.
pub type Characteristics = BTreeMap<String, CharacteristicValue>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineRequest {
    pub line_number: LineNumber,
    #[serde(default)]
    pub parent_line_number: Option<LineNumber>,
    pub product_offering_id: OfferingId,
    #[serde(default)]
    pub product_offering_version: Option<String>,
    pub quantity: Quantity,
    pub action: LineAction,
    #[serde(default)]
    pub characteristics: BTreeMap<String, CharacteristicValue>,
    #[serde(default)]
    pub asset_id: Option<AssetId>,
    #[serde(default)]
    pub requested_date: Option<String>,
}

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
    pub characteristics: BTreeMap<String, CharacteristicValue>,
    pub asset_id: Option<AssetId>,
    pub requested_date: Option<String>,
    pub tax_category: String,
    pub fulfilment: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    pub catalog_version: String,
    pub segment: String,
    pub lines: Vec<ConfiguredLine>,
    pub configuration_hash: String,
}

/// What needs no catalog to judge.
pub fn check_form(lines: &[LineRequest]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = HashMap::new();
    for (i, line) in lines.iter().enumerate() {
        if seen.insert(&line.line_number, i).is_some() {
            errors.push(FieldError::new(
                format!("/lines/{i}/lineNumber"),
                FieldCode::NotAllowed,
                format!("line number {} is used twice", line.line_number),
            ));
        }
        if line.parent_line_number.as_ref() == Some(&line.line_number) {
            errors.push(FieldError::new(
                format!("/lines/{i}/parentLineNumber"),
                FieldCode::NotAllowed,
                "a line cannot be its own parent",
            ));
        }
        if line.quantity.0 <= Decimal::ZERO || !fits(line.quantity.0) {
            errors.push(FieldError::new(
                format!("/lines/{i}/quantity"),
                FieldCode::OutOfRange,
                "quantity must be above 0 with at most 13 digits before and 6 after the point",
            ));
        }
        match (line.action, &line.asset_id) {
            (LineAction::Change | LineAction::Disconnect, None) => errors.push(FieldError::new(
                format!("/lines/{i}/assetId"),
                FieldCode::Required,
                format!("{} names the installed product it acts on", line.action.as_str()),
            )),
            (LineAction::Add, Some(_)) => errors.push(FieldError::new(
                format!("/lines/{i}/assetId"),
                FieldCode::NotAllowed,
                "ADD acts on no installed product",
            )),
            _ => {}
        }
        if line.requested_date.as_deref().is_some_and(|d| !is_date(d)) {
            errors.push(FieldError::new(
                format!("/lines/{i}/requestedDate"),
                FieldCode::Pattern,
                "a date is YYYY-MM-DD",
            ));
        }
    }
    errors
}

fn is_date(text: &str) -> bool {
    time::Date::parse(text, time::macros::format_description!("[year]-[month]-[day]")).is_ok()
}

/// Checks the lines against the catalog: a snapshot, or every fault at once.
pub fn configure(
    catalog: &Catalog,
    customer: &Customer,
    at: Moment,
    lines: &[LineRequest],
) -> Result<Configuration, Rejection> {
    let index: HashMap<&LineNumber, usize> = lines.iter().enumerate().map(|(i, l)| (&l.line_number, i)).collect();
    let mut errors = Vec::new();
    let mut hidden = false;
    let mut resolved: Vec<Option<(&Offering, ConfiguredLine)>> = Vec::with_capacity(lines.len());
    for (i, line) in lines.iter().enumerate() {
        let offering = match &line.product_offering_version {
            None => catalog.newest_sellable(&line.product_offering_id, &customer.segment, at),
            Some(v) => catalog
                .offering(&line.product_offering_id, v)
                .filter(|o| o.is_visible(&customer.segment) && o.is_sellable(at)),
        };
        if let Some(parent) = line.parent_line_number.as_ref().filter(|p| !index.contains_key(p)) {
            errors.push(FieldError::new(
                format!("/lines/{i}/parentLineNumber"),
                FieldCode::UnknownReference,
                format!("there is no line {parent}"),
            ));
        }
        let Some(offering) = offering else {
            hidden = true;
            let field = if line.product_offering_version.is_some()
                && catalog.newest_sellable(&line.product_offering_id, &customer.segment, at).is_some()
            {
                "productOfferingVersion"
            } else {
                "productOfferingId"
            };
            errors.push(FieldError::new(
                format!("/lines/{i}/{field}"),
                FieldCode::UnknownReference,
                format!("offering {} is not on sale for this customer", line.product_offering_id),
            ));
            resolved.push(None);
            continue;
        };
        let characteristics = characteristics(i, offering, line, &mut errors);
        resolved.push(Some((
            offering,
            ConfiguredLine {
                line_number: line.line_number.clone(),
                parent_line_number: line.parent_line_number.clone(),
                product_offering_id: line.product_offering_id.clone(),
                product_offering_version: offering.version.clone(),
                product_offering_name: offering.name.clone(),
                quantity: line.quantity,
                action: line.action,
                characteristics,
                asset_id: line.asset_id.clone(),
                requested_date: line.requested_date.clone(),
                tax_category: offering.tax_category.clone(),
                fulfilment: offering.fulfilment.clone(),
            },
        )));
    }
    structure(catalog, lines, &index, &resolved, &mut errors);
    if lines.is_empty() {
        errors.push(FieldError::new("/lines", FieldCode::Required, "a configuration has at least one line"));
    }
    if !errors.is_empty() {
        let code = if hidden { ErrorCode::OfferingNotVisible } else { ErrorCode::ConfigurationInvalid };
        return Err(Rejection::new(code, "The configuration is not valid: see errors.").with_errors(errors));
    }
    let lines: Vec<ConfiguredLine> = resolved.into_iter().flatten().map(|(_, line)| line).collect();
    let configuration_hash = canonical::hash(&(catalog.version(), &customer.segment, &lines));
    Ok(Configuration {
        catalog_version: catalog.version().to_owned(),
        segment: customer.segment.clone(),
        lines,
        configuration_hash,
    })
}

fn characteristics(
    i: usize,
    offering: &Offering,
    line: &LineRequest,
    errors: &mut Vec<FieldError>,
) -> BTreeMap<String, CharacteristicValue> {
    let mut values = BTreeMap::new();
    for (name, value) in &line.characteristics {
        match offering.characteristics.iter().find(|c| c.name == *name) {
            None => errors.push(FieldError::new(
                pointer(i, name),
                FieldCode::UnknownField,
                format!("{} has no characteristic {name}", offering.id),
            )),
            Some(definition) => {
                if let Some((code, detail)) = fault(definition, value) {
                    errors.push(FieldError::new(pointer(i, name), code, detail));
                }
                values.insert(name.clone(), value.clone());
            }
        }
    }
    for definition in offering.characteristics.iter().filter(|c| !line.characteristics.contains_key(&c.name)) {
        match &definition.default {
            Some(value) => {
                values.insert(definition.name.clone(), value.clone());
            }
            None if definition.required && line.action != LineAction::Disconnect => errors.push(FieldError::new(
                pointer(i, &definition.name),
                FieldCode::Required,
                format!("{} needs {}", offering.id, definition.name),
            )),
            None => {}
        }
    }
    values
}

fn pointer(i: usize, name: &str) -> String {
    format!("/lines/{i}/characteristics/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A value with its declared type; `None` if it is of another.
pub fn typed(definition: &Characteristic, value: &CharacteristicValue) -> Option<Typed> {
    match (definition.kind, value) {
        (CharacteristicType::String, CharacteristicValue::Text(t)) => Some(Typed::Text(t.clone())),
        (CharacteristicType::Integer, CharacteristicValue::Integer(n)) => Some(Typed::Number(BigDecimal::from(*n))),
        (CharacteristicType::Decimal, CharacteristicValue::Text(t)) => {
            parse_plain(t).and_then(|_| BigDecimal::from_str(t).ok()).map(Typed::Number)
        }
        (CharacteristicType::Boolean, CharacteristicValue::Boolean(b)) => Some(Typed::Boolean(*b)),
        (CharacteristicType::Date, CharacteristicValue::Text(t)) => is_date(t).then(|| Typed::Date(t.clone())),
        _ => None,
    }
}

fn fault(definition: &Characteristic, value: &CharacteristicValue) -> Option<(FieldCode, String)> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let name = &definition.name;
    let Some(value) = typed(definition, value) else {
        return Some((FieldCode::WrongType, format!("{name} is of type {:?}", definition.kind)));
    };
    let against = |bound: &CharacteristicValue| condition::compare(&value, &condition::json(bound));
    if definition.allowed.as_ref().is_some_and(|all| !all.iter().any(|a| against(a) == Some(Equal))) {
        return Some((FieldCode::NotAllowed, format!("{name} is not one of the allowed values")));
    }
    let below = definition.min.as_ref().is_some_and(|min| against(min) == Some(Less));
    let above = definition.max.as_ref().is_some_and(|max| against(max) == Some(Greater));
    (below || above).then(|| (FieldCode::OutOfRange, format!("{name} is out of range")))
}

type Resolved<'a> = Option<(&'a Offering, ConfiguredLine)>;

/// Parents, cardinalities and rules.
fn structure(
    catalog: &Catalog,
    lines: &[LineRequest],
    index: &HashMap<&LineNumber, usize>,
    resolved: &[Resolved],
    errors: &mut Vec<FieldError>,
) {
    let mut children: HashMap<&LineNumber, Vec<usize>> = HashMap::new();
    for (i, line) in lines.iter().enumerate() {
        if let Some(parent) = &line.parent_line_number {
            children.entry(parent).or_default().push(i);
        }
    }
    let counts = |i: usize| lines[i].action != LineAction::Disconnect;
    for (i, line) in lines.iter().enumerate() {
        let Some((offering, configured)) = &resolved[i] else { continue };
        if let Some((parent, _)) =
            line.parent_line_number.as_ref().and_then(|p| index.get(p)).and_then(|p| resolved[*p].as_ref())
            && !parent.children.iter().any(|c| c.offering_id == line.product_offering_id)
        {
            errors.push(FieldError::new(
                format!("/lines/{i}/productOfferingId"),
                FieldCode::NotAllowed,
                format!("{} cannot stand under {}", line.product_offering_id, parent.id),
            ));
        }
        if line.action == LineAction::Disconnect {
            continue;
        }
        let own: &[usize] = children.get(&line.line_number).map(Vec::as_slice).unwrap_or_default();
        for child in &offering.children {
            let count =
                own.iter().filter(|c| counts(**c) && lines[**c].product_offering_id == child.offering_id).count()
                    as u32;
            if count < child.min || child.max.is_some_and(|max| count > max) {
                errors.push(FieldError::new(
                    format!("/lines/{i}"),
                    FieldCode::Cardinality,
                    format!(
                        "{} takes {} to {} of {}, not {count}",
                        offering.id,
                        child.min,
                        child.max.map_or("any number".into(), |m| m.to_string()),
                        child.offering_id
                    ),
                ));
            }
        }
        for rule in catalog.rules(&line.product_offering_id) {
            if !side_holds(&rule.condition, offering, configured) {
                continue;
            }
            let matches = |j: usize| {
                j != i && counts(j) && resolved[j].as_ref().is_some_and(|(o, l)| side_holds(&rule.then, o, l))
            };
            let met = match rule.scope {
                RuleScope::Children => own.iter().any(|j| matches(*j)),
                RuleScope::SameParent => {
                    (0..lines.len()).any(|j| lines[j].parent_line_number == line.parent_line_number && matches(j))
                }
                RuleScope::Quote => (0..lines.len()).any(matches),
            };
            if met == (rule.kind == RuleKind::Excludes) {
                errors.push(FieldError::new(
                    format!("/lines/{i}"),
                    FieldCode::Rule,
                    format!(
                        "rule {}: {} {} {}",
                        rule.id,
                        rule.condition.offering_id,
                        if met { "excludes" } else { "requires" },
                        rule.then.offering_id
                    ),
                ));
            }
        }
    }
    for (i, line) in lines.iter().enumerate() {
        let mut steps = 0;
        let mut at = line.parent_line_number.as_ref();
        while let Some(parent) = at {
            steps += 1;
            if steps > lines.len() {
                errors.push(FieldError::new(
                    format!("/lines/{i}/parentLineNumber"),
                    FieldCode::NotAllowed,
                    "the parents of this line form a circle",
                ));
                break;
            }
            at = index.get(parent).and_then(|p| lines[*p].parent_line_number.as_ref());
        }
    }
}

fn side_holds(side: &RuleSide, offering: &Offering, line: &ConfiguredLine) -> bool {
    side.offering_id == line.product_offering_id
        && condition::holds(&side.characteristics, &|name| characteristic(offering, line, name))
}

/// A line's characteristic with its declared type.
pub fn characteristic(offering: &Offering, line: &ConfiguredLine, name: &str) -> Option<Typed> {
    let definition = offering.characteristics.iter().find(|c| c.name == name)?;
    typed(definition, line.characteristics.get(name)?)
}
