//! Every command, event and state of the domain through the encoder and back, to the last digit; and what the
//! decoder says about bytes and schemas that are not this build's.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod samples;

use async_trait::async_trait;
use cpq_avro::{
    AggregateType, Command, DecodeError, Decoder, Encoder, Event, Kind, Record, SchemaSource, Schemas, SourceError,
    headers, topics,
};
use cpq_domain::command::{CommandMeta, IfMatch};
use cpq_domain::order::view::OrderView;
use cpq_domain::quote::view::QuoteView;
use futures::executor::block_on;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

/// A registry of one schema, or none that answers.
struct OneSchema {
    id: i32,
    schema: Option<String>,
    asked: AtomicUsize,
}

#[async_trait]
impl SchemaSource for OneSchema {
    async fn schema(&self, id: i32) -> Result<String, SourceError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match &self.schema {
            None => Err(SourceError::Unavailable("connection refused".to_owned())),
            Some(schema) if id == self.id => Ok(schema.clone()),
            Some(_) => Err(SourceError::Unknown(id)),
        }
    }
}

static SCHEMAS: LazyLock<Arc<Schemas>> = LazyLock::new(|| Schemas::load().unwrap());
static IDS: LazyLock<HashMap<String, i32>> =
    LazyLock::new(|| SCHEMAS.iter().zip(1..).map(|(schema, id)| (schema.subject.clone(), id)).collect());
static ENCODER: LazyLock<Encoder> = LazyLock::new(|| Encoder::new(Arc::clone(&SCHEMAS), &IDS).unwrap());

fn decoder(id: i32, schema: Option<String>) -> (Decoder, Arc<OneSchema>) {
    let source = Arc::new(OneSchema { id, schema, asked: AtomicUsize::new(0) });
    (Decoder::new(Arc::clone(&SCHEMAS), &IDS, Arc::<OneSchema>::clone(&source)), source)
}

fn decoded(bytes: &[u8]) -> Result<Record, DecodeError> {
    block_on(decoder(0, None).0.decode(bytes))
}

fn typed<T: DeserializeOwned>(sample: &Value) -> T {
    serde_json::from_value(sample.clone()).unwrap_or_else(|error| panic!("{sample}: {error}"))
}

fn events() -> Vec<(AggregateType, Event, Value)> {
    let quote = samples::quote_events().into_iter().map(|s| (AggregateType::Quote, Event::Quote(typed(&s)), s));
    let order = samples::order_events().into_iter().map(|s| (AggregateType::Order, Event::Order(typed(&s)), s));
    let flow = samples::workflow_events().into_iter().map(|s| (AggregateType::Approval, Event::Workflow(typed(&s)), s));
    quote.chain(order).chain(flow).collect()
}

fn commands() -> Vec<(AggregateType, Command, Value)> {
    let quote = samples::quote_commands().into_iter().map(|s| (AggregateType::Quote, Command::Quote(typed(&s)), s));
    let order = samples::order_commands().into_iter().map(|s| (AggregateType::Order, Command::Order(typed(&s)), s));
    let flow = samples::workflow_commands().into_iter().map(|sample| {
        let command = typed(&sample);
        (AggregateType::of_workflow(&command), Command::Workflow(command), sample)
    });
    quote.chain(order).chain(flow).collect()
}

fn json_of_event(event: &Event) -> Value {
    match event {
        Event::Quote(event) => json!(event),
        Event::Order(event) => json!(event),
        Event::Workflow(event) => json!(event),
    }
}

fn json_of_command(command: &Command) -> Value {
    match command {
        Command::Quote(command) => json!(command),
        Command::Order(command) => json!(command),
        Command::Workflow(command) => json!(command),
    }
}

