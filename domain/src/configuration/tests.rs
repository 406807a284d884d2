//! Faults of form and of catalog, and what a valid configuration keeps.

use super::*;
use crate::catalog::CatalogSource;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};

fn catalog_with(rules: Value) -> Catalog {
    let offering = |id: &str, characteristics: Value, children: Value| {
        json!({"id": id, "version": "1", "name": id, "sellableFrom": "2026-01-01T00:00:00Z", "taxCategory": "STANDARD",
            "characteristics": characteristics, "children": children, "fulfilment": ["START_BILLING"]})
    };
    let mut newer = offering("fiber", json!([{"name": "sla", "type": "STRING"}]), json!([]));
    newer["version"] = json!("2");
    newer["sellableFrom"] = json!("2027-01-01T00:00:00Z");
    let mut ended = offering("dsl", json!([]), json!([]));
    ended["sellableTo"] = json!("2026-03-01T00:00:00Z");
    let mut hidden = offering("secret", json!([]), json!([]));
    hidden["segments"] = json!(["GOVERNMENT"]);
    let source = json!({
        "catalogVersion": "2026.11",
        "offerings": [
            offering("fiber", json!([
                {"name": "sla", "type": "STRING", "allowed": ["BRONZE", "GOLD"], "default": "BRONZE"},
                {"name": "ips", "type": "INTEGER", "min": 0, "max": 64, "default": 0},
                {"name": "speed", "type": "DECIMAL", "min": "0.5", "max": "10", "allowed": ["0.5", "1", "2.5", "10"]},
                {"name": "managed", "type": "BOOLEAN"},
                {"name": "start", "type": "DATE", "min": "2026-01-01", "max": "2026-12-31"},
                {"name": "site/a~b", "type": "STRING", "pattern": "[A-Z]{2}-[0-9]+", "required": true}]),
                json!([{"offeringId": "router", "min": 1, "max": 2}, {"offeringId": "card", "max": 1}])),
            newer, ended, hidden,
            offering("router", json!([{"name": "colour", "type": "STRING"}]), json!([{"offeringId": "card", "min": 0}])),
            offering("card", json!([]), json!([])),
            offering("voice", json!([]), json!([])),
        ],
        "rules": rules
    });
    Catalog::compile(serde_json::from_value::<CatalogSource>(source).unwrap()).unwrap()
}

fn customer() -> Customer {
    serde_json::from_value(json!({"customerAccountId": "acct-1", "name": "N", "segment": "SMB", "jurisdiction": "US-CA", "salesOwnerId": "alice"}))
        .unwrap()
}

fn at() -> Moment {
    Moment::parse("2026-06-01T00:00:00Z").unwrap()
}

/// A line of `offering`, with these differences.
fn line(number: &str, offering: &str, difference: Value) -> Value {
    let mut line = json!({"lineNumber": number, "productOfferingId": offering, "quantity": "1", "action": "ADD"});
    if offering == "fiber" {
        line["characteristics"] = json!({"site/a~b": "SF-1"});
    }
    line.as_object_mut().unwrap().extend(difference.as_object().unwrap().clone());
    line
}

fn under(number: &str, parent: &str, offering: &str) -> Value {
    line(number, offering, json!({"parentLineNumber": parent}))
}

fn requests(lines: Vec<Value>) -> Vec<LineRequest> {
    serde_json::from_value(Value::Array(lines)).unwrap()
}

/// A fiber line with these differences, and the router it needs.
fn fiber(difference: Value) -> Vec<Value> {
    vec![line("1", "fiber", difference), under("1.1", "1", "router")]
}

fn configured(lines: Vec<Value>) -> Configuration {
    let lines = requests(lines);
    assert_eq!(check_form(&lines), []);
    let configuration = configure(&catalog_with(json!([])), &customer(), at(), &lines).unwrap();
    let again: Configuration = serde_json::from_value(serde_json::to_value(&configuration).unwrap()).unwrap();
    assert_eq!(again, configuration, "a configuration survives its JSON");
    assert_eq!(again.computed_hash(), again.configuration_hash);
    configuration
}

