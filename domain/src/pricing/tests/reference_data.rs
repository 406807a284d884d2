//! The tenants that come with the product can be imported and sell what they list.

use super::*;
use crate::reference::Approver;
use pretty_assertions::assert_eq;
use rstest::rstest;

struct Files {
    tenant: &'static str,
    customers: &'static str,
    approvers: &'static str,
    catalog: &'static str,
}

macro_rules! files {
    ($tenant:literal) => {
        Files {
            tenant: include_str!(concat!("../../../../deploy/reference-data/", $tenant, "/tenant.json")),
            customers: include_str!(concat!("../../../../deploy/reference-data/", $tenant, "/customers.json")),
            approvers: include_str!(concat!("../../../../deploy/reference-data/", $tenant, "/approvers.json")),
            catalog: include_str!(concat!("../../../../deploy/reference-data/", $tenant, "/catalog.json")),
        }
    };
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

#[rstest]
#[case("tenant-acme", files!("tenant-acme"))]
#[case("tenant-globex", files!("tenant-globex"))]
fn the_tenants_that_come_with_the_product_are_sound(#[case] id: &str, #[case] files: Files) {
    let tenant: Tenant = read(files.tenant);
    assert_eq!(tenant.tenant_id.as_str(), id);
    let source: CatalogSource = read(files.catalog);
    let catalog = Catalog::compile(source).unwrap();
    let customers: Vec<Customer> = read(files.customers);
    assert_eq!(customers.len(), 3);
    for customer in &customers {
        for offering in &catalog.source().offerings {
            let rate = tenant.tax_percent(&offering.tax_category, &customer.jurisdiction);
            assert!(rate.is_some(), "{} in {}", offering.tax_category, customer.jurisdiction);
        }
    }
    let approvers: Vec<Approver> = read(files.approvers);
    let levels: std::collections::BTreeSet<_> =
        approvers.iter().flat_map(|a| &a.roles).map(|level| level.as_str()).collect();
    assert_eq!(levels.into_iter().collect::<Vec<_>>(), ["FINANCE", "LEGAL", "SALES_DIRECTOR", "SALES_MANAGER"]);
    for offering in &catalog.source().offerings {
        for currency in ["USD", "EUR"] {
            let currency = Currency::parse(currency).unwrap();
            let priced = PriceKind::ALL
                .iter()
                .any(|kind| catalog.prices(&offering.id, "standard", currency, *kind).next().is_some());
            assert!(priced, "{} has no price in {currency}", offering.id);
        }
    }
}

#[test]
fn northwind_can_buy_a_gold_fiber_with_its_routers() {
    let files = files!("tenant-acme");
    let tenant: Tenant = read(files.tenant);
    let customers: Vec<Customer> = read(files.customers);
    let catalog = Catalog::compile(read::<CatalogSource>(files.catalog)).unwrap();
    let lines: Vec<LineRequest> = serde_json::from_value(json!([
        {"lineNumber": "1", "productOfferingId": "fiber-1g", "quantity": "2", "action": "ADD", "characteristics": {"sla": "GOLD", "site": "SFO-1"}},
        {"lineNumber": "1.1", "parentLineNumber": "1", "productOfferingId": "router-ha", "quantity": "2", "action": "ADD"}]))
    .unwrap();
    let at = Moment::parse("2026-11-23T00:00:00Z").unwrap();
    let configuration = configure(&catalog, &customers[0], at, &lines).unwrap();
    let (price, _) = price(&PricingInput {
        catalog: &catalog,
        tenant: &tenant,
        customer: &customers[0],
        price_list_id: "standard",
        currency: tenant.default_currency,
        term_months: 36,
        configuration: &configuration,
        pricing_date: at,
        request: &PricingRequest::default(),
    })
    .unwrap();
    // 2 × 499.00 less 10 % for three years, and 2 × 79.00; the installation is waived.
    assert_eq!(
        (price.one_time_amount.to_string(), price.recurring_monthly_amount.to_string()),
        ("0.00".into(), "1056.20".into())
    );
}
