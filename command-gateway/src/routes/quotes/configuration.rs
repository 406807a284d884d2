//! `PUT /quotes/{quoteId}/configuration`.

use crate::call::Call;
use crate::form::{Field, ID, Kind, LINE_NUMBER, Object, QUANTITY, REVISION};
use crate::operation::Reply;
use crate::render::Shape;
use crate::submit;
use cpq_domain::configuration::{LineRequest, check_form};
use cpq_domain::quote::QuoteCommand;
use cpq_domain::rejection::FieldError;
use serde_json::Value;

/// Lines of one quote. The body's bound comes first for all but the shortest lines.
pub const MAX_LINES: usize = 10_000;

pub static LINE: Object = Object {
    name: "LineRequest",
    describes: "One line that the customer wants.",
    fields: &[
        Field::required("lineNumber", LINE_NUMBER, "Unique within the quote; a string."),
        Field::optional("parentLineNumber", LINE_NUMBER, "The line that this one is a part of."),
        Field::required("productOfferingId", ID, "An offering that the customer's segment may see."),
        Field::optional("productOfferingVersion", ID, "Default: the newest sellable version."),
        Field::required("quantity", QUANTITY, "Above 0, at most 13 digits before and 6 after the point."),
        Field::required(
            "action",
            Kind::Choice(&["ADD", "CHANGE", "DISCONNECT", "NO_CHANGE"]),
            "What happens to the product.",
        ),
        Field::with_default(
            "characteristics",
            Kind::Characteristics,
            "{}",
            "Values by name; a DECIMAL or DATE is a string.",
        ),
        Field::optional("assetId", ID, "The installed product that CHANGE, DISCONNECT and NO_CHANGE act on."),
        Field::optional("requestedDate", Kind::Date, "When the customer wants it."),
    ],
    also: None,
    example: r#"{"lineNumber": "1", "productOfferingId": "fiber-1g", "quantity": "2", "action": "ADD", "characteristics": {"sla": "GOLD", "site": "SFO-1"}}"#,
};

pub static BODY: Object = Object {
    name: "ConfigureQuoteRequest",
    describes: "All lines of the quote; they replace those before. Price, approval and artifact fall.",
    fields: &[
        Field::required("quoteRevision", REVISION, "The revision that the caller has seen."),
        Field::required("lines", Kind::List { of: &LINE, max: MAX_LINES }, "The lines."),
    ],
    also: Some(lines_together),
    example: r#"{"quoteRevision": 1, "lines": [{"lineNumber": "1", "productOfferingId": "fiber-1g", "quantity": "2", "action": "ADD", "characteristics": {"sla": "GOLD", "site": "SFO-1"}}, {"lineNumber": "1.1", "parentLineNumber": "1", "productOfferingId": "router-ha", "quantity": "1", "action": "ADD"}]}"#,
};

/// What the core says of lines without a catalog. A faulty field takes a value that is never at fault, so that
/// the others of its line are judged all the same.
fn lines_together(body: &Value) -> Vec<FieldError> {
    let lines = body.get("lines").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let readable: Vec<LineRequest> = lines.iter().enumerate().map(|(index, line)| readable(index, line)).collect();
    check_form(&readable)
}

fn readable(index: usize, line: &Value) -> LineRequest {
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    let action = line.get("action").and_then(|action| serde_json::from_value(action.clone()).ok());
    LineRequest {
        // No client can send this number, so it is no one's twin.
        line_number: text("lineNumber").map_or_else(|| format!("\u{1}{index}").into(), Into::into),
        parent_line_number: text("parentLineNumber").map(Into::into),
        product_offering_id: text("productOfferingId").unwrap_or_default().into(),
        product_offering_version: None,
        quantity: text("quantity").and_then(|q| q.parse().ok()).unwrap_or_else(|| rust_decimal::Decimal::ONE.into()),
        action: action.unwrap_or(cpq_domain::configuration::LineAction::NoChange),
        characteristics: Default::default(),
        asset_id: line.get("assetId").map(|id| id.as_str().unwrap_or_default().into()),
        requested_date: text("requestedDate").map(str::to_owned),
    }
}

pub async fn handle(call: Call) -> Reply {
    let quote = call.quote_id()?;
    let command = call.read()?;
    submit::to_quote(call, quote, QuoteCommand::ConfigureQuote(command), Shape::Quote).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::check;
    use cpq_domain::rejection::FieldCode as C;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(json!([{"lineNumber": 1, "productOfferingId": "x", "quantity": "1", "action": "ADD"}]), "/lines/0/lineNumber", C::WrongType)]
    #[case(json!([{"lineNumber": "1", "productOfferingId": "x", "quantity": 2, "action": "ADD"}]), "/lines/0/quantity", C::WrongType)]
    #[case(json!([{"lineNumber": "1", "productOfferingId": "x", "quantity": "-2", "action": "ADD"}]), "/lines/0/quantity", C::OutOfRange)]
    #[case(json!([{"lineNumber": "1", "productOfferingId": "x", "quantity": "1.1234567", "action": "ADD"}]), "/lines/0/quantity", C::OutOfRange)]
    #[case(json!([{"lineNumber": "1", "productOfferingId": "x", "quantity": "two", "action": "ADD"}]), "/lines/0/quantity", C::Pattern)]
    #[case(json!([{"lineNumber": "1", "productOfferingId": "x", "quantity": "1", "action": "CHANGE"}]), "/lines/0/assetId", C::Required)]
    #[case(json!([{"lineNumber": "1", "productOfferingId": "x", "quantity": 1, "action": "ADD", "assetId": "a"}]), "/lines/0/assetId", C::NotAllowed)]
    #[case(json!([{"lineNumber": "1", "parentLineNumber": "1", "productOfferingId": "x", "quantity": "1", "action": "ADD"}]), "/lines/0/parentLineNumber", C::NotAllowed)]
    #[case(json!([{"lineNumber": "1", "productOfferingId": "x", "quantity": "1", "action": "ADD", "requestedDate": "soon"}]), "/lines/0/requestedDate", C::Pattern)]
    #[case(json!([{"lineNumber": "1", "productOfferingId": "x", "quantity": "1", "action": "ADD"}, {"lineNumber": "1", "productOfferingId": "x", "quantity": "1", "action": "ADD"}]), "/lines/1/lineNumber", C::NotAllowed)]
    #[case(json!([{"lineNumber": "1", "productOfferingId": "x", "quantity": "1", "action": "ADD", "colour": "red"}]), "/lines/0/colour", C::UnknownField)]
    fn a_faulty_line_is_named_once(#[case] lines: Value, #[case] pointer: &str, #[case] code: C) {
        let faults = check(&BODY, &json!({"quoteRevision": 1, "lines": lines})).unwrap_err();
        let found: Vec<_> = faults.iter().filter(|fault| fault.pointer == pointer).collect();
        assert_eq!(found.len(), 1, "{faults:?}");
        assert_eq!(found[0].code, code);
    }

    #[test]
    fn the_example_reads_as_the_core_s_command() {
        let checked = check(&BODY, &serde_json::from_str(BODY.example).unwrap()).unwrap();
        let command: cpq_domain::quote::command::ConfigureQuote = serde_json::from_value(checked).unwrap();
        assert_eq!(command.lines.len(), 2);
    }
}
