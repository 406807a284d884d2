//! Random reference data: a tenant with its tax rates, customers, and offerings in nested bundles and several
//! versions. What they cost is `prices`'.

use crate::calendar::{LONG_AGO, written};
use crate::conditions::{CHANGING, CHARACTERISTICS, SEGMENTS, TYPES, Type};
use crate::dice::Dice;
use crate::prices;
use serde_json::{Value, json};
use time::macros::datetime;

/// Currencies with their minor units, looked up in ISO 4217.
const CURRENCIES: [(&str, u32); 8] =
    [("USD", 2), ("EUR", 2), ("HUF", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("TND", 3), ("CLF", 4)];
const JURISDICTIONS: [&str; 3] = ["US-CA", "DE", "JP"];
const TAX_CATEGORIES: [&str; 3] = ["STANDARD", "REDUCED", "EXEMPT"];
const TAX_PERCENTS: [&str; 8] = ["0", "8.25", "19", "20.00", "7.375", "0.000001", "100", "33.333333"];

/// What is sold, as quotes choose from it.
pub struct Shelf {
    pub offerings: Vec<Offering>,
    pub currencies: Vec<(&'static str, u32)>,
    pub customers: Vec<Customer>,
}

pub struct Offering {
    pub id: String,
    /// The only segment that sees it.
    pub segment: Option<&'static str>,
    pub versions: Vec<Version>,
    pub children: Vec<Child>,
}

pub struct Version {
    pub name: &'static str,
    pub on_sale: bool,
    pub characteristics: Vec<Declared>,
}

pub struct Declared {
    pub name: &'static str,
    pub kind: Type,
    pub required: bool,
}

pub struct Child {
    pub offering: usize,
    pub min: i64,
    pub max: Option<i64>,
}

pub struct Customer {
    pub id: String,
    pub segment: &'static str,
}

impl Offering {
    pub fn is_seen_by(&self, customer: &Customer) -> bool {
        self.segment.is_none_or(|segment| segment == customer.segment)
    }
    /// What any version declares.
    pub fn declared(&self) -> Vec<(&'static str, Type)> {
        let all = self.versions.iter().flat_map(|version| &version.characteristics);
        all.map(|declared| (declared.name, declared.kind)).collect()
    }
}

/// A random shelf, and the reference data that puts it up: `{tenant, customers, catalog}`.
pub fn random(dice: &mut Dice) -> (Shelf, Value) {
    let shelf = shelf(dice);
    let document = document(dice, &shelf);
    (shelf, document)
}

fn shelf(dice: &mut Dice) -> Shelf {
    let count = dice.between(3, 7) as usize;
    let mut offerings: Vec<Offering> = (0..count)
        .map(|i| Offering {
            id: format!("offering-{i}"),
            // The first is for everybody, so that everybody finds something.
            segment: (i > 0 && dice.chance(12)).then(|| dice.pick(&SEGMENTS)),
            versions: versions(dice),
            children: Vec::new(),
        })
        .collect();
    for i in 0..count {
        for child in i + 1..count {
            if dice.chance(40) {
                let required = offerings[child].segment.is_none() && dice.chance(30);
                let max = dice.chance(70).then(|| dice.between(1, 3));
                offerings[i].children.push(Child { offering: child, min: i64::from(required), max });
            }
        }
    }
    let customers = (0..3).map(|i| Customer { id: format!("account-{i}"), segment: dice.pick(&SEGMENTS) }).collect();
    let currencies = (0..2).map(|_| dice.pick(&CURRENCIES)).collect();
    Shelf { offerings, currencies, customers }
}

/// One that is sold, and maybe one that was sold and one that will be.
fn versions(dice: &mut Dice) -> Vec<Version> {
    let mut versions = vec![Version { name: "2", on_sale: true, characteristics: characteristics(dice) }];
    if dice.chance(40) {
        versions.push(Version { name: "1", on_sale: dice.chance(70), characteristics: characteristics(dice) });
    }
    if dice.chance(10) {
        versions.push(Version { name: "3", on_sale: false, characteristics: characteristics(dice) });
    }
    versions
}

fn characteristics(dice: &mut Dice) -> Vec<Declared> {
    let mut all = CHARACTERISTICS.to_vec();
    all.push((CHANGING, dice.pick(&TYPES)));
    all.retain(|_| dice.chance(65));
    all.into_iter().map(|(name, kind)| Declared { name, kind, required: dice.chance(10) }).collect()
}

fn document(dice: &mut Dice, shelf: &Shelf) -> Value {
    let mut offerings = Vec::new();
    for offering in &shelf.offerings {
        for version in &offering.versions {
            offerings.push(offering_version(dice, shelf, offering, version));
        }
    }
    let customers: Vec<Value> = shelf
        .customers
        .iter()
        .map(|customer| {
            json!({"customerAccountId": customer.id, "name": customer.id, "segment": customer.segment,
                "jurisdiction": dice.pick(&JURISDICTIONS), "salesOwnerId": "alice"})
        })
        .collect();
    let mut taxes = Vec::new();
    for category in TAX_CATEGORIES {
        for jurisdiction in JURISDICTIONS {
            if dice.chance(96) {
                let percent = dice.pick(&TAX_PERCENTS);
                taxes.push(json!({"taxCategory": category, "jurisdiction": jurisdiction, "percent": percent}));
            }
        }
    }
    json!({
        "tenant": {"tenantId": "tenant-oracle", "name": "Oracle", "defaultCurrency": "USD", "taxRates": taxes},
        "customers": customers,
        "catalog": {"catalogVersion": "random", "offerings": offerings,
            "prices": prices::prices(dice, shelf), "adjustments": prices::adjustments(dice, shelf)},
    })
}

fn offering_version(dice: &mut Dice, shelf: &Shelf, offering: &Offering, version: &Version) -> Value {
    let (from, to) = match (version.name, version.on_sale) {
        ("1", true) => (LONG_AGO, None),
        ("1", false) => (LONG_AGO, Some(datetime!(2026-05-20 10:00 UTC))),
        ("2", _) => (datetime!(2026-01-01 00:00 UTC), None),
        _ => (datetime!(2026-05-20 10:00:00.000001 UTC), None),
    };
    let characteristics: Vec<Value> = version
        .characteristics
        .iter()
        .map(|declared| {
            let mut written =
                json!({"name": declared.name, "type": declared.kind.name(), "required": declared.required});
            if dice.chance(50) {
                written["default"] = declared.kind.value(dice);
            }
            written
        })
        .collect();
    let children: Vec<Value> = offering
        .children
        .iter()
        .map(|child| {
            let mut written = json!({"offeringId": shelf.offerings[child.offering].id, "min": child.min});
            if let Some(max) = child.max {
                written["max"] = json!(max);
            }
            written
        })
        .collect();
    json!({"id": offering.id, "version": version.name, "name": offering.id, "segments": offering.segment.as_slice(),
        "sellableFrom": written(dice, from), "sellableTo": to.map(|to| written(dice, to)),
        "taxCategory": dice.pick(&TAX_CATEGORIES), "characteristics": characteristics, "children": children})
}
