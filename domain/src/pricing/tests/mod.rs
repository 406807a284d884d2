//! Prices: by rule, by property, replayed from their traces, and refused. Here is the deal that they vary.

mod edges;
mod faults;
mod properties;
mod reference_data;
mod replay;
mod rules;
mod windows;

use super::*;
use crate::catalog::CatalogSource;
use crate::configuration::{LineRequest, check_form as check_lines, configure};
use serde_json::{Value, json};

const JANUARY: &str = "2026-01-01T00:00:00Z";

/// A deal to be priced. Starts as nothing of anything; each test names only what it is about.
#[derive(Debug)]
struct Deal {
    catalog: Value,
    lines: Value,
    request: Value,
    tenant: Value,
    currency: &'static str,
    price_list: &'static str,
    segment: &'static str,
    term: u32,
    at: &'static str,
}

impl Deal {
    /// Offering `o` with these prices, one unit of it. Its characteristics: `sla`, `ips`, `speed`, `managed`, `start`.
    fn of(prices: Value) -> Self {
        let offering = |id: &str, version: &str, category: &str| {
            json!({"id": id, "version": version, "name": id, "sellableFrom": JANUARY, "taxCategory": category,
                "characteristics": [{"name": "sla", "type": "STRING", "default": "BRONZE"}, {"name": "ips", "type": "INTEGER"},
                    {"name": "speed", "type": "DECIMAL"}, {"name": "managed", "type": "BOOLEAN"}, {"name": "start", "type": "DATE"}]})
        };
        let offerings = json!([
            offering("o", "1", "STANDARD"),
            offering("o", "2", "STANDARD"),
            offering("free", "1", "STANDARD"),
            offering("untaxed", "1", "NONE")
        ]);
        Self {
            catalog: json!({"catalogVersion": "c1", "offerings": offerings, "prices": prices, "adjustments": []}),
            lines: json!([line("1", "o", json!({}))]),
            request: json!({}),
            tenant: json!({"tenantId": "t", "name": "T", "defaultCurrency": "USD",
                "taxRates": [{"taxCategory": "STANDARD", "jurisdiction": "US-CA", "percent": "8.25"}]}),
            currency: "USD",
            price_list: "standard",
            segment: "SMB",
            term: 1,
            at: "2026-06-01T00:00:00Z",
        }
    }
    fn adjusted(mut self, adjustments: Value) -> Self {
        self.catalog["adjustments"] = adjustments;
        self
    }
    fn lines(mut self, lines: Value) -> Self {
        self.lines = lines;
        self
    }
    fn quantity(self, quantity: &str) -> Self {
        self.lines(json!([line("1", "o", json!({"quantity": quantity}))]))
    }
    fn asking(mut self, request: Value) -> Self {
        self.request = request;
        self
    }
    fn term(mut self, months: u32) -> Self {
        self.term = months;
        self
    }
    fn currency(mut self, currency: &'static str) -> Self {
        self.currency = currency;
        self
    }
    fn at(mut self, at: &'static str) -> Self {
        self.at = at;
        self
    }

    /// Configures and prices. Whatever comes out survives its JSON and replays.
    fn try_price(&self) -> Result<(Price, PriceTrace), Rejection> {
        let catalog = serde_json::from_value::<CatalogSource>(self.catalog.clone()).unwrap();
        let catalog = Catalog::compile(catalog).unwrap();
        let tenant: Tenant = serde_json::from_value(self.tenant.clone()).unwrap();
        let customer: Customer =
            serde_json::from_value(json!({"customerAccountId": "acct-1", "name": "N", "segment": self.segment,
            "jurisdiction": "US-CA", "salesOwnerId": "alice"}))
            .unwrap();
        let lines: Vec<LineRequest> = serde_json::from_value(self.lines.clone()).unwrap();
        assert_eq!(check_lines(&lines), []);
        let at = Moment::parse(self.at).unwrap();
        let configured_at = Moment::parse("2026-06-01T00:00:00Z").unwrap();
        let configuration = configure(&catalog, &customer, configured_at, &lines).unwrap();
        let request: PricingRequest = serde_json::from_value(self.request.clone()).unwrap();
        let input = |pricing_date: Moment| PricingInput {
            catalog: &catalog,
            tenant: &tenant,
            customer: &customer,
            price_list_id: self.price_list,
            currency: Currency::parse(self.currency).unwrap(),
            term_months: self.term,
            configuration: &configuration,
            pricing_date,
            request: &request,
        };
        let (price, trace) = price(&input(at))?;
        let window = Window::of(&input(at));
        assert!(window.holds(at), "{window:?}");
        for edge in [window.from, window.to.map(just_before)].into_iter().flatten() {
            assert_eq!(super::price(&input(edge)).unwrap().0, price, "a price is the same in all of its window");
        }
        let again: PriceTrace = serde_json::from_str(&crate::canonical::to_string(&trace)).unwrap();
        assert_eq!(again, trace, "a trace survives its JSON");
        assert_eq!(replay(&again).unwrap(), price, "a trace replays to the last digit");
        let same: Price = serde_json::from_str(&crate::canonical::to_string(&price)).unwrap();
        assert_eq!(
            crate::canonical::to_string(&same),
            crate::canonical::to_string(&price),
            "a price survives its JSON"
        );
        Ok((price, trace))
    }
    fn price(&self) -> Price {
        self.try_price().unwrap().0
    }
    fn trace(&self) -> PriceTrace {
        self.try_price().unwrap().1
    }
    /// Code of the refusal, and its faults.
    fn refused(&self) -> (ErrorCode, Vec<(String, FieldCode)>) {
        let rejection = self.try_price().expect_err("it has a price");
        (rejection.code, rejection.errors.into_iter().map(|error| (error.pointer, error.code)).collect())
    }
    /// List and net amount of the only priced line.
    fn amounts(&self) -> (String, String) {
        let price = self.price();
        let [line] = price.lines.as_slice() else { panic!("not one line: {price:?}") };
        (line.list_amount.to_string(), line.net_amount.to_string())
    }
}

/// The last moment before that one.
fn just_before(at: Moment) -> Moment {
    Moment::from_unix_micros(at.unix_micros() - 1).unwrap()
}

/// A line of `offering`, with these differences.
fn line(number: &str, offering: &str, difference: Value) -> Value {
    with(json!({"lineNumber": number, "productOfferingId": offering, "quantity": "1", "action": "ADD"}), difference)
}
/// A recurring price per unit of 100.00 for `o`, with these differences.
fn price_entry(id: &str, difference: Value) -> Value {
    let mut entry = with(
        json!({"id": id, "offeringId": "o", "priceListId": "standard", "currency": "USD", "kind": "RECURRING", "model": "PER_UNIT",
            "amount": "100.00", "validFrom": JANUARY}),
        difference,
    );
    if entry.get("tiers").is_some() {
        entry.as_object_mut().unwrap().remove("amount");
    }
    entry
}
/// An adjustment of all prices by 0 percent, with these differences.
fn adjustment(id: &str, difference: Value) -> Value {
    with(json!({"id": id, "priority": 10, "kind": "PERCENT", "value": "0", "validFrom": JANUARY}), difference)
}
fn with(mut document: Value, difference: Value) -> Value {
    document.as_object_mut().unwrap().extend(difference.as_object().unwrap().clone());
    document
}
