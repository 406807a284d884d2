//! How often what was seen, so that agreement on nothing is not taken for agreement.

use crate::calendar;
use crate::product::{Asked, Priced, Shop};
use cpq_domain::catalog::{PriceModel, When};
use cpq_domain::configuration::ConfiguredLine;
use cpq_domain::pricing::{LineTrace, Price, PriceTrace, StepKind};
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// What must have been seen in a full run: each rule of the contract at work.
const NEEDED: &[&str] = &[
    "answer: priced",
    "answer: PRICE_NOT_FOUND",
    "answer: TAX_RATE_NOT_FOUND",
    "answer: AMOUNT_OUT_OF_RANGE",
    "answer: VALIDATION_FAILED",
    "total out of range",
    "catalog: tie refused",
    "model: FLAT",
    "model: PER_UNIT",
    "model: TIERED",
    "model: VOLUME",
    "kind: ONE_TIME",
    "kind: RECURRING",
    "kind: USAGE",
    "action: ADD",
    "action: CHANGE",
    "action: DISCONNECT",
    "action: NO_CHANGE",
    "step: PERCENT",
    "step: AMOUNT_PER_UNIT",
    "step: OVERRIDE_UNIT",
    "step: LINE_OVERRIDE",
    "step: LINE_DISCOUNT",
    "step: QUOTE_DISCOUNT",
    "minor units: 0",
    "minor units: 2",
    "minor units: 3",
    "minor units: 4",
    "when: eq",
    "when: in",
    "when: gt",
    "when: gte",
    "when: lt",
    "when: lte",
    "when on: STRING",
    "when on: INTEGER",
    "when on: DECIMAL",
    "when on: BOOLEAN",
    "when on: DATE",
    "when on: termMonths",
    "when on: quantity",
    "when on: segment",
    "price: of a segment",
    "price: of a version",
    "price: chosen by id alone",
    "price: tiers over several",
    "quantity: on a tier's end",
    "quantity: six decimals",
    "date: on an edge",
    "bundle: three levels",
    "version: left open",
    "discount: everything",
    "rounded: exactly half",
    "margin: known",
    "margin: unknown",
    "margin: negative",
    "total: above the list",
    "list: nothing",
    "adjustments: same priority",
    "tax: none",
];

#[derive(Default)]
pub struct Tally(BTreeMap<String, u64>);

impl Tally {
    pub fn count(&mut self, what: &str) {
        match self.0.get_mut(what) {
            Some(count) => *count += 1,
            None => {
                self.0.insert(what.to_owned(), 1);
            }
        }
    }

