//! `catalog.json` as a tenant brings it (contract, section 5).

use crate::configuration::CharacteristicValue;
use crate::ids::OfferingId;
use crate::moment::Moment;
use crate::money::{Amount, Currency, Percent, Quantity};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Conditions by characteristic name, `termMonths`, `quantity` or `segment`; all must hold. An entry is a value
/// (equality) or an object of `eq, in, gt, gte, lt, lte`.
pub type When = BTreeMap<String, Value>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogSource {
    pub catalog_version: String,
    pub offerings: Vec<Offering>,
    #[serde(default)]
    pub rules: Vec<Rule>,
    #[serde(default)]
    pub prices: Vec<PriceEntry>,
    #[serde(default)]
    pub adjustments: Vec<Adjustment>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offering {
    pub id: OfferingId,
    pub version: String,
    pub name: String,
    /// Segments that may see it; empty: all.
    #[serde(default)]
    pub segments: Vec<String>,
    pub sellable_from: Moment,
    #[serde(default)]
    pub sellable_to: Option<Moment>,
    pub tax_category: String,
    #[serde(default)]
    pub characteristics: Vec<Characteristic>,
    #[serde(default)]
    pub children: Vec<Child>,
    /// Fulfilment step types, in order.
    #[serde(default)]
    pub fulfilment: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CharacteristicType {
    String,
    Integer,
    Decimal,
    Boolean,
    Date,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<CharacteristicValue>,
    #[serde(default)]
    pub required: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Child {
    pub offering_id: OfferingId,
    #[serde(default)]
    pub min: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RuleKind {
    Requires,
    Excludes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RuleScope {
    Children,
    SameParent,
    Quote,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleSide {
    pub offering_id: OfferingId,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub characteristics: When,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    pub id: String,
    pub kind: RuleKind,
    #[serde(rename = "if")]
    pub condition: RuleSide,
    pub then: RuleSide,
    pub scope: RuleScope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PriceKind {
    OneTime,
    Recurring,
    Usage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PriceModel {
    Flat,
    PerUnit,
    Tiered,
    Volume,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tier {
    pub up_to: Option<Quantity>,
    pub amount: Amount,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceEntry {
    pub id: String,
    pub offering_id: OfferingId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offering_version: Option<String>,
    pub price_list_id: String,
    pub currency: Currency,
    #[serde(default)]
    pub segment: Option<String>,
    pub kind: PriceKind,
    pub model: PriceModel,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_cost: Option<Amount>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub when: When,
    pub valid_from: Moment,
    #[serde(default)]
    pub valid_to: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AdjustmentKind {
    Percent,
    AmountPerUnit,
    OverrideUnit,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Adjustment {
    pub id: String,
    pub priority: i64,
    pub kind: AdjustmentKind,
    pub value: Percent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    #[serde(default)]
    pub applies_to: AppliesTo,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub when: When,
    pub valid_from: Moment,
    #[serde(default)]
    pub valid_to: Option<Moment>,
}