fn refused(rules: Value, lines: Vec<Value>) -> (ErrorCode, Vec<(String, FieldCode)>) {
    let lines = requests(lines);
    assert_eq!(check_form(&lines), []);
    match configure(&catalog_with(rules), &customer(), at(), &lines) {
        Ok(_) => panic!("accepted"),
        Err(rejection) => {
            (rejection.code, rejection.errors.into_iter().map(|error| (error.pointer, error.code)).collect())
        }
    }
}

use FieldCode::*;

#[rstest]
#[case::quantity_zero(vec![line("1", "voice", json!({"quantity": "0"}))], "/lines/0/quantity", OutOfRange)]
#[case::quantity_zero_with_decimals(vec![line("1", "voice", json!({"quantity": "0.000"}))], "/lines/0/quantity", OutOfRange)]
#[case::quantity_negative(vec![line("1", "voice", json!({"quantity": "-1"}))], "/lines/0/quantity", OutOfRange)]
#[case::quantity_of_seven_decimals(vec![line("1", "voice", json!({"quantity": "0.0000001"}))], "/lines/0/quantity", OutOfRange)]
#[case::quantity_of_fourteen_digits(vec![line("1", "voice", json!({"quantity": "10000000000000"}))], "/lines/0/quantity", OutOfRange)]
#[case::number_twice(vec![line("1", "voice", json!({})), line("1", "voice", json!({}))], "/lines/1/lineNumber", NotAllowed)]
#[case::number_empty(vec![line("", "voice", json!({}))], "/lines/0/lineNumber", Pattern)]
#[case::number_of_blanks(vec![line(" 1", "voice", json!({}))], "/lines/0/lineNumber", Pattern)]
#[case::number_with_a_line_break(vec![line("1\n2", "voice", json!({}))], "/lines/0/lineNumber", Pattern)]
#[case::unknown_parent(vec![under("1", "9", "voice")], "/lines/0/parentLineNumber", UnknownReference)]
#[case::own_parent(vec![under("1", "1", "voice")], "/lines/0/parentLineNumber", NotAllowed)]
#[case::circle(vec![under("1", "2", "voice"), under("2", "1", "voice")], "/lines/0/parentLineNumber", NotAllowed)]
#[case::change_without_asset(vec![line("1", "voice", json!({"action": "CHANGE"}))], "/lines/0/assetId", Required)]
#[case::disconnect_without_asset(vec![line("1", "voice", json!({"action": "DISCONNECT"}))], "/lines/0/assetId", Required)]
#[case::disconnect_with_a_blank_asset(vec![line("1", "voice", json!({"action": "DISCONNECT", "assetId": " "}))], "/lines/0/assetId", Required)]
#[case::add_with_asset(vec![line("1", "voice", json!({"assetId": "a"}))], "/lines/0/assetId", NotAllowed)]
#[case::no_such_day(vec![line("1", "voice", json!({"requestedDate": "2026-02-30"}))], "/lines/0/requestedDate", Pattern)]
#[case::an_instant_is_no_date(vec![line("1", "voice", json!({"requestedDate": "2026-02-01T00:00:00Z"}))], "/lines/0/requestedDate", Pattern)]
#[case::nul(vec![line("1", "voice", json!({"characteristics": {"a/b": "x\u{0}"}}))], "/lines/0/characteristics/a~1b", Pattern)]
#[case::no_lines(vec![], "/lines", Required)]
fn form_is_judged_without_a_catalog(#[case] lines: Vec<Value>, #[case] pointer: &str, #[case] code: FieldCode) {
    let found: Vec<_> = check_form(&requests(lines)).into_iter().map(|error| (error.pointer, error.code)).collect();
    assert!(found.contains(&(pointer.to_owned(), code)), "{found:?}");
}

