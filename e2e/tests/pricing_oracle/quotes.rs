//! Random quotes over a random shelf: trees of lines that can be configured, quantities beside the tiers' ends,
//! instants beside the windows', discounts and overrides; some that cannot be priced.

use crate::calendar::{self, CONFIGURED_AT, written};
use crate::catalogs::{Customer, Offering, Shelf, Version};
use crate::conditions::{BOUNDARIES, TERMS};
use crate::dice::{Dice, MAX_DECIMALS, plain};
use crate::prices::{KINDS, PRICE_LISTS};
use serde_json::{Map, Value, json};

/// Lines of a quote that are wanted; required parts may make it more.
const LINES: usize = 8;

pub fn random(dice: &mut Dice, shelf: &Shelf, id: usize) -> Value {
    let customer = dice.choose(&shelf.customers);
    let lines = lines(dice, shelf, customer);
    let (currency, minor) = dice.pick(&shelf.currencies);
    let term = match dice.between(0, 19) {
        0 => i64::from(u32::MAX),
        1 => dice.between(1, 1_000_000),
        _ => dice.pick(&TERMS),
    };
    let at = calendar::pricing_date(dice);
    let mut quote = json!({
        "id": id, "customerAccountId": customer.id, "priceListId": dice.pick(&PRICE_LISTS), "currency": currency,
        "termMonths": term, "configuredAt": written(dice, CONFIGURED_AT), "pricingDate": written(dice, at), "lines": lines,
    });
    if dice.chance(45) {
        quote["quoteDiscount"] = json!({"percent": percent(dice), "reasonCode": "QUOTE"});
    }
    let (mut discounts, mut overrides) = (Vec::new(), Vec::new());
    for number in lines.iter().map(|line| &line["lineNumber"]) {
        if dice.chance(25) {
            discounts.push(json!({"lineNumber": number, "percent": percent(dice), "reasonCode": "LINE"}));
        }
        // USAGE rates are not overridden.
        if dice.chance(4) {
            overrides.push(json!({"lineNumber": number, "kind": dice.pick(&KINDS[..2]),
                "unitAmount": unit_amount(dice, minor), "reasonCode": "OVERRIDE"}));
        }
    }
    quote["lineDiscounts"] = json!(discounts);
    quote["lineOverrides"] = json!(overrides);
    quote
}

fn lines(dice: &mut Dice, shelf: &Shelf, customer: &Customer) -> Vec<Value> {
    let mut basket = Basket { dice, shelf, customer, lines: Vec::new() };
    while basket.lines.is_empty() || basket.dice.chance(35) && basket.lines.len() < LINES {
        let root = basket.dice.index(shelf.offerings.len());
        if shelf.offerings[root].is_seen_by(customer) {
            basket.put(root, None, true);
        }
    }
    basket.lines
}

struct Basket<'a> {
    dice: &'a mut Dice,
    shelf: &'a Shelf,
    customer: &'a Customer,
    lines: Vec<Value>,
}

impl Basket<'_> {
    /// A line, and under it what its bundle requires and some of what it allows.
    fn put(&mut self, offering: usize, parent: Option<&str>, free: bool) {
        let shelf = self.shelf;
        let offering = &shelf.offerings[offering];
        let number = (self.lines.len() + 1).to_string();
        // What a parent requires must be there after the order, too.
        let action = match free {
            true => self.dice.weighted(&[(75, "ADD"), (10, "CHANGE"), (7, "DISCONNECT"), (8, "NO_CHANGE")]),
            false => self.dice.weighted(&[(85, "ADD"), (10, "CHANGE"), (5, "NO_CHANGE")]),
        };
        let line = self.line(&number, parent, offering, action);
        self.lines.push(line);
        for child in &offering.children {
            if !shelf.offerings[child.offering].is_seen_by(self.customer) {
                continue;
            }
            let mut count = child.min;
            if child.max.is_none_or(|max| count < max) && self.lines.len() < LINES && self.dice.chance(25) {
                count += 1;
            }
            for nth in 0..count {
                self.put(child.offering, Some(&number), nth >= child.min);
            }
        }
    }

    fn line(&mut self, number: &str, parent: Option<&str>, offering: &Offering, action: &str) -> Value {
        let named = self.dice.chance(60);
        let charged = matches!(action, "ADD" | "CHANGE");
        // Without a name it is the newest on sale, which is the first.
        let version = match named {
            false => &offering.versions[0],
            true => {
                let may = |version: &&Version| version.on_sale || !charged;
                let versions: Vec<&Version> = offering.versions.iter().filter(may).collect();
                self.dice.pick(&versions)
            }
        };
        let mut line = json!({"lineNumber": number, "productOfferingId": offering.id, "quantity": quantity(self.dice),
            "action": action, "characteristics": self.characteristics(version)});
        if named {
            line["productOfferingVersion"] = json!(version.name);
        }
        if let Some(parent) = parent {
            line["parentLineNumber"] = json!(parent);
        }
        if action != "ADD" {
            line["assetId"] = json!("asset");
        }
        line
    }

    fn characteristics(&mut self, version: &Version) -> Map<String, Value> {
        let mut values = Map::new();
        for declared in &version.characteristics {
            if declared.required || self.dice.chance(60) {
                values.insert(declared.name.to_owned(), declared.kind.value(self.dice));
            }
        }
        values
    }
}

/// On a tier's end, just beside it, or anywhere.
fn quantity(dice: &mut Dice) -> String {
    match dice.between(0, 99) {
        0..=29 => dice.pick(&BOUNDARIES).to_owned(),
        30..=44 => {
            let end = dice.pick(&[500_000, 1_000_000, 2_500_000, 10_000_000, 20_500_000, 100_000_000]);
            plain(end + dice.pick(&[-1, 1]), MAX_DECIMALS)
        }
        45..=74 => dice.between(1, 40).to_string(),
        75..=97 => {
            let decimals = dice.decimals();
            dice.decimal(1, 9_999_999, decimals)
        }
        98 => "9999999999999.999999".to_owned(),
        _ => dice.decimal(1, 999_999_999_999, 1),
    }
}

/// From nothing to everything; rarely beyond.
fn percent(dice: &mut Dice) -> String {
    let decimals = dice.decimals();
    let one = 10_i64.pow(decimals);
    match dice.between(0, 199) {
        0 => "100.000001".to_owned(),
        1 => "-0.000001".to_owned(),
        2..=9 => "100".to_owned(),
        10..=15 => "0".to_owned(),
        16..=19 => "0.000001".to_owned(),
        _ => dice.decimal(0, 100 * one, decimals),
    }
}

/// In minor units; rarely finer or negative.
fn unit_amount(dice: &mut Dice, minor: u32) -> String {
    match dice.between(0, 39) {
        0 => dice.decimal(0, 9_999, minor) + if minor == 0 { ".1" } else { "1" },
        1 => "-1".to_owned(),
        2..=4 => "0".to_owned(),
        _ => dice.decimal(0, 999_999, minor),
    }
}
