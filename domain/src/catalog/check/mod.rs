//! What a catalog must be before it is published: every fault at once, each with its pointer into
//! `catalog.json`. What passes can be sold and priced without a surprise.

mod adjustments;
mod bundles;
mod contradictions;
mod offerings;
mod prices;
mod rules;
mod ties;

use super::condition::{Conditions, Misfit, Subject};
use super::value::Patterns;
use super::{CatalogSource, CharacteristicType, Offering, When};
use crate::ids::OfferingId;
use crate::moment::Moment;
use crate::money::fits;
use crate::pointer::token;
use crate::rejection::{FieldCode, FieldError};
use rust_decimal::Decimal;
use std::collections::{HashMap, HashSet};

/// Names that conditions use for what is no characteristic.
pub const RESERVED_NAMES: [&str; 3] = ["termMonths", "quantity", "segment"];

/// Characters of a catalog version's name.
const MAX_VERSION_LENGTH: usize = 128;

/// What a sound catalog compiles to; conditions stand in the order of their entries.
pub struct Checked {
    pub patterns: Patterns,
    pub prices: Vec<Conditions>,
    pub adjustments: Vec<Conditions>,
    pub rules: Vec<(Conditions, Conditions)>,
}

/// Judges the whole catalog.
pub fn check(source: &CatalogSource) -> Result<Checked, Vec<FieldError>> {
    let mut faults = Faults::default();
    faults.text("/catalogVersion", &source.catalog_version);
    if source.catalog_version.chars().count() > MAX_VERSION_LENGTH {
        let detail = format!("has more than {MAX_VERSION_LENGTH} characters");
        faults.add("/catalogVersion", FieldCode::OutOfRange, detail);
    }
    let known = Known::of(&source.offerings);
    let patterns = offerings::check(source, &known, &mut faults);
    bundles::check(source, &mut faults);
    let rules = rules::check(source, &known, &mut faults);
    contradictions::check(source, &known, &rules, &mut faults);
    let prices = prices::check(source, &known, &mut faults);
    ties::check(source, &known, &prices, &mut faults);
    let adjustments = adjustments::check(source, &known, &mut faults);
    if faults.0.is_empty() { Ok(Checked { patterns, prices, adjustments, rules }) } else { Err(faults.0) }
}

/// What is wrong so far.
#[derive(Default)]
struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, pointer: impl Into<String>, code: FieldCode, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, code, detail));
    }
    /// A text that must say something. NUL cannot be stored.
    fn text(&mut self, pointer: impl Into<String>, text: &str) {
        if text.trim().is_empty() {
            self.add(pointer, FieldCode::Required, "must not be blank");
        } else if text.contains('\0') {
            self.add(pointer, FieldCode::Pattern, "must not contain the character U+0000");
        }
    }
    /// An id that nothing else of its kind has.
    fn unique<'a>(&mut self, pointer: String, id: &'a str, seen: &mut HashSet<&'a str>) {
        self.text(pointer.clone(), id);
        if !seen.insert(id) {
            self.add(pointer, FieldCode::NotAllowed, format!("{id} is there twice"));
        }
    }
    /// A half-open window that holds at least an instant.
    fn window(&mut self, pointer: String, from: Moment, to: Option<Moment>) {
        if let Some(to) = to.filter(|to| *to <= from) {
            self.add(pointer, FieldCode::OutOfRange, format!("{to} is not after {from}"));
        }
    }
    /// An amount that is not negative and fits numeric(19,6).
    fn amount(&mut self, pointer: String, amount: Decimal) {
        if amount.is_sign_negative() && !amount.is_zero() {
            self.add(pointer, FieldCode::OutOfRange, "must not be negative");
        } else {
            self.range(pointer, amount);
        }
    }
    fn range(&mut self, pointer: String, value: Decimal) {
        if !fits(value) {
            self.add(pointer, FieldCode::OutOfRange, "has at most 13 digits before and 6 after the point");
        }
    }
    /// A `when` object, parsed; its faults stand under `pointer`.
    fn conditions(&mut self, pointer: &str, when: &When, subjects: &dyn Fn(&str) -> Vec<Subject>) -> Conditions {
        let parsed = Conditions::parse(when);
        let misfits = match &parsed {
            Ok(conditions) => conditions.misfits(subjects),
            Err(_) => Vec::new(),
        };
        match parsed {
            Ok(conditions) => {
                self.misfits(pointer, misfits);
                conditions
            }
            Err(misfits) => {
                self.misfits(pointer, misfits);
                Conditions::default()
            }
        }
    }
    fn misfits(&mut self, pointer: &str, misfits: Vec<Misfit>) {
        for Misfit { path, code, detail } in misfits {
            let path: String = path.iter().map(|part| format!("/{}", token(part))).collect();
            self.add(format!("{pointer}{path}"), code, detail);
        }
    }
}

/// What the catalog's entries may refer to.
struct Known<'a> {
    offerings: HashMap<&'a OfferingId, Vec<&'a Offering>>,
    /// The types with which any offering declares a characteristic of that name.
    characteristics: HashMap<&'a str, Vec<CharacteristicType>>,
}

impl<'a> Known<'a> {
    fn of(offerings: &'a [Offering]) -> Self {
        let mut known = Self { offerings: HashMap::new(), characteristics: HashMap::new() };
        for offering in offerings {
            known.offerings.entry(&offering.id).or_default().push(offering);
            for characteristic in &offering.characteristics {
                let types = known.characteristics.entry(&characteristic.name).or_default();
                if !types.contains(&characteristic.kind) {
                    types.push(characteristic.kind);
                }
            }
        }
        known
    }
    fn versions(&self, id: &OfferingId) -> &[&'a Offering] {
        self.offerings.get(id).map(Vec::as_slice).unwrap_or_default()
    }
    /// The types that a characteristic has in the versions of an offering, or in that one version.
    fn characteristic(&self, id: &OfferingId, version: Option<&str>, name: &str) -> Vec<Subject> {
        let versions = self.versions(id).iter().filter(|offering| version.is_none_or(|v| offering.version == v));
        versions.filter_map(|offering| offering.characteristic(name)).map(|c| Subject::Characteristic(c.kind)).collect()
    }
    /// What a `when` key of a price or an adjustment may speak of; `None` for an offering: any.
    fn subjects(&self, id: Option<&OfferingId>, version: Option<&str>, name: &str) -> Vec<Subject> {
        match (name, id) {
            ("termMonths", _) => vec![Subject::Characteristic(CharacteristicType::Integer)],
            ("segment", _) => vec![Subject::Characteristic(CharacteristicType::String)],
            ("quantity", _) => vec![Subject::Quantity],
            (name, Some(id)) => self.characteristic(id, version, name),
            (name, None) => self
                .characteristics
                .get(name)
                .into_iter()
                .flatten()
                .map(|kind| Subject::Characteristic(*kind))
                .collect(),
        }
    }
    /// Refuses a reference to an offering, or to a version of it, that the catalog does not have.
    fn refer(&self, faults: &mut Faults, pointer: &str, id: &OfferingId, version: Option<&str>) {
        let versions = self.versions(id);
        if versions.is_empty() {
            let detail = format!("there is no offering {id}");
            faults.add(format!("{pointer}/offeringId"), FieldCode::UnknownReference, detail);
        } else if let Some(version) = version.filter(|v| !versions.iter().any(|offering| offering.version == *v)) {
            let detail = format!("offering {id} has no version {version}");
            faults.add(format!("{pointer}/offeringVersion"), FieldCode::UnknownReference, detail);
        }
    }
}