#[test]
fn a_line_that_hangs_on_a_circle_is_not_part_of_it() {
    let lines = requests(vec![under("1", "2", "voice"), under("2", "3", "voice"), under("3", "2", "voice")]);
    let found: Vec<_> = check_form(&lines).into_iter().map(|error| error.pointer).collect();
    assert_eq!(found, ["/lines/1/parentLineNumber", "/lines/2/parentLineNumber"]);
}

#[rstest]
#[case(json!({"quantity": 1}))]
#[case(json!({"quantity": "one"}))]
#[case(json!({"quantity": "1e3"}))]
#[case(json!({"lineNumber": 1}))]
#[case(json!({"action": "REPLACE"}))]
#[case(json!({"colour": "red"}))]
#[case(json!({"characteristics": {"speed": 1.5}}))]
fn a_line_of_another_shape_is_no_line(#[case] difference: Value) {
    assert!(serde_json::from_value::<LineRequest>(line("1", "voice", difference)).is_err());
}

#[rstest]
#[case::unknown_offering(vec![line("1", "ghost", json!({}))], ErrorCode::OfferingNotVisible, "/lines/0/productOfferingId", UnknownReference)]
#[case::hidden_offering(vec![line("1", "secret", json!({}))], ErrorCode::OfferingNotVisible, "/lines/0/productOfferingId", UnknownReference)]
#[case::sale_has_ended(vec![line("1", "dsl", json!({}))], ErrorCode::OfferingNotVisible, "/lines/0/productOfferingId", UnknownReference)]
#[case::change_sells_again(vec![line("1", "dsl", json!({"action": "CHANGE", "assetId": "a"}))], ErrorCode::OfferingNotVisible, "/lines/0/productOfferingId", UnknownReference)]
#[case::sale_has_not_begun(fiber(json!({"productOfferingVersion": "2"})), ErrorCode::OfferingNotVisible, "/lines/0/productOfferingVersion", UnknownReference)]
#[case::unknown_version(fiber(json!({"productOfferingVersion": "9"})), ErrorCode::OfferingNotVisible, "/lines/0/productOfferingVersion", UnknownReference)]
#[case::unknown_characteristic(fiber(json!({"characteristics": {"site/a~b": "SF-1", "x/y": 1}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/x~1y", UnknownField)]
#[case::missing(fiber(json!({"characteristics": {}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/site~1a~0b", Required)]
#[case::not_allowed(fiber(json!({"characteristics": {"site/a~b": "SF-1", "sla": "TIN"}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/sla", NotAllowed)]
#[case::string_as_number(fiber(json!({"characteristics": {"site/a~b": "SF-1", "sla": 1}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/sla", WrongType)]
#[case::integer_as_string(fiber(json!({"characteristics": {"site/a~b": "SF-1", "ips": "8"}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/ips", WrongType)]
#[case::integer_above(fiber(json!({"characteristics": {"site/a~b": "SF-1", "ips": 65}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/ips", OutOfRange)]
#[case::integer_below(fiber(json!({"characteristics": {"site/a~b": "SF-1", "ips": -1}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/ips", OutOfRange)]
#[case::decimal_as_number(fiber(json!({"characteristics": {"site/a~b": "SF-1", "speed": 1}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/speed", WrongType)]
#[case::decimal_as_word(fiber(json!({"characteristics": {"site/a~b": "SF-1", "speed": "fast"}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/speed", Pattern)]
#[case::decimal_not_allowed(fiber(json!({"characteristics": {"site/a~b": "SF-1", "speed": "3"}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/speed", NotAllowed)]
#[case::boolean_as_string(fiber(json!({"characteristics": {"site/a~b": "SF-1", "managed": "true"}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/managed", WrongType)]
#[case::date_before(fiber(json!({"characteristics": {"site/a~b": "SF-1", "start": "2025-12-31"}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/start", OutOfRange)]
#[case::no_date(fiber(json!({"characteristics": {"site/a~b": "SF-1", "start": "31.12.2026"}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/start", Pattern)]
#[case::pattern(fiber(json!({"characteristics": {"site/a~b": "sf-1"}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/site~1a~0b", Pattern)]
#[case::pattern_matches_the_whole(fiber(json!({"characteristics": {"site/a~b": "xSF-1"}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/site~1a~0b", Pattern)]
#[case::pattern_and_a_line_break(fiber(json!({"characteristics": {"site/a~b": "SF-1\n"}})), ErrorCode::ConfigurationInvalid, "/lines/0/characteristics/site~1a~0b", Pattern)]
#[case::child_too_few(vec![line("1", "fiber", json!({}))], ErrorCode::ConfigurationInvalid, "/lines/0", Cardinality)]
#[case::child_too_many([fiber(json!({})), vec![under("1.2", "1", "router"), under("1.3", "1", "router")]].concat(), ErrorCode::ConfigurationInvalid, "/lines/0", Cardinality)]
#[case::not_a_child([fiber(json!({})), vec![under("1.2", "1", "voice")]].concat(), ErrorCode::ConfigurationInvalid, "/lines/2/productOfferingId", NotAllowed)]
fn the_catalog_refuses(
    #[case] lines: Vec<Value>,
    #[case] error: ErrorCode,
    #[case] pointer: &str,
    #[case] code: FieldCode,
) {
    assert_eq!(refused(json!([]), lines), (error, vec![(pointer.to_owned(), code)]));
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_lines() {
    let lines = vec![
        line("1", "fiber", json!({"characteristics": {"ips": 99, "x": 1}})),
        line("2", "ghost", json!({})),
        under("3", "1", "voice"),
    ];
    let (code, errors) = refused(json!([]), lines);
    assert_eq!(code, ErrorCode::OfferingNotVisible);
    let expected = [
        ("/lines/0/characteristics/ips", OutOfRange),
        ("/lines/0/characteristics/x", UnknownField),
        ("/lines/0/characteristics/site~1a~0b", Required),
        ("/lines/0", Cardinality),
        ("/lines/1/productOfferingId", UnknownReference),
        ("/lines/2/productOfferingId", NotAllowed),
    ];
    assert_eq!(errors, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
}

#[test]
fn a_configured_line_has_its_version_its_defaults_and_what_the_order_needs() {
    let difference = json!({"characteristics": {"site/a~b": "SF-1", "sla": "GOLD", "speed": "2.50"}, "requestedDate": "2026-07-01", "quantity": "2.500"});
    let configuration = configured(fiber(difference));
    assert_eq!((configuration.catalog_version.as_str(), configuration.segment.as_str()), ("2026.11", "SMB"));
    let expected = json!({"lineNumber": "1", "parentLineNumber": null, "productOfferingId": "fiber", "productOfferingVersion": "1",
        "productOfferingName": "fiber", "quantity": "2.5", "action": "ADD",
        "characteristics": {"ips": 0, "site/a~b": "SF-1", "sla": "GOLD", "speed": "2.50"},
        "assetId": null, "requestedDate": "2026-07-01", "taxCategory": "STANDARD", "fulfilment": ["START_BILLING"]});
    assert_eq!(serde_json::to_value(&configuration.lines[0]).unwrap(), expected);
}

#[test]
fn the_hash_is_of_what_the_configuration_says() {
    let one = configured(fiber(json!({"quantity": "2.50"}))).configuration_hash;
    assert_eq!(one, configured(fiber(json!({"quantity": "2.5"}))).configuration_hash);
    assert_ne!(one, configured(fiber(json!({"quantity": "2.6"}))).configuration_hash);
    assert!(one.starts_with("sha256:") && one.len() == 71, "{one}");
}

#[rstest]
#[case::disconnect("DISCONNECT")]
#[case::no_change("NO_CHANGE")]
fn what_is_installed_may_be_kept_or_ended_after_its_sale_has_ended(#[case] action: &str) {
    let configuration = configured(vec![line("1", "dsl", json!({"action": action, "assetId": "a"}))]);
    assert_eq!(configuration.lines[0].product_offering_version, "1");
}

#[rstest]
#[case::disconnected_children_do_not_count(vec![line("1", "fiber", json!({})), line("2", "router", json!({"parentLineNumber": "1", "action": "DISCONNECT", "assetId": "a"}))],
    Some("/lines/0"))]
