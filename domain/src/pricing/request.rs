//! The discounts and overrides that are asked for: what is wrong with them by themselves, and on the quote's
//! lines; then looked up by line.

use super::{Faults, LineOverride, PriceKind, PricingInput, PricingRequest};
use crate::ids::LineNumber;
use crate::money::{Percent, fits};
use crate::rejection::{ErrorCode, FieldCode, FieldError, Rejection};
use rust_decimal::Decimal;
use std::collections::{HashMap, HashSet};

/// What needs neither quote nor catalog to judge, with pointers into the request's body.
pub fn check_form(request: &PricingRequest) -> Vec<FieldError> {
    let mut form = Form(Vec::new());
    if let Some(discount) = &request.quote_discount {
        form.percent("/quoteDiscount", discount.percent);
        form.reason("/quoteDiscount", &discount.reason_code);
    }
    let mut discounted = HashSet::new();
    for (i, discount) in request.line_discounts.iter().enumerate() {
        let at = format!("/lineDiscounts/{i}");
        form.percent(&at, discount.percent);
        form.reason(&at, &discount.reason_code);
        if !discounted.insert(&discount.line_number) {
            let detail = format!("line {} has a discount already", discount.line_number);
            form.fault(format!("{at}/lineNumber"), FieldCode::NotAllowed, detail);
        }
    }
    let mut overridden = HashSet::new();
    for (i, manual) in request.line_overrides.iter().enumerate() {
        let at = format!("/lineOverrides/{i}");
        form.reason(&at, &manual.reason_code);
        let amount = manual.unit_amount.0;
        if amount < Decimal::ZERO || !fits(amount) {
            let detail = "a unit amount is 0 or more, with at most 13 digits before the point";
            form.fault(format!("{at}/unitAmount"), FieldCode::OutOfRange, detail.to_owned());
        }
        if manual.kind == PriceKind::Usage {
            let detail = "USAGE rates are quoted as they are".to_owned();
            form.fault(format!("{at}/kind"), FieldCode::NotAllowed, detail);
        }
        if !overridden.insert((&manual.line_number, manual.kind)) {
            let detail = format!("line {} has a {} override already", manual.line_number, manual.kind.as_str());
            form.fault(format!("{at}/lineNumber"), FieldCode::NotAllowed, detail);
        }
    }
    form.0
}

struct Form(Vec<FieldError>);

impl Form {
    fn fault(&mut self, pointer: String, code: FieldCode, detail: String) {
        self.0.push(FieldError::new(pointer, code, detail));
    }
    fn percent(&mut self, at: &str, percent: Percent) {
        if percent.0 < Decimal::ZERO || percent.0 > Decimal::ONE_HUNDRED || !fits(percent.0) {
            let detail = format!("{percent} is not a percentage from 0 to 100 with at most 6 decimals");
            self.fault(format!("{at}/percent"), FieldCode::OutOfRange, detail);
        }
    }
    fn reason(&mut self, at: &str, reason: &str) {
        let at = format!("{at}/reasonCode");
        if reason.trim().is_empty() {
            self.fault(at, FieldCode::Required, "a reason code says why".to_owned());
        } else if reason.contains('\0') {
            self.fault(at, FieldCode::Pattern, "must not contain the character U+0000".to_owned());
        }
    }
}

/// A well-formed request on this quote, by line.
pub(super) struct Asked<'a> {
    pub request: &'a PricingRequest,
    discounts: HashMap<&'a LineNumber, usize>,
    overrides: HashMap<(&'a LineNumber, PriceKind), usize>,
}

impl<'a> Asked<'a> {
    /// Judges form, lines and the currency's minor units.
    pub fn of(input: &PricingInput<'a>) -> Result<Self, Rejection> {
        let request = input.request;
        let mut errors = check_form(request);
        let known: HashSet<&LineNumber> = input.configuration.lines.iter().map(|line| &line.line_number).collect();
        let mut line = |at: String, number: &LineNumber| {
            if !known.contains(number) {
                errors.push(FieldError::new(at, FieldCode::UnknownReference, format!("there is no line {number}")));
            }
        };
        for (i, discount) in request.line_discounts.iter().enumerate() {
            line(format!("/lineDiscounts/{i}/lineNumber"), &discount.line_number);
        }
        for (i, manual) in request.line_overrides.iter().enumerate() {
            line(format!("/lineOverrides/{i}/lineNumber"), &manual.line_number);
        }
        for (i, manual) in request.line_overrides.iter().enumerate() {
            if manual.unit_amount.0.normalize().scale() > input.currency.minor_units() {
                let detail = format!("{} has {} decimals", input.currency, input.currency.minor_units());
                errors.push(FieldError::new(format!("/lineOverrides/{i}/unitAmount"), FieldCode::OutOfRange, detail));
            }
        }
        if !errors.is_empty() {
            return Err(Rejection::new(
                ErrorCode::ValidationFailed,
                "Discounts or overrides cannot be applied as asked: see errors.",
            )
            .with_errors(errors));
        }
        Ok(Self {
            request,
            discounts: request.line_discounts.iter().enumerate().map(|(i, d)| (&d.line_number, i)).collect(),
            overrides: request.line_overrides.iter().enumerate().map(|(i, o)| ((&o.line_number, o.kind), i)).collect(),
        })
    }
    pub fn discount(&self, line: &LineNumber) -> Option<&'a super::LineDiscount> {
        self.discounts.get(line).map(|i| &self.request.line_discounts[*i])
    }
    pub fn manual(&self, line: &LineNumber, kind: PriceKind) -> Option<&'a LineOverride> {
        self.overrides.get(&(line, kind)).map(|i| &self.request.line_overrides[*i])
    }
    /// An override of a kind that the line has no price of; `offered` are those that lines have. A price that could
    /// not be followed to its end is a price.
    pub fn refuse_without_price(&self, offered: Vec<(&LineNumber, PriceKind)>, faults: &mut Faults) {
        if self.request.line_overrides.is_empty() {
            return;
        }
        let offered: HashSet<_> = offered.into_iter().collect();
        for (i, manual) in self.request.line_overrides.iter().enumerate() {
            if !offered.contains(&(&manual.line_number, manual.kind)) {
                faults.add(
                    ErrorCode::PriceNotFound,
                    format!("/lineOverrides/{i}/kind"),
                    FieldCode::UnknownReference,
                    format!("line {} has no {} price to override", manual.line_number, manual.kind.as_str()),
                );
            }
        }
    }
}