#[test]
fn every_event_comes_back_as_it_was_to_the_last_digit() {
    for (aggregate_type, event, sample) in events() {
        let envelope = samples::envelope(aggregate_type, "Q-2026-000123");
        let bytes = ENCODER.event(&envelope, &event).unwrap();
        let Record::Event(back_envelope, back) = decoded(&bytes).unwrap() else { panic!("no event") };
        assert_eq!(back_envelope, envelope);
        assert_eq!(json_of_event(&back), sample);
        assert_eq!(back, event);
    }
}

#[test]
fn every_command_comes_back_as_it_was_to_the_last_digit() {
    let metas: [CommandMeta; 3] =
        [samples::meta(None), samples::meta(Some(IfMatch::Any)), samples::meta(Some(IfMatch::Revisions(vec![3, 4])))];
    for (aggregate_type, command, sample) in commands() {
        for meta in &metas {
            let bytes = ENCODER.command(meta, aggregate_type, "Q-2026-000123", &command).unwrap();
            let Record::Command(back_meta, back_type, back_id, back) = decoded(&bytes).unwrap() else {
                panic!("no command")
            };
            assert_eq!((&back_meta, back_type, back_id.as_str()), (meta, aggregate_type, "Q-2026-000123"));
            assert_eq!(json_of_command(&back), sample);
            assert_eq!(back, command);
        }
    }
}

#[test]
fn every_state_comes_back_as_it_was_and_is_what_get_shows() {
    for (name, sample) in samples::states() {
        let bytes = ENCODER.state(name, &sample).unwrap();
        let Record::State { name: back_name, value } = decoded(&bytes).unwrap() else { panic!("no state") };
        assert_eq!(back_name, name);
        let mut shown = value.clone();
        shown.as_object_mut().unwrap().shift_remove("aggregateSequence");
        let view = match name {
            "cpq.quote.QuoteState" => json!(typed::<QuoteView>(&shown)),
            _ => json!(typed::<OrderView>(&shown)),
        };
        let mut expected = sample.clone();
        let sequence = expected.as_object_mut().unwrap().shift_remove("aggregateSequence");
        assert_eq!(view, expected);
        assert_eq!(value.get("aggregateSequence"), sequence.as_ref());
    }
}

#[test]
fn every_record_has_a_sample() {
    let names = |samples: Vec<Value>| -> BTreeSet<String> {
        samples.iter().map(|sample| sample["type"].as_str().unwrap().to_owned()).collect()
    };
    let known = |kind: Kind| -> BTreeSet<String> {
        SCHEMAS.iter().filter(|schema| schema.kind == kind).map(|schema| schema.name.to_owned()).collect()
    };
    assert_eq!(names(events().into_iter().map(|(_, _, sample)| sample).collect()), known(Kind::Event));
    assert_eq!(names(commands().into_iter().map(|(_, _, sample)| sample).collect()), known(Kind::Command));
}

#[test]
fn another_reader_sees_decimals_instants_and_the_payloads_opening_fields() {
    let (_, event, _) = events().into_iter().find(|(_, event, _)| event.name() == "QuotePriced").unwrap();
    let bytes = ENCODER.event(&samples::envelope(AggregateType::Quote, "Q-2026-000123"), &event).unwrap();
    let (_, schema) = SCHEMAS.by_full_name("cpq.quote.QuotePriced").unwrap();
    let schema = apache_avro::Schema::parse_str(&schema.json).unwrap();
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().unwrap();
    let value = reader.read_value(&mut &bytes[5..]).unwrap();
    let text = format!("{value:?}");
    assert!(text.contains("(\"quoteId\", String(\"Q-2026-000123\")), (\"quoteRevision\", Long(4))"), "{text}");
    assert!(text.contains("Decimal("), "{text}");
    assert!(text.contains("(\"occurredAt\", TimestampMicros(1795412400123456))"), "{text}");
}

