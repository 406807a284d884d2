//! What a proposal is rendered from, its canonical JSON and the hash that the PDF prints.
//! Leaves where the values come from to the document processor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Everything that a proposal shows. Two equal inputs give the same bytes; amounts and quantities are decimals in
/// plain notation, instants are RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenderInput {
    /// The template, see [`crate::document::Template::find`].
    pub template_id: String,
    /// The template's version: the look is frozen under it.
    pub template_version: String,
    /// The selling tenant.
    pub tenant_id: String,
    /// The tenant's name as customers know it.
    pub tenant_name: String,
    /// The quote.
    pub quote_id: String,
    /// The approved revision that is offered.
    pub quote_revision: u64,
    /// The customer's account.
    pub customer_account_id: String,
    /// The customer's name.
    pub customer_name: String,
    /// Who owns the quote in sales.
    pub sales_owner_id: String,
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// Length of the contract.
    pub term_months: u32,
    /// Until when the customer may accept; `None` if the quote names no end.
    pub valid_until: Option<String>,
    /// The lines in the quote's order; children may stand anywhere, they are shown under their parent.
    pub lines: Vec<RenderLine>,
    /// The totals.
    pub totals: PriceTotals,
    /// Who approved and when; empty if policy needed nobody.
    pub approval_steps: Vec<ApprovalStepSummary>,
}

/// One line of the quote with its net amounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenderLine {
    /// The line's number.
    pub line_number: String,
    /// The line that this one belongs to; `None` for a top line.
    pub parent_line_number: Option<String>,
    /// The offering.
    pub product_offering_id: String,
    /// The offering's version.
    pub product_offering_version: String,
    /// The offering's name.
    pub product_offering_name: String,
    /// How many.
    pub quantity: String,
    /// ADD, CHANGE, DISCONNECT or NO_CHANGE.
    pub action: String,
    /// The configured characteristics, as they are to be read.
    pub characteristics: BTreeMap<String, String>,
    /// Net one-time amount; `None` if the line has no such price.
    pub one_time_amount: Option<String>,
    /// Net amount a month; `None` if the line has no such price.
    pub recurring_monthly_amount: Option<String>,
    /// Usage rate per unit; `None` if the line has no such price.
    pub unit_rate: Option<String>,
}

/// The quote's totals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceTotals {
    /// Before adjustments and discounts.
    pub list_amount: String,
    /// List less total.
    pub discount_amount: String,
    /// Discount in percent of the list amount.
    pub effective_discount_percent: String,
    /// Sum of the one-time amounts.
    pub one_time_amount: String,
    /// Sum of the monthly amounts.
    pub recurring_monthly_amount: String,
    /// One-time plus monthly times the term.
    pub total_amount: String,
    /// Tax over the whole term.
    pub tax_amount: String,
    /// Total and tax.
    pub total_with_tax: String,
}

/// One decided approval step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalStepSummary {
    /// The level that had to approve, such as `SALES_MANAGER`.
    pub level: String,
    /// How the step ended, such as `APPROVED`.
    pub status: String,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<String>,
}

impl RenderInput {
    /// `sha256:` and the hex SHA-256 of the input's canonical JSON: the link between the PDF and what it rests on.
    pub fn input_hash(&self) -> Result<String, serde_json::Error> {
        let canonical = canonical_json(&serde_json::to_value(self)?);
        Ok(format!("sha256:{}", hex::encode(Sha256::digest(canonical.as_bytes()))))
    }
}

/// JSON with object keys sorted by code point and no whitespace, so that equal values have equal bytes.
pub fn canonical_json(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            let parts: Vec<String> = sorted
                .into_iter()
                .map(|(key, member)| format!("{}:{}", Value::String(key.clone()), canonical_json(member)))
                .collect();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => {
            let parts: Vec<String> = items.iter().map(canonical_json).collect();
            format!("[{}]", parts.join(","))
        }
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::canonical_json;

    #[test]
    fn canonical_json_sorts_keys_at_every_depth_and_has_no_whitespace() {
        let value = json!({"b": [{"z": 1, "a": "x y"}], "a": null, "B": true});
        assert_eq!(canonical_json(&value), r#"{"B":true,"a":null,"b":[{"a":"x y","z":1}]}"#);
    }
}
