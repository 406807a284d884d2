//! Random prices and adjustments: every model, kind and restriction, with amounts that are hard to round.

use crate::calendar::{self, LONG_AGO, written};
use crate::catalogs::{Offering, Shelf};
use crate::conditions::{BOUNDARIES, SEGMENTS, when};
use crate::dice::{Dice, MAX_DECIMALS};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

pub const PRICE_LISTS: [&str; 2] = ["standard", "partner"];
pub const KINDS: [&str; 3] = ["ONE_TIME", "RECURRING", "USAGE"];
/// Beginnings of ids that stand in another order by code point, by UTF-16 and by a language's rules.
const ID_PREFIXES: [&str; 7] = ["a", "Z", "\u{e9}", "_", "9", "\u{ff5e}", "\u{1f600}"];
const LARGEST: &str = "9999999999999.999999";

/// What a price is of.
struct Place<'a> {
    offering: &'a Offering,
    list: &'static str,
    currency: (&'static str, u32),
    kind: &'static str,
}

type Window = (OffsetDateTime, Option<OffsetDateTime>);

pub fn prices(dice: &mut Dice, shelf: &Shelf) -> Vec<Value> {
    let mut prices = Vec::new();
    let mut currencies = shelf.currencies.clone();
    currencies.dedup();
    for offering in &shelf.offerings {
        for list in PRICE_LISTS {
            for currency in &currencies {
                let place = |kind| Place { offering, list, currency: *currency, kind };
                of_offering(dice, place, &mut prices);
            }
        }
    }
    for (i, price) in prices.iter_mut().enumerate() {
        price["id"] = json!(format!("{}{i}", dice.pick(&ID_PREFIXES)));
    }
    prices
}

/// The prices of an offering under one list in one currency; sometimes none.
fn of_offering<'a>(dice: &mut Dice, place: impl Fn(&'static str) -> Place<'a>, prices: &mut Vec<Value>) {
    let always = if dice.chance(98) { Some(dice.pick(&KINDS)) } else { None };
    for kind in KINDS {
        if always != Some(kind) && !dice.chance(45) {
            continue;
        }
        let place = place(kind);
        if dice.chance(20) {
            // One ends where the next begins.
            let edge = calendar::edge(dice);
            prices.push(plain(dice, &place, (LONG_AGO, Some(edge))));
            prices.push(plain(dice, &place, (edge, None)));
        } else {
            let from = if dice.chance(95) { LONG_AGO } else { calendar::edge(dice) };
            prices.push(plain(dice, &place, (from, None)));
        }
        for _ in 0..dice.weighted(&[(30, 0), (35, 1), (20, 2), (15, 4)]) {
            prices.push(special(dice, &place));
        }
        if dice.chance(3) {
            // Conditions that differ and yet hold together.
            for when in [json!({"quantity": {"gte": "0.5"}}), json!({"quantity": {"lte": "20.5"}})] {
                let mut price = plain(dice, &place, (LONG_AGO, None));
                price["when"] = when;
                prices.push(price);
            }
        }
    }
}

/// A price for everybody.
fn plain(dice: &mut Dice, place: &Place, (from, to): Window) -> Value {
    let minor = place.currency.1;
    let model = dice.pick(&["FLAT", "PER_UNIT", "PER_UNIT", "TIERED", "VOLUME"]);
    let mut price = json!({"offeringId": place.offering.id, "priceListId": place.list, "currency": place.currency.0,
        "kind": place.kind, "model": model, "validFrom": written(dice, from), "validTo": to.map(|to| written(dice, to))});
    match model {
        "FLAT" | "PER_UNIT" => price["amount"] = json!(amount(dice, minor)),
        _ => price["tiers"] = tiers(dice, minor),
    }
    if dice.chance(85) {
        price["unitCost"] = json!(amount(dice, minor));
    }
    price
}