#[case::unchanged_children_count(vec![line("1", "fiber", json!({})), line("2", "router", json!({"parentLineNumber": "1", "action": "NO_CHANGE", "assetId": "a"}))], None)]
#[case::a_disconnected_line_is_not_asked_for_children(vec![line("1", "fiber", json!({"action": "DISCONNECT", "assetId": "a"}))], None)]
#[case::a_disconnected_line_is_not_asked_for_characteristics(vec![line("1", "fiber", json!({"action": "DISCONNECT", "assetId": "a", "characteristics": {}}))], None)]
#[case::no_change_needs_no_asset(vec![line("1", "voice", json!({"action": "NO_CHANGE"}))], None)]
#[case::lines_are_counted_not_quantities(vec![line("1", "fiber", json!({})), line("2", "router", json!({"parentLineNumber": "1", "quantity": "9"}))], None)]
#[case::each_parent_line_has_its_own([fiber(json!({})), vec![line("2", "fiber", json!({}))]].concat(), Some("/lines/2"))]
#[case::no_maximum([fiber(json!({})), (0..9).map(|i| under(&format!("c{i}"), "1.1", "card")).collect()].concat(), None)]
#[case::a_part_may_stand_alone(vec![line("1", "router", json!({}))], None)]
fn cardinalities_count_lines_under_one_parent(#[case] lines: Vec<Value>, #[case] fault: Option<&str>) {
    match fault {
        None => assert!(!configured(lines).lines.is_empty()),
        Some(pointer) => {
            let expected = (ErrorCode::ConfigurationInvalid, vec![(pointer.to_owned(), Cardinality)]);
            assert_eq!(refused(json!([]), lines), expected);
        }
    }
}