#[test]
fn a_record_knows_its_topic() {
    for (aggregate_type, event, _) in events() {
        let record = Record::Event(samples::envelope(aggregate_type, "x"), event.clone());
        let schema = SCHEMAS.iter().find(|s| s.kind == Kind::Event && s.name == event.name()).unwrap();
        assert_eq!(topics::topic_of(&record), schema.topic);
    }
    for (name, value) in samples::states() {
        let record = Record::State { name: name.to_owned(), value };
        assert_eq!(topics::topic_of(&record), SCHEMAS.by_full_name(name).unwrap().1.topic);
    }
}

#[test]
fn headers_follow_the_cloud_events_kafka_binding() {
    let envelope = samples::envelope(AggregateType::Quote, "Q-2026-000123");
    let headers = headers::event(&envelope, AggregateType::Quote, "QuotePriced", Some("00-a-b-01"));
    let expected = [
        ("ce_specversion", "1.0"),
        ("ce_id", "01JZ1R6S8T7XK4A5Q9ZQ8Y6T4Q"),
        ("ce_type", "cpq.quote.QuotePriced.v1"),
        ("ce_source", "/cpq/streams"),
        ("ce_subject", "Q-2026-000123"),
        ("ce_time", "2026-11-23T05:40:00.123456Z"),
        ("content-type", "application/avro"),
        ("tenant_id", "tenant-acme"),
        ("correlation_id", "corr-1"),
        ("traceparent", "00-a-b-01"),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
}

/// The text of a record's schema with a changed payload.
fn changed(full_name: &str, change: impl FnOnce(&mut Vec<Value>)) -> String {
    let mut schema: Value = serde_json::from_str(&SCHEMAS.by_full_name(full_name).unwrap().1.json).unwrap();
    let payload = schema["fields"].as_array_mut().unwrap().last_mut().unwrap();
    change(payload["type"]["fields"].as_array_mut().unwrap());
    schema.to_string()
}

/// The bytes of an event as a build with another schema would write them.
fn written_by(schema: &str, id: i32, value: &Value) -> Vec<u8> {
    let record = cpq_avro::wire::plan::compile(&serde_json::from_str(schema).unwrap()).unwrap();
    let mut bytes = vec![0];
    bytes.extend_from_slice(&id.to_be_bytes());
    cpq_avro::wire::write::write_record(&record, value.as_object().unwrap(), &mut bytes).unwrap();
    bytes
}

fn linked(payload: Value) -> Value {
    let mut value = json!(samples::envelope(AggregateType::Quote, "Q-2026-000123"));
    value["eventType"] = json!("QuoteOrderLinked");
    value["payload"] = payload;
    value
}

#[test]
fn a_newer_builds_event_is_read_and_its_schema_asked_for_once() {
    let newer = changed("cpq.quote.QuoteOrderLinked", |fields| {
        fields.insert(0, json!({"name": "channel", "type": ["null", "string"], "default": null}));
    });
    let payload = json!({"channel": "WEB", "quoteId": "Q-2026-000123", "quoteRevision": 4, "orderId": "O-2026-000045"});
    let bytes = written_by(&newer, 900, &linked(payload));
    let (decoder, source) = decoder(900, Some(newer));
    for _ in 0..3 {
        let Record::Event(_, event) = block_on(decoder.decode(&bytes)).unwrap() else { panic!("no event") };
        assert_eq!(json_of_event(&event), json!({"type": "QuoteOrderLinked", "payload": {"orderId": "O-2026-000045"}}));
    }
    assert_eq!(source.asked.load(Ordering::Relaxed), 1);
}

#[test]
fn an_older_builds_event_gets_the_defaults_of_what_it_did_not_know() {
    let older = changed("cpq.quote.QuoteApprovalWithdrawn", |fields| fields.retain(|f| f["name"] != "reasonCode"));
    let mut value = linked(json!({"quoteId": "Q-2026-000123", "quoteRevision": 4, "approvalRequestId": "apr-1",
        "withdrawnBy": "alice"}));
    value["eventType"] = json!("QuoteApprovalWithdrawn");
    let bytes = written_by(&older, 901, &value);
    let Record::Event(_, event) = block_on(decoder(901, Some(older)).0.decode(&bytes)).unwrap() else {
        panic!("no event")
    };
    assert_eq!(json_of_event(&event)["payload"]["reasonCode"], Value::Null);
}

#[test]
fn a_registry_that_does_not_answer_is_transient_and_an_unknown_id_is_poison() {
    let bytes = [0, 0, 0, 9, 9, 1, 2, 3];
    assert!(matches!(block_on(decoder(0, None).0.decode(&bytes)), Err(DecodeError::RegistryUnavailable { .. })));
    let known = Some("{}".to_owned());
    assert!(matches!(block_on(decoder(0, known).0.decode(&bytes)), Err(DecodeError::Poison { .. })));
}

#[test]
fn what_cannot_be_read_is_poison_with_its_cause() {
    let poison = |bytes: &[u8]| match decoded(bytes) {
        Err(DecodeError::Poison { cause }) => cause,
        other => panic!("{other:?}"),
    };
    assert_eq!(poison(b""), "0 bytes are too few for a schema id");
    assert_eq!(poison(b"{\"a\":1}"), "first byte is 123, not 0");
    let bytes = ENCODER.event(&samples::envelope(AggregateType::Quote, "Q-1"), &events()[0].1).unwrap();
    assert_eq!(poison(&bytes[..30]), "cpq.quote.QuoteCreated/eventId a length of 26 where 24 bytes are left");
}

#[test]
fn an_encoder_without_every_id_is_refused_with_the_missing_subjects() {
    let error = Encoder::new(Arc::clone(&SCHEMAS), &HashMap::new()).unwrap_err();
    assert_eq!(error.subjects.len(), SCHEMAS.len());
    assert!(error.to_string().contains("cpq schemas register"));
}

#[test]
fn a_record_that_no_topic_would_take_is_refused() {
    let mut state = samples::states().remove(0).1;
    state["customerName"] = json!("x".repeat(cpq_avro::MAX_RECORD_BYTES));
    let error = ENCODER.state("cpq.quote.QuoteState", &state).unwrap_err();
    assert!(error.to_string().contains("a message may have"), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(id in 0_i32..120, body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = vec![0];
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend_from_slice(&body);
        let _ = decoded(&bytes);
    }

    #[test]
    fn a_damaged_event_never_makes_the_decoder_panic(which: prop::sample::Index, at: prop::sample::Index, byte: u8) {
        let events = events();
        let (aggregate_type, event, _) = which.get(&events);
        let mut bytes = ENCODER.event(&samples::envelope(*aggregate_type, "Q-1"), event).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decoded(&bytes);
    }

    #[test]
    fn any_money_comes_back_in_its_currencys_digits(minor in -9_999_999_999_999_i64..=9_999_999_999_999, which in 0..4_usize) {
        let (currency, units) = [("USD", 2_u32), ("JPY", 0), ("KWD", 3), ("CLF", 4)][which];
        let amount = cpq_avro::wire::primitive::decimal_text(i128::from(minor), units, units);
        let mut sample = samples::quote_events().remove(3);
        sample["payload"]["price"]["price"]["currency"] = json!(currency);
        for field in ["listAmount", "discountAmount", "totalAmount", "taxAmount", "totalWithTax", "oneTimeAmount",
            "recurringMonthlyAmount"] {
            sample["payload"]["price"]["price"][field] = json!(amount);
        }
        for line in sample["payload"]["price"]["price"]["lines"].as_array_mut().unwrap() {
            for field in ["listAmount", "netAmount", "taxAmount"] {
                line[field] = json!(amount);
            }
        }
        let bytes = ENCODER.event(&samples::envelope(AggregateType::Quote, "Q-1"), &Event::Quote(typed(&sample))).unwrap();
        let Record::Event(_, back) = decoded(&bytes).unwrap() else { panic!("no event") };
        prop_assert_eq!(json_of_event(&back), sample);
    }
}
