//! Reference data that a tenant brings: itself, its customers, its approvers (the contract's section 5 files).

use crate::approval::ApprovalLevel;
use crate::ids::{ActorId, CustomerAccountId, TenantId};
use crate::moment::Moment;
use crate::money::{Amount, Currency, Percent};
use serde::{Deserialize, Serialize};

fn yes() -> bool {
    true
}
fn thirty() -> u32 {
    30
}

/// A seller, with what its quotes are judged by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tenant {
    pub tenant_id: TenantId,
    pub name: String,
    pub default_currency: Currency,
    pub tax_rates: Vec<TaxRate>,
    /// Whether requester and owner are barred from approving.
    #[serde(default = "yes")]
    pub four_eyes: bool,
    /// How long a price stays fresh.
    #[serde(default = "thirty")]
    pub price_validity_days: u32,
}
/// The tax on one category of offerings in one jurisdiction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaxRate {
    pub tax_category: String,
    pub jurisdiction: String,
    pub percent: Percent,
}
/// An account that is quoted to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Customer {
    pub customer_account_id: CustomerAccountId,
    pub name: String,
    pub segment: String,
    pub jurisdiction: String,
    pub sales_owner_id: ActorId,
}
/// What an actor may approve, and when: one entry per currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approver {
    pub actor_id: ActorId,
    pub roles: Vec<ApprovalLevel>,
    pub max_discount_percent: Percent,
    pub max_total_amount: Amount,
    pub currency: Currency,
    pub valid_from: Moment,
    pub valid_to: Option<Moment>,
}
impl Tenant {
    /// The rate for that category in that jurisdiction; `None` if the tenant has none.
    pub fn tax_percent(&self, category: &str, jurisdiction: &str) -> Option<Percent> {
        self.tax_rates.iter().find(|r| r.tax_category == category && r.jurisdiction == jurisdiction).map(|r| r.percent)
    }
}