fn rule(kind: &str, scope: &str, condition: Value, then: Value) -> Value {
    json!([{"id": "r", "kind": kind, "if": condition, "then": then, "scope": scope}])
}
fn of(offering: &str) -> Value {
    json!({"offeringId": offering})
}

#[rstest]
// REQUIRES
#[case::children_present("REQUIRES", "CHILDREN", of("router"), of("card"), vec![line("1", "router", json!({})), under("2", "1", "card")], &[])]
#[case::children_absent("REQUIRES", "CHILDREN", of("router"), of("card"), vec![line("1", "router", json!({})), line("2", "card", json!({}))], &[0])]
#[case::children_of_another("REQUIRES", "CHILDREN", of("router"), of("card"), vec![line("1", "router", json!({})), line("2", "router", json!({})), under("3", "2", "card")], &[0])]
#[case::children_disconnected("REQUIRES", "CHILDREN", of("router"), of("card"), vec![line("1", "router", json!({})),
    line("2", "card", json!({"parentLineNumber": "1", "action": "DISCONNECT", "assetId": "a"}))], &[0])]
#[case::the_if_line_disconnected("REQUIRES", "CHILDREN", of("router"), of("card"), vec![line("1", "router", json!({"action": "DISCONNECT", "assetId": "a"}))], &[])]
#[case::the_if_line_unchanged("REQUIRES", "CHILDREN", of("router"), of("card"), vec![line("1", "router", json!({"action": "NO_CHANGE", "assetId": "a"}))], &[0])]
#[case::grandchildren_are_no_children("REQUIRES", "CHILDREN", of("fiber"), of("card"), [fiber(json!({})), vec![under("3", "1.1", "card")]].concat(), &[0])]
#[case::same_parent_absent_counts("REQUIRES", "SAME_PARENT", of("voice"), of("card"), vec![line("1", "voice", json!({})), line("2", "card", json!({}))], &[])]
#[case::same_parent_elsewhere("REQUIRES", "SAME_PARENT", of("voice"), of("card"), vec![line("1", "voice", json!({})), line("2", "router", json!({})), under("3", "2", "card")], &[0])]
#[case::same_parent_beside("REQUIRES", "SAME_PARENT", of("router"), of("card"), [fiber(json!({})), vec![under("3", "1", "card")]].concat(), &[])]
#[case::quote_anywhere("REQUIRES", "QUOTE", of("voice"), of("card"), vec![line("1", "voice", json!({})), line("2", "router", json!({})), under("3", "2", "card")], &[])]
#[case::quote_nowhere("REQUIRES", "QUOTE", of("voice"), of("card"), vec![line("1", "voice", json!({}))], &[0])]
#[case::another_line_is_not_the_line_itself("REQUIRES", "QUOTE", of("voice"), of("voice"), vec![line("1", "voice", json!({}))], &[0])]
#[case::two_serve_each_other("REQUIRES", "QUOTE", of("voice"), of("voice"), vec![line("1", "voice", json!({})), line("2", "voice", json!({}))], &[])]
#[case::every_line_that_lacks("REQUIRES", "QUOTE", of("voice"), of("card"), vec![line("1", "voice", json!({})), line("2", "voice", json!({}))], &[0, 1])]
// EXCLUDES
#[case::excluded_child("EXCLUDES", "CHILDREN", of("router"), of("card"), vec![line("1", "router", json!({})), under("2", "1", "card")], &[0])]
#[case::excluded_child_is_absent("EXCLUDES", "CHILDREN", of("router"), of("card"), vec![line("1", "router", json!({})), line("2", "card", json!({}))], &[])]
#[case::excluded_beside("EXCLUDES", "SAME_PARENT", of("voice"), of("card"), vec![line("1", "voice", json!({})), line("2", "card", json!({}))], &[0])]
#[case::excluded_in_the_quote("EXCLUDES", "QUOTE", of("voice"), of("card"), vec![line("1", "router", json!({})), under("2", "1", "card"), line("3", "voice", json!({}))], &[2])]
#[case::only_one_of_it("EXCLUDES", "QUOTE", of("voice"), of("voice"), vec![line("1", "voice", json!({})), line("2", "voice", json!({}))], &[0, 1])]
#[case::one_does_not_exclude_itself("EXCLUDES", "QUOTE", of("voice"), of("voice"), vec![line("1", "voice", json!({}))], &[])]
#[case::excluded_but_disconnected("EXCLUDES", "QUOTE", of("voice"), of("card"), vec![line("1", "voice", json!({})), line("2", "card", json!({"action": "DISCONNECT", "assetId": "a"}))], &[])]
// With characteristics on either side.
#[case::condition_holds("REQUIRES", "QUOTE", json!({"offeringId": "fiber", "characteristics": {"sla": "GOLD"}}), of("voice"),
    fiber(json!({"characteristics": {"site/a~b": "SF-1", "sla": "GOLD"}})), &[0])]
