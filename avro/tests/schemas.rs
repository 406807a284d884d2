//! What holds for all schemas together: files, topics and the domain's names agree, every event has the same
//! envelope, everything is documented, and released schemas do not change unnoticed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use cpq_avro::{Family, Kind, Schema, Schemas, topics};
use cpq_domain::order::{OrderCommand, OrderEvent};
use cpq_domain::quote::{QuoteCommand, QuoteEvent};
use cpq_domain::workflow::{WorkflowCommand, WorkflowEvent};
use pretty_assertions::assert_eq;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Names of an enum's variants. The match stops compiling when the domain gains one, so that none is forgotten.
macro_rules! names {
    ($enum:ident: $($variant:ident)+) => {{
        fn exhaustive(value: &$enum) {
            match value {
                $($enum::$variant(_) => (),)+
            }
        }
        let _ = exhaustive;
        BTreeSet::from([$(stringify!($variant)),+])
    }};
}

fn named(schemas: &Schemas, kind: Kind, family: Family) -> BTreeSet<&'static str> {
    schemas.iter().filter(|s| s.kind == kind && s.family == family).map(|s| s.name).collect()
}

fn parsed(schema: &Schema) -> Value {
    serde_json::from_str(&schema.json).unwrap()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn schema_files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(schema_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "avsc") {
            files.insert(path);
        }
    }
    files
}

#[test]
fn every_event_and_command_of_the_domain_has_a_schema_and_no_schema_is_without_one() {
    let schemas = Schemas::load().unwrap();
    let quote_events = names!(QuoteEvent: QuoteCreated QuoteConfigured QuotePriced QuoteSubmittedForApproval
        QuoteApprovalStarted QuoteApprovalStepClaimed QuoteApprovalStepReleased QuoteApprovalStepDecided
        QuoteApprovalEscalated QuoteApprovalWithdrawn QuoteApproved QuoteApprovalRejected QuoteArtifactGenerated
        QuoteAccepted QuoteOrderLinked QuoteReopened QuoteWithdrawn QuoteExpired);
    let quote_commands = names!(QuoteCommand: CreateQuote ConfigureQuote PriceQuote SubmitForApproval WithdrawApproval
        DecideApproval ClaimTask UnclaimTask CompleteTask GenerateArtifact AcceptQuote RequestOrder
        RecordApprovalStarted EscalateApprovalStep RecordArtifact LinkOrder WithdrawQuote ReopenQuote
        CloneQuote ExpireQuote);
    let order_events = names!(OrderEvent: OrderCreated OrderFulfilmentStarted OrderStepStarted OrderStepCompleted
        OrderStepOutcomeUnknown OrderStepCompensated OrderCompensationFailed OrderFalloutRaised OrderFalloutResolved
        OrderCompleted OrderCancellationRequested OrderCancelled);
    let order_commands = names!(OrderCommand: CreateOrder CancelOrder RecordFulfilmentStarted RecordStepStarted
        RecordStepCompleted RecordStepUnknown RecordStepRejected RecordStepFailed RecordStepCompensated
        RecordCompensationFailed RecordFulfilmentCancelled);
    let workflow_events = names!(WorkflowEvent: ProcessStarted UserTaskCreated UserTaskCompleted UserTaskEscalated
        IncidentRaised IncidentResolved);
    let workflow_commands = names!(WorkflowCommand: StartApproval CompleteApprovalStep EndApproval StartFulfilment
        CancelFulfilment RenderArtifact);
    assert_eq!(named(&schemas, Kind::Event, Family::Quote), quote_events);
    assert_eq!(named(&schemas, Kind::Command, Family::Quote), quote_commands);
    assert_eq!(named(&schemas, Kind::Event, Family::Order), order_events);
    assert_eq!(named(&schemas, Kind::Command, Family::Order), order_commands);
    assert_eq!(named(&schemas, Kind::Event, Family::Workflow), workflow_events);
    assert_eq!(named(&schemas, Kind::Command, Family::Workflow), workflow_commands);
    assert_eq!(named(&schemas, Kind::State, Family::Quote), BTreeSet::from(["QuoteState"]));
    assert_eq!(named(&schemas, Kind::State, Family::Order), BTreeSet::from(["OrderState"]));
}

#[test]
fn every_topic_has_a_schema_and_every_schema_a_topic() {
    let schemas = Schemas::load().unwrap();
    let mut built: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for schema in schemas.iter() {
        built.entry(schema.topic).or_default().insert(schema.full_name.clone());
    }
    let topics = topics::load().unwrap();
    let listed = topics.iter().filter(|topic| !topic.dead_letter);
    let listed = listed.map(|t| (t.name.as_str(), t.schemas.iter().cloned().collect())).collect();
    assert_eq!(built, listed);
    assert_eq!(built.keys().copied().collect::<BTreeSet<_>>(), BTreeSet::from(topics::ALL));
}

#[test]
fn every_consumer_has_a_dead_letter_topic_and_every_retention_a_reason() {
    let topics = topics::load().unwrap();
    for topic in &topics {
        assert!(topic.reason.len() > 20, "{} says why", topic.name);
        assert_eq!(topic.max_message_bytes, 8 * 1024 * 1024);
        for consumer in &topic.consumers {
            let name = topics::dlq(&topic.name, consumer);
            assert!(topics.iter().any(|other| other.dead_letter && other.name == name), "{name}");
        }
    }
}

