//! `catalog.json` as a tenant brings it (contract, section 5): its shape only. What the types cannot say is
//! judged in `check`.

use crate::configuration::CharacteristicValue;
use crate::ids::OfferingId;
use crate::moment::Moment;
use crate::money::{Amount, Currency, Percent, Quantity};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Conditions by characteristic name, `termMonths`, `quantity` or `segment`; all must hold. An entry is a value
/// (equality) or an object of `eq, in, gt, gte, lt, lte`.
pub type When = BTreeMap<String, Value>;

/// A catalog version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogSource {
    pub catalog_version: String,
    pub offerings: Vec<Offering>,
    #[serde(default, deserialize_with = "or_default")]
    pub rules: Vec<Rule>,
    #[serde(default, deserialize_with = "or_default")]
    pub prices: Vec<PriceEntry>,
    #[serde(default, deserialize_with = "or_default")]
    pub adjustments: Vec<Adjustment>,
}

/// One version of something that is sold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offering {
    pub id: OfferingId,
    pub version: String,
    pub name: String,
    /// Segments that may see it; empty: all.
    #[serde(default, deserialize_with = "or_default")]
    pub segments: Vec<String>,
    pub sellable_from: Moment,
    #[serde(default)]
    pub sellable_to: Option<Moment>,
    pub tax_category: String,
    #[serde(default, deserialize_with = "or_default")]
    pub characteristics: Vec<Characteristic>,
    /// What may stand under it in a bundle.
    #[serde(default, deserialize_with = "or_default")]
    pub children: Vec<Child>,
    /// Fulfilment step types, in order.
    #[serde(default, deserialize_with = "or_default")]
    pub fulfilment: Vec<String>,
}

/// What kind of value a characteristic has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CharacteristicType {
    String,
    Integer,
    /// A plain decimal, as a JSON string.
    Decimal,
    Boolean,
    /// `YYYY-MM-DD`.
    Date,
}

/// A property of an offering that a line chooses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Characteristic {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: CharacteristicType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<CharacteristicValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<CharacteristicValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<CharacteristicValue>,
    /// A regular expression that the whole text matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<CharacteristicValue>,
    #[serde(default)]
    pub required: bool,
}

/// How many lines of an offering may stand under one line of another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Child {
    pub offering_id: OfferingId,
    #[serde(default)]
    pub min: u32,
    /// Without it: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RuleKind {
    Requires,
    Excludes,
}

/// Where a rule looks for its `then` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RuleScope {
    /// A line whose parent is the `if` line.
    Children,
    /// Another line with the same parent; none counts as the same.
    SameParent,
    /// Any other line.
    Quote,
}

/// Lines of an offering, with certain characteristics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleSide {
    pub offering_id: OfferingId,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, Object>))]
    pub characteristics: When,
}

/// What one line means for others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    pub id: String,
    pub kind: RuleKind,
    #[serde(rename = "if")]
    pub condition: RuleSide,
    pub then: RuleSide,
    pub scope: RuleScope,
}

/// What a price is for. The order is that of a price's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PriceKind {
    OneTime,
    /// Per month.
    Recurring,
    /// A rate: quoted, not summed.
    Usage,
}

impl PriceKind {
    /// All kinds, in the order of a price's lines.
    pub const ALL: [PriceKind; 3] = [PriceKind::OneTime, PriceKind::Recurring, PriceKind::Usage];
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OneTime => "ONE_TIME",
            Self::Recurring => "RECURRING",
            Self::Usage => "USAGE",
        }
    }
}

/// How an amount follows from a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PriceModel {
    Flat,
    PerUnit,
    /// Each unit at its own tier.
    Tiered,
    /// All units at the tier that the quantity reaches.
    Volume,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tier {
    /// The last quantity of the tier; without it: no end.
    pub up_to: Option<Quantity>,
    pub amount: Amount,
}

/// What an offering costs under a price list, in a currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceEntry {
    pub id: String,
    pub offering_id: OfferingId,
    /// Without it: every version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offering_version: Option<String>,
    pub price_list_id: String,
    pub currency: Currency,
    /// Without it: every segment.
    #[serde(default)]
    pub segment: Option<String>,
    pub kind: PriceKind,
    pub model: PriceModel,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub tiers: Vec<Tier>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_cost: Option<Amount>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, Object>))]
    pub when: When,
    pub valid_from: Moment,
    #[serde(default)]
    pub valid_to: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AdjustmentKind {
    Percent,
    AmountPerUnit,
    OverrideUnit,
}

/// Which prices an adjustment concerns; a missing key is no restriction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppliesTo {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offering_id: Option<OfferingId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offering_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_kind: Option<PriceKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_list_id: Option<String>,
}

/// A change of list prices by rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Adjustment {
    pub id: String,
    pub priority: i64,
    pub kind: AdjustmentKind,
    pub value: Percent,
    /// Of AMOUNT_PER_UNIT and OVERRIDE_UNIT: prices in other currencies are not concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    #[serde(default, deserialize_with = "or_default")]
    pub applies_to: AppliesTo,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, Object>))]
    pub when: When,
    pub valid_from: Moment,
    #[serde(default)]
    pub valid_to: Option<Moment>,
}

/// An explicit null is an absent value, as elsewhere in the file (`"segment": null`).
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
