//! What needs no catalog to judge (`VALIDATION_FAILED`): numbers, parents, quantities, assets, dates, texts.

use super::{LineAction, LineRequest};
use crate::catalog::value::is_date;
use crate::ids::LineNumber;
use crate::money::fits;
use crate::pointer::token;
use crate::rejection::{FieldCode, FieldError};
use rust_decimal::Decimal;
use std::collections::HashMap;

/// Bytes that a line number may have.
pub const MAX_LINE_NUMBER_LENGTH: usize = 64;

/// Every fault of form, with its pointer.
pub fn check_form(lines: &[LineRequest]) -> Vec<FieldError> {
    let mut faults = Vec::new();
    if lines.is_empty() {
        faults.push(FieldError::new("/lines", FieldCode::Required, "a configuration has at least one line"));
    }
    let mut index: HashMap<&LineNumber, usize> = HashMap::with_capacity(lines.len());
    let repeated: Vec<bool> =
        lines.iter().enumerate().map(|(i, line)| *index.entry(&line.line_number).or_insert(i) != i).collect();
    let circular = circular(lines, &index);
    for (i, line) in lines.iter().enumerate() {
        let mut fault = |field: &str, code: FieldCode, detail: String| {
            faults.push(FieldError::new(format!("/lines/{i}{field}"), code, detail));
        };
        number(line, repeated[i], &mut fault);
        if let Some(parent) = &line.parent_line_number {
            if *parent == line.line_number {
                fault("/parentLineNumber", FieldCode::NotAllowed, "a line cannot be its own parent".to_owned());
            } else if !index.contains_key(parent) {
                fault("/parentLineNumber", FieldCode::UnknownReference, format!("there is no line {parent}"));
            } else if circular[i] {
                fault("/parentLineNumber", FieldCode::NotAllowed, "the parents of this line form a circle".to_owned());
            }
        }
        if line.quantity.0 <= Decimal::ZERO || !fits(line.quantity.0) {
            let detail = "a quantity is above 0, with at most 13 digits before and 6 after the point";
            fault("/quantity", FieldCode::OutOfRange, detail.to_owned());
        }
        asset(line, &mut fault);
        if line.requested_date.as_deref().is_some_and(|date| !is_date(date)) {
            fault("/requestedDate", FieldCode::Pattern, "a date is YYYY-MM-DD".to_owned());
        }
        storable(line, &mut fault);
    }
    faults
}

type Fault<'a> = dyn FnMut(&str, FieldCode, String) + 'a;

fn number(line: &LineRequest, repeated: bool, fault: &mut Fault) {
    let number = line.line_number.as_str();
    if number.trim() != number
        || number.is_empty()
        || number.len() > MAX_LINE_NUMBER_LENGTH
        || number.contains(char::is_control)
    {
        let detail = format!(
            "a line number has 1 to {MAX_LINE_NUMBER_LENGTH} bytes, no blanks around it and no control characters"
        );
        fault("/lineNumber", FieldCode::Pattern, detail);
    }
    if repeated {
        fault("/lineNumber", FieldCode::NotAllowed, format!("line number {number} is used twice"));
    }
}

fn asset(line: &LineRequest, fault: &mut Fault) {
    let named = line.asset_id.as_ref().is_some_and(|asset| !asset.as_str().trim().is_empty());
    match line.action {
        LineAction::Change | LineAction::Disconnect if !named => {
            let detail = format!("{} names the installed product that it acts on", line.action.as_str());
            fault("/assetId", FieldCode::Required, detail);
        }
        LineAction::Add if line.asset_id.is_some() => {
            fault("/assetId", FieldCode::NotAllowed, "ADD acts on no installed product".to_owned());
        }
        _ => {}
    }
}

/// PostgreSQL text and jsonb cannot hold U+0000, so nothing that is kept may.
fn storable(line: &LineRequest, fault: &mut Fault) {
    let mut check = |field: &str, text: &str| {
        if text.contains('\0') {
            fault(field, FieldCode::Pattern, "must not contain the character U+0000".to_owned());
        }
    };
    check("/productOfferingId", line.product_offering_id.as_str());
    check("/productOfferingVersion", line.product_offering_version.as_deref().unwrap_or_default());
    check("/assetId", line.asset_id.as_ref().map(AsRef::as_ref).unwrap_or_default());
    for (name, value) in &line.characteristics {
        let field = format!("/characteristics/{}", token(name));
        check(&field, name);
        if let super::CharacteristicValue::Text(text) = value {
            check(&field, text);
        }
    }
}

/// Which lines stand on a circle of parents. Each line is walked once.
fn circular(lines: &[LineRequest], index: &HashMap<&LineNumber, usize>) -> Vec<bool> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        OnPath,
        Done,
    }
    let parent = |i: usize| lines[i].parent_line_number.as_ref().and_then(|number| index.get(number)).copied();
    let mut marks = vec![Mark::New; lines.len()];
    let mut circular = vec![false; lines.len()];
    for start in 0..lines.len() {
        let mut path = Vec::new();
        let mut at = Some(start);
        while let Some(i) = at.filter(|i| marks[*i] == Mark::New) {
            marks[i] = Mark::OnPath;
            path.push(i);
            at = parent(i);
        }
        if let Some(first) = at.filter(|i| marks[*i] == Mark::OnPath) {
            path.iter().skip_while(|i| **i != first).for_each(|i| circular[*i] = true);
        }
        path.iter().for_each(|i| marks[*i] = Mark::Done);
    }
    circular
}