#[case::condition_fails("REQUIRES", "QUOTE", json!({"offeringId": "fiber", "characteristics": {"sla": "GOLD"}}), of("voice"), fiber(json!({})), &[])]
#[case::condition_holds_by_default("REQUIRES", "QUOTE", json!({"offeringId": "fiber", "characteristics": {"ips": {"lt": 8}}}), of("voice"), fiber(json!({})), &[0])]
#[case::condition_on_nothing("REQUIRES", "QUOTE", json!({"offeringId": "fiber", "characteristics": {"managed": false}}), of("voice"), fiber(json!({})), &[])]
#[case::then_is_of_another_kind("REQUIRES", "CHILDREN", of("fiber"), json!({"offeringId": "router", "characteristics": {"colour": "RED"}}), fiber(json!({})), &[0])]
fn a_rule_binds_in_its_scope(
    #[case] kind: &str,
    #[case] scope: &str,
    #[case] condition: Value,
    #[case] then: Value,
    #[case] lines: Vec<Value>,
    #[case] broken_by: &[usize],
) {
    let lines = requests(lines);
    assert_eq!(check_form(&lines), []);
    let outcome = configure(&catalog_with(rule(kind, scope, condition, then)), &customer(), at(), &lines);
    let found = outcome.err().map(|rejection| rejection.errors).unwrap_or_default();
    let found: Vec<_> = found.into_iter().map(|error| (error.pointer, error.code)).collect();
    let expected: Vec<_> = broken_by.iter().map(|i| (format!("/lines/{i}"), Rule)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_broken_rule_is_told_in_a_sentence() {
    let rules =
        rule("REQUIRES", "CHILDREN", json!({"offeringId": "fiber", "characteristics": {"sla": "BRONZE"}}), of("card"));
    let rejection = configure(&catalog_with(rules), &customer(), at(), &requests(fiber(json!({})))).unwrap_err();
    assert_eq!(rejection.errors[0].detail, "rule r: fiber with sla \"BRONZE\" requires card under it");
}

#[test]
fn the_order_of_lines_does_not_matter_to_what_is_valid() {
    let mut lines = fiber(json!({}));
    lines.reverse();
    assert_eq!(configured(lines).lines[0].line_number.as_str(), "1.1");
}

/// The choices for the first fault, each as `op path value`.
fn choices(rules: Value, lines: Vec<Value>) -> Vec<String> {
    let lines = requests(lines);
    let catalog = catalog_with(rules);
    let rejection = configure(&catalog, &customer(), at(), &lines).unwrap_err();
    let advised = advise(&catalog, &customer(), at(), &lines, rejection);
    let shown = |choice: &crate::rejection::Choice| {
        let value = choice.value.as_ref().map(|value| format!(" {value}")).unwrap_or_default();
        format!("{:?} {}{value}", choice.op, choice.path).replace('"', "'")
    };
    advised.errors[0].choices.iter().map(shown).collect()
}

const SITE: &str = "SF-1";

#[rstest]
#[case::another_value(json!([]), fiber(json!({"characteristics": {"site/a~b": SITE, "sla": "TIN"}})),
    &["Replace /lines/0/characteristics/sla 'BRONZE'", "Replace /lines/0/characteristics/sla 'GOLD'"])]