    pub fn add(&mut self, other: Tally) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// What should have been seen and was not.
    pub fn absent(&self) -> Vec<&'static str> {
        NEEDED.iter().copied().filter(|what| !self.0.contains_key(*what)).collect()
    }

    /// Takes up one quote with its answer.
    pub fn quote(&mut self, shop: &Shop, asked: &Asked, priced: &Priced) {
        match priced {
            Ok((price, trace)) => {
                self.count("answer: priced");
                self.price(asked, price, trace);
                let lines: HashMap<&str, &ConfiguredLine> =
                    asked.configuration.lines.iter().map(|line| (line.line_number.as_str(), line)).collect();
                for line in &trace.lines {
                    self.line(shop, lines[line.line_number.as_str()], line, price.currency.minor_units());
                }
                self.tree(&lines);
            }
            Err(rejection) => {
                self.count(&format!("answer: {}", rejection.code));
                if rejection.errors.is_empty() {
                    self.count("total out of range");
                }
            }
        }
    }

    /// Takes up what a quote left to others, and what the oracle found no other rule for than the id.
    pub fn left_open(&mut self, quote: &Value, answer: &Value) {
        let lines = quote["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.when_so(lines.iter().any(|line| line.get("productOfferingVersion").is_none()), "version: left open");
        self.when_so(answer["chosenById"] == true, "price: chosen by id alone");
    }

    fn when_so(&mut self, so: bool, what: &str) {
        if so {
            self.count(what);
        }
    }

    fn price(&mut self, asked: &Asked, price: &Price, trace: &PriceTrace) {
        self.count(&format!("minor units: {}", price.currency.minor_units()));
        self.when_so(calendar::is_edge(asked.pricing_date.into_inner()), "date: on an edge");
        self.when_so(price.discount_amount.0 < Decimal::ZERO, "total: above the list");
        self.when_so(price.list_amount.0.is_zero(), "list: nothing");
        self.when_so(price.tax_amount.0.is_zero() && !price.total_amount.0.is_zero(), "tax: none");
        let everything = |percent: Decimal| percent == Decimal::ONE_HUNDRED;
        let off = trace.request.quote_discount.as_ref().is_some_and(|discount| everything(discount.percent.0))
            || trace.request.line_discounts.iter().any(|discount| everything(discount.percent.0));
        self.when_so(off, "discount: everything");
        match price.margin_percent {
            Some(margin) if margin.0 < Decimal::ZERO => self.count("margin: negative"),
            Some(_) => self.count("margin: known"),
            None => self.when_so(!price.total_amount.0.is_zero(), "margin: unknown"),
        }
    }

    fn line(&mut self, shop: &Shop, line: &ConfiguredLine, trace: &LineTrace, minor: u32) {
        self.count(&format!("kind: {}", trace.kind.as_str()));
        self.count(&format!("action: {}", trace.action.as_str()));
        self.when_so(line.quantity.0.normalize().scale() == 6, "quantity: six decimals");
        let price = &shop.prices[&trace.price_id];
        self.when_so(price.segment.is_some(), "price: of a segment");
        self.when_so(price.offering_version.is_some(), "price: of a version");
        self.conditions(shop, line, &price.when);
        if trace.steps.is_empty() {
            return;
        }
        self.count(match trace.model {
            PriceModel::Flat => "model: FLAT",
            PriceModel::PerUnit => "model: PER_UNIT",
            PriceModel::Tiered => "model: TIERED",
            PriceModel::Volume => "model: VOLUME",
        });
        self.when_so(price.tiers.iter().any(|tier| tier.up_to == Some(line.quantity)), "quantity: on a tier's end");
        let listed = trace.steps.iter().filter(|step| step.step == StepKind::List).count();
        self.when_so(listed > 1, "price: tiers over several");
        let mut last_priority = None;
        for step in &trace.steps {
            match step.step {
                StepKind::List | StepKind::Tax => continue,
                StepKind::Round => {
                    let fraction = step.basis.split_once('.').map_or("", |(_, fraction)| fraction);
                    let half = fraction.len() == minor as usize + 1 && fraction.ends_with('5');
                    self.when_so(half, "rounded: exactly half");
                    continue;
                }
                _ => self.count(&format!("step: {}", step.step.as_str())),
            }
            if let Some(adjustment) = shop.adjustments.get(&step.rule_id) {
                self.when_so(last_priority == Some(adjustment.priority), "adjustments: same priority");
                last_priority = Some(adjustment.priority);
                self.conditions(shop, line, &adjustment.when);
            }
        }
    }

    /// Conditions that held.
    fn conditions(&mut self, shop: &Shop, line: &ConfiguredLine, when: &When) {
        let offering = shop.catalog.offering(&line.product_offering_id, &line.product_offering_version);
        for (name, entry) in when {
            match entry {
                Value::Object(operators) => {
                    operators.keys().for_each(|operator| self.count(&format!("when: {operator}")))
                }
                _ => self.count("when: eq"),
            }
            match offering.and_then(|offering| offering.characteristic(name)) {
                Some(declared) => {
                    let kind = serde_json::to_value(declared.kind).unwrap();
                    self.count(&format!("when on: {}", kind.as_str().unwrap()));
                }
                None => self.count(&format!("when on: {name}")),
            }
        }
    }

    fn tree(&mut self, lines: &HashMap<&str, &ConfiguredLine>) {
        let parent = |line: &ConfiguredLine| lines.get(line.parent_line_number.as_ref()?.as_str()).copied();
        let deep = lines.values().any(|line| parent(line).and_then(parent).is_some());
        self.when_so(deep, "bundle: three levels");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, count)| writeln!(f, "{count:>9}  {what}"))
    }
}
