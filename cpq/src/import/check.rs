//! What the types cannot say of a tenant, its customers and its approvers. Catalogs and policies check
//! themselves when they are compiled.

use super::fault::Fault;
use cpq_domain::reference::{Approver, Customer, Tenant};
use rust_decimal::Decimal;
use std::collections::HashSet;

/// The longest text of a reference data field.
const MAX_TEXT: usize = 256;
/// The most days that a price may stay fresh.
const MAX_PRICE_VALIDITY_DAYS: u32 = 3_660;
/// numeric(19,6): the first amount that does not fit.
const AMOUNT_LIMIT: Decimal = Decimal::from_parts(1_316_134_912, 2_328, 0, false, 0);

/// A tenant is the one that its folder is named by, and its tax rates are unambiguous.
pub fn tenant(file: &str, tenant: &Tenant, folder: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if tenant.tenant_id.as_str() != folder {
        let detail = format!("is '{}', but the folder is named '{folder}'; they must be the same", tenant.tenant_id);
        faults.push(Fault::new(file, "/tenantId", detail));
    }
    text(file, "/name".to_owned(), &tenant.name, &mut faults);
    if !(1..=MAX_PRICE_VALIDITY_DAYS).contains(&tenant.price_validity_days) {
        let detail = format!("must be from 1 to {MAX_PRICE_VALIDITY_DAYS}");
        faults.push(Fault::new(file, "/priceValidityDays", detail));
    }
    let mut seen = HashSet::new();
    for (index, rate) in tenant.tax_rates.iter().enumerate() {
        if !seen.insert((&rate.tax_category, &rate.jurisdiction)) {
            let detail = format!("a second rate for {} in {}", rate.tax_category, rate.jurisdiction);
            faults.push(Fault::new(file, format!("/taxRates/{index}"), detail));
        }
        text(file, format!("/taxRates/{index}/taxCategory"), &rate.tax_category, &mut faults);
        text(file, format!("/taxRates/{index}/jurisdiction"), &rate.jurisdiction, &mut faults);
        percent(file, format!("/taxRates/{index}/percent"), rate.percent.0, &mut faults);
    }
    faults
}

/// Each account is there once, with everything filled in.
pub fn customers(file: &str, customers: &[Customer]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = HashSet::new();
    for (index, customer) in customers.iter().enumerate() {
        if !seen.insert(&customer.customer_account_id) {
            let detail = format!("{} is there twice", customer.customer_account_id);
            faults.push(Fault::new(file, format!("/{index}/customerAccountId"), detail));
        }
        for (name, value) in [
            ("customerAccountId", customer.customer_account_id.as_str()),
            ("name", &customer.name),
            ("segment", &customer.segment),
            ("jurisdiction", &customer.jurisdiction),
            ("salesOwnerId", customer.sales_owner_id.as_str()),
        ] {
            text(file, format!("/{index}/{name}"), value, &mut faults);
        }
    }
    faults
}

/// Each authority has a role, limits and a time in which it holds.
pub fn approvers(file: &str, approvers: &[Approver]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, approver) in approvers.iter().enumerate() {
        text(file, format!("/{index}/actorId"), approver.actor_id.as_str(), &mut faults);
        if approver.roles.is_empty() {
            faults.push(Fault::new(file, format!("/{index}/roles"), "must name at least one role"));
        }
        percent(file, format!("/{index}/maxDiscountPercent"), approver.max_discount_percent.0, &mut faults);
        if !(Decimal::ZERO..AMOUNT_LIMIT).contains(&approver.max_total_amount.0) {
            let detail = "must be from 0 to 13 digits before the point";
            faults.push(Fault::new(file, format!("/{index}/maxTotalAmount"), detail));
        }
        if approver.valid_to.is_some_and(|to| to <= approver.valid_from) {
            faults.push(Fault::new(file, format!("/{index}/validTo"), "must be after validFrom"));
        }
    }
    faults
}

fn text(file: &str, pointer: String, value: &str, faults: &mut Vec<Fault>) {
    if value.trim().is_empty() || value.len() > MAX_TEXT || value.chars().any(char::is_control) {
        faults.push(Fault::new(
            file,
            pointer,
            format!("must be a text of 1 to {MAX_TEXT} bytes without control characters"),
        ));
    }
}

fn percent(file: &str, pointer: String, value: Decimal, faults: &mut Vec<Fault>) {
    if !(Decimal::ZERO..=Decimal::ONE_HUNDRED).contains(&value) {
        faults.push(Fault::new(file, pointer, "must be from 0 to 100"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn pointers(faults: Vec<Fault>) -> Vec<String> {
        faults.into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn the_limit_of_amounts_is_that_of_the_column() {
        assert_eq!(AMOUNT_LIMIT, Decimal::from(10_000_000_000_000_i64));
    }

    #[rstest]
    #[case(json!({}), &[])]
    #[case(json!({"tenantId": "other"}), &["/tenantId"])]
    #[case(json!({"name": " "}), &["/name"])]
    #[case(json!({"priceValidityDays": 0}), &["/priceValidityDays"])]
    #[case(json!({"taxRates": [{"taxCategory":"A","jurisdiction":"US","percent":"8"},{"taxCategory":"A","jurisdiction":"US","percent":"101"}]}),
        &["/taxRates/1", "/taxRates/1/percent"])]
    fn a_tenant_is_checked(#[case] change: Value, #[case] expected: &[&str]) {
        let mut document = json!({"tenantId": "t", "name": "T", "defaultCurrency": "USD", "taxRates": []});
        document.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let parsed: Tenant = serde_json::from_value(document).unwrap();
        assert_eq!(pointers(tenant("f", &parsed, "t")), expected);
    }

    #[test]
    fn an_account_is_there_once() {
        let one =
            json!({"customerAccountId": "a", "name": "A", "segment": "SMB", "jurisdiction": "US", "salesOwnerId": "s"});
        let parsed: Vec<Customer> = serde_json::from_value(json!([one, one])).unwrap();
        assert_eq!(pointers(customers("f", &parsed)), ["/1/customerAccountId"]);
    }

    #[rstest]
    #[case(json!({}), &[])]
    #[case(json!({"roles": []}), &["/0/roles"])]
    #[case(json!({"maxDiscountPercent": "100.01"}), &["/0/maxDiscountPercent"])]
    #[case(json!({"maxTotalAmount": "10000000000000"}), &["/0/maxTotalAmount"])]
    #[case(json!({"validTo": "2026-01-01T00:00:00Z"}), &["/0/validTo"])]
    fn an_authority_is_checked(#[case] change: Value, #[case] expected: &[&str]) {
        let mut document = json!({"actorId": "bob", "roles": ["SALES_MANAGER"], "maxDiscountPercent": "20", "maxTotalAmount": "250000",
            "currency": "USD", "validFrom": "2026-01-01T00:00:00Z", "validTo": null});
        document.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let parsed: Approver = serde_json::from_value(document).unwrap();
        assert_eq!(pointers(approvers("f", &[parsed])), expected);
    }
}