#[case::out_of_the_condition_or_the_part(
    rule("REQUIRES", "CHILDREN", json!({"offeringId": "fiber", "characteristics": {"sla": "GOLD"}}), of("card")),
    fiber(json!({"characteristics": {"site/a~b": SITE, "sla": "GOLD"}})),
    &["Replace /lines/0/characteristics/sla 'BRONZE'",
      "Add /lines/- {'lineNumber':'1.2','productOfferingId':'card','quantity':'1','action':'ADD','parentLineNumber':'1'}"])]
#[case::by_default(
    rule("REQUIRES", "QUOTE", json!({"offeringId": "fiber", "characteristics": {"sla": "BRONZE"}}), of("voice")), fiber(json!({})),
    &["Add /lines/0/characteristics/sla 'GOLD'",
      "Add /lines/- {'lineNumber':'2','productOfferingId':'voice','quantity':'1','action':'ADD'}"])]
#[case::beside_it(
    rule("REQUIRES", "SAME_PARENT", of("router"), of("card")), fiber(json!({})),
    &["Add /lines/- {'lineNumber':'1.2','productOfferingId':'card','quantity':'1','action':'ADD','parentLineNumber':'1'}"])]
#[case::a_part_with_what_the_rule_names(
    rule("REQUIRES", "QUOTE", of("voice"), json!({"offeringId": "router", "characteristics": {"colour": {"in": ["RED", "BLUE"]}}})),
    vec![line("1", "voice", json!({}))],
    &["Add /lines/- {'lineNumber':'2','productOfferingId':'router','quantity':'1','action':'ADD','characteristics':{'colour':'RED'}}"])]