/// A price for some.
fn special(dice: &mut Dice, place: &Place) -> Value {
    let window = calendar::window(dice);
    let mut price = plain(dice, place, window);
    if dice.chance(30) {
        price["segment"] = json!(dice.pick(&SEGMENTS));
    }
    let mut declared = place.offering.declared();
    if dice.chance(25) {
        let version = dice.choose(&place.offering.versions);
        price["offeringVersion"] = json!(version.name);
        declared = version.characteristics.iter().map(|one| (one.name, one.kind)).collect();
    }
    price["when"] = when(dice, &declared);
    price
}

fn tiers(dice: &mut Dice, minor: u32) -> Value {
    let ends = BOUNDARIES.iter().filter(|_| dice.chance(25)).map(|end| json!(end)).collect::<Vec<_>>();
    ends.into_iter().chain([Value::Null]).map(|end| json!({"upTo": end, "amount": amount(dice, minor)})).collect()
}

/// An amount of money, rarely an easy one.
fn amount(dice: &mut Dice, minor: u32) -> String {
    match dice.between(0, 99) {
        0..=3 => "0".to_owned(),
        4..=5 => "0.000001".to_owned(),
        6 => LARGEST.to_owned(),
        // Half a minor unit.
        7..=30 => dice.decimal(0, 99_999, minor) + if minor == 0 { ".5" } else { "5" },
        31..=40 => dice.decimal(0, 999_999_999_999, MAX_DECIMALS),
        _ => {
            let decimals = dice.decimals();
            dice.decimal(0, 999_999, decimals)
        }
    }
}

pub fn adjustments(dice: &mut Dice, shelf: &Shelf) -> Vec<Value> {
    let count = dice.weighted(&[(15, 0), (25, 2), (35, 5), (25, 9)]);
    (0..count).map(|i| adjustment(dice, shelf, i)).collect()
}

fn adjustment(dice: &mut Dice, shelf: &Shelf, i: usize) -> Value {
    let (from, to) = calendar::window(dice);
    let kind = dice.pick(&["PERCENT", "PERCENT", "AMOUNT_PER_UNIT", "OVERRIDE_UNIT"]);
    let (currency, minor) = dice.pick(&shelf.currencies);
    let mut to_what = Map::new();
    let mut declared: Vec<_> = shelf.offerings.iter().flat_map(Offering::declared).collect();
    if dice.chance(50) {
        let offering = dice.choose(&shelf.offerings);
        to_what.insert("offeringId".to_owned(), json!(offering.id));
        declared = offering.declared();
        if dice.chance(30) {
            let version = dice.choose(&offering.versions);
            to_what.insert("offeringVersion".to_owned(), json!(version.name));
            declared = version.characteristics.iter().map(|one| (one.name, one.kind)).collect();
        }
    }
    if dice.chance(35) {
        to_what.insert("priceKind".to_owned(), json!(dice.pick(&KINDS)));
    }
    if dice.chance(10) {
        to_what.insert("priceListId".to_owned(), json!(dice.pick(&PRICE_LISTS)));
    }
    let mut adjustment = json!({"id": format!("{}{i}", dice.pick(&ID_PREFIXES)), "priority": dice.pick(&[-5, 0, 10, 10, 20]),
        "kind": kind, "value": value(dice, kind, minor), "appliesTo": to_what, "when": when(dice, &declared),
        "validFrom": written(dice, from), "validTo": to.map(|to| written(dice, to))});
    if kind != "PERCENT" {
        adjustment["currency"] = json!(currency);
    }
    adjustment
}

fn value(dice: &mut Dice, kind: &str, minor: u32) -> String {
    let decimals = dice.decimals();
    let one = 10_i64.pow(decimals);
    match kind {
        "PERCENT" if dice.chance(2) => dice.decimal(-130 * one, -100 * one - 1, decimals),
        "PERCENT" => dice.decimal(-100 * one, 60 * one, decimals),
        "AMOUNT_PER_UNIT" if dice.chance(75) => dice.decimal(0, 50 * one, decimals),
        "AMOUNT_PER_UNIT" => dice.decimal(-one, 0, decimals),
        _ if dice.chance(1) => dice.decimal(-one, -1, decimals),
        _ => amount(dice, minor),
    }
}