#[test]
fn every_schema_file_is_compiled_in() {
    let schemas = Schemas::load().unwrap();
    let text: String = schemas.iter().map(|schema| schema.json.as_str()).collect();
    for file in schema_files(&folder()) {
        let json: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let name = json["name"].as_str().unwrap();
        assert_eq!(file.file_stem().unwrap(), name, "a file is named after its record");
        let full_name = format!("{}.{name}", json["namespace"].as_str().unwrap());
        let known = schemas.by_full_name(&full_name).is_some() || text.contains(&format!("\"name\":\"{name}\""));
        assert!(known, "{} is neither a record nor used by one", file.display());
    }
}

#[test]
fn the_envelope_is_the_same_in_all_events_and_in_all_commands() {
    let schemas = Schemas::load().unwrap();
    for kind in [Kind::Event, Kind::Command] {
        let envelopes: BTreeMap<String, &str> = schemas
            .iter()
            .filter(|schema| schema.kind == kind)
            .map(|schema| {
                let mut fields = parsed(schema)["fields"].as_array().unwrap().clone();
                assert_eq!(fields.pop().unwrap()["name"], "payload", "{} ends with its payload", schema.full_name);
                (Value::Array(fields).to_string(), schema.name)
            })
            .collect();
        assert_eq!(envelopes.len(), 1, "{kind:?}: {:?}", envelopes.values());
    }
}

#[test]
fn an_events_payload_opens_with_what_it_happened_to() {
    for schema in Schemas::load().unwrap().iter().filter(|schema| schema.kind == Kind::Event) {
        let whole = parsed(schema);
        let fields = whole["fields"].as_array().unwrap().last().unwrap()["type"]["fields"].as_array().unwrap();
        let names: Vec<&str> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
        assert!(names.starts_with(schema.family.payload_prefix()), "{}: {names:?}", schema.full_name);
    }
}

/// Calls `visit` with every record of a schema and whether a currency is known there.
fn records(schema: &Value, currency: bool, visit: &mut impl FnMut(&Value, bool)) {
    match schema {
        Value::Array(branches) => branches.iter().for_each(|branch| records(branch, currency, visit)),
        Value::Object(object) if object.contains_key("fields") => {
            visit(schema, currency);
            let mut currency = currency;
            for field in object["fields"].as_array().unwrap() {
                records(&field["type"], currency, visit);
                currency |= field["name"] == "currency";
            }
        }
        Value::Object(object) => {
            for part in ["type", "items", "values"] {
                object.get(part).into_iter().for_each(|part| records(part, currency, visit));
            }
        }
        _ => {}
    }
}

#[test]
fn every_record_and_field_is_documented() {
    for schema in Schemas::load().unwrap().iter() {
        records(&parsed(schema), false, &mut |record, _| {
            let documented = |part: &Value| part["doc"].as_str().is_some_and(|doc| !doc.is_empty());
            assert!(documented(record), "{}: {}", schema.full_name, record["name"]);
            for field in record["fields"].as_array().unwrap() {
                assert!(documented(field), "{}: {}.{}", schema.full_name, record["name"], field["name"]);
            }
        });
    }
}

#[test]
fn wherever_money_stands_its_currency_stands_before_it() {
    for schema in Schemas::load().unwrap().iter() {
        records(&parsed(schema), false, &mut |record, known| {
            let mut known = known;
            for field in record["fields"].as_array().unwrap() {
                let ty = field["type"].to_string();
                let is_money = ty.contains("\"MONEY\"") && !ty.contains("\"fields\"");
                assert!(!is_money || known, "{}: {}.{}", schema.full_name, record["name"], field["name"]);
                known |= field["name"] == "currency";
            }
        });
    }
}

#[test]
fn what_may_be_absent_has_a_default() {
    for schema in Schemas::load().unwrap().iter() {
        records(&parsed(schema), false, &mut |record, _| {
            for field in record["fields"].as_array().unwrap() {
                let optional = field["type"].as_array().is_some_and(|branches| branches[0] == "null");
                let many = field["type"]["type"] == "array" || field["type"]["type"] == "map";
                let name = format!("{}: {}.{}", schema.full_name, record["name"], field["name"]);
                assert!(!(optional || many) || field.get("default").is_some(), "{name}");
            }
        });
    }
}

#[test]
fn nothing_that_may_grow_is_an_avro_enum_and_no_number_can_become_too_narrow() {
    for schema in Schemas::load().unwrap().iter() {
        for narrow in ["\"enum\"", "\"int\"", "\"float\"", "\"double\"", "\"fixed\""] {
            assert!(!schema.json.contains(&format!("\"type\":{narrow}")), "{} has {narrow}", schema.full_name);
        }
    }
}

/// Released schemas are frozen: records written with them are on topics for ever. A new record, or a change
/// that `cpq schemas check` finds FULL_TRANSITIVE against a registry that holds the released ones (with the
/// event's version raised), is added with `UPDATE_SCHEMAS_LOCK=1 cargo test -p cpq-avro --test schemas`.
#[test]
fn released_schemas_are_frozen() {
    let path = folder().join("schemas.lock");
    let schemas = Schemas::load().unwrap();
    let lines: BTreeSet<String> = schemas.iter().map(|s| format!("{} {}\n", s.full_name, s.fingerprint)).collect();
    let lock: String = lines.into_iter().collect();
    if std::env::var_os("UPDATE_SCHEMAS_LOCK").is_some() {
        fs::write(&path, &lock).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), lock, "see this test's comment for how to add or change a schema");
}