#[case::a_part_that_has_more_to_be_filled_in(
    rule("REQUIRES", "QUOTE", of("voice"), json!({"offeringId": "fiber", "characteristics": {"sla": "GOLD"}})),
    [vec![line("1", "voice", json!({}))], fiber(json!({"lineNumber": "2"})).into_iter().map(|mut line| {
        if line["lineNumber"] == "1.1" { line["parentLineNumber"] = json!("2"); } line }).collect()].concat(),
    &["Add /lines/1/characteristics/sla 'GOLD'"])]
#[case::without_the_other(
    rule("EXCLUDES", "QUOTE", of("voice"), of("card")), vec![line("1", "voice", json!({})), line("2", "card", json!({}))],
    &["Remove /lines/1"])]
#[case::the_other_otherwise(
    rule("EXCLUDES", "QUOTE", of("voice"), json!({"offeringId": "fiber", "characteristics": {"sla": "GOLD"}})),
    [vec![line("9", "voice", json!({}))], fiber(json!({"characteristics": {"site/a~b": SITE, "sla": "GOLD"}}))].concat(),
    &["Replace /lines/1/characteristics/sla 'BRONZE'"])]
#[case::one_more_child(json!([]), vec![line("1", "fiber", json!({}))],
    &["Add /lines/- {'lineNumber':'1.1','productOfferingId':'router','quantity':'1','action':'ADD','parentLineNumber':'1'}"])]
#[case::one_child_less(json!([]), [fiber(json!({})), vec![under("a", "1", "router"), under("b", "1", "router")]].concat(),
    &["Remove /lines/1", "Remove /lines/2", "Remove /lines/3"])]
#[case::a_child_that_others_stand_under_stays(json!([]),
    [fiber(json!({})), vec![under("a", "1", "router"), under("b", "1", "router"), under("c", "b", "card")]].concat(),
    &["Remove /lines/1", "Remove /lines/2"])]
#[case::two_missing_are_not_mended_by_one(
    json!([{"id": "a", "kind": "REQUIRES", "if": {"offeringId": "voice"}, "then": {"offeringId": "card"}, "scope": "QUOTE"},
        {"id": "b", "kind": "EXCLUDES", "if": {"offeringId": "voice"}, "then": {"offeringId": "card"}, "scope": "CHILDREN"},
        {"id": "c", "kind": "EXCLUDES", "if": {"offeringId": "card"}, "then": {"offeringId": "voice"}, "scope": "SAME_PARENT"}]),
    vec![line("1", "voice", json!({}))], &[])]
#[case::no_list_to_choose_from(json!([]), fiber(json!({"characteristics": {"site/a~b": "nowhere"}})), &[])]
fn a_choice_that_is_ruled_out_is_told_with_those_that_would_do(
    #[case] rules: Value,
    #[case] lines: Vec<Value>,
    #[case] expected: &[&str],
) {
    assert_eq!(choices(rules, lines), expected);
}

#[test]
fn a_broken_rule_is_named_by_its_id_also_where_nobody_asks_for_advice() {
    let rules = rule("REQUIRES", "QUOTE", of("voice"), of("card"));
    let rejection =
        configure(&catalog_with(rules), &customer(), at(), &requests(vec![line("1", "voice", json!({}))])).unwrap_err();
    assert_eq!((rejection.errors[0].rule.as_deref(), rejection.errors[0].choices.len()), (Some("r"), 0));
}

#[test]
fn advice_ends_where_the_trials_would_cost_too_much() {
    let rules = rule("REQUIRES", "QUOTE", of("voice"), of("card"));
    let lines = requests((0..2_000).map(|i| line(&format!("n{i}"), "voice", json!({}))).collect());
    let catalog = catalog_with(rules);
    let rejection = configure(&catalog, &customer(), at(), &lines).unwrap_err();
    let advised = advise(&catalog, &customer(), at(), &lines, rejection);
    let with_choices = advised.errors.iter().filter(|error| !error.choices.is_empty()).count();
    assert!((1..50).contains(&with_choices), "{with_choices}");
}
