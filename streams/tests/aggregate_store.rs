//! Quotes and orders on a real database: what the tables hold together when two writers meet, when a
//! transaction ends early, and when a quote is read back. The first four carry the specification's names
//! (section 28).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aggregate_support;
#[path = "../../runtime/tests/support/mod.rs"]
mod support;

use aggregate_support::{Sent, TENANT, World, accept, line, price};
use cpq_avro::{Event, Record, topics};
use cpq_domain::configuration::Configuration;
use cpq_domain::quote::{self, Quote, QuoteEvent, QuoteStatus};
use cpq_runtime::processor::StepError;
use cpq_state_stores::{StoreError, transitions};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use sqlx::{Row as _, types::Json};

const QUOTE: &str = "Q-2026-000001";
const TWIN: &str = "Q-2026-000002";

/// The constraint that a step was refused by.
fn refused_by(result: Result<(), StepError>) -> String {
    match result {
        Err(StepError::Store(StoreError::Constraint(name))) => name,
        other => panic!("no constraint has refused it: {other:?}"),
    }
}

/// Both have read the same approved revision, and both decide that it is accepted: the revision can be written
/// once, and who comes second writes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn optimistic_lock_prevents_concurrent_quote_acceptance() {
    let world = World::new().await;
    let seen = world.presented(QUOTE).await;
    let (first, second) = (accept(&seen), accept(&seen));
    assert_eq!(refused_by(world.collide(&first, &second).await), "quote_revision_pkey");
    assert_eq!((world.outcome(&first).await, world.outcome(&second).await), (Some(Ok(())), None));

    // The second is tried again and finds what has happened.
    world.decide(&second).await;
    assert_eq!(world.outcome(&second).await, Some(Err("QUOTE_ALREADY_ACCEPTED".to_owned())));
    let quote = world.quote(QUOTE).await;
    assert_eq!((quote.revision, quote.status()), (seen.revision + 1, QuoteStatus::AcceptedPendingOrderCreation));
    let accepted = "select causation_id from cpq.transition_log where event_type = 'QuoteAccepted'";
    let by: Vec<String> = world.database.rows(accepted).await.iter().map(|row| row.get(0)).collect();
    assert_eq!(by, [first.meta.command_id.as_str()]);
    assert_eq!(world.order_commands().await.len(), 1);
}

/// Whoever may ask twice, and however: the table takes one order per accepted quote revision.
#[tokio::test(flavor = "multi_thread")]
async fn unique_constraint_prevents_duplicate_order_per_quote_revision() {
    const UNIQUE: &str = "orders_tenant_id_quote_id_quote_revision_key";
    const OTHER_ID: &str = "O-2026-999999";
    let world = World::new().await;
    world.decide(&accept(&world.presented(QUOTE).await)).await;
    let create = world.order_commands().await.remove(0);
    let twin = create.again_as(OTHER_ID);
    let left_behind = "select (select count(*) from cpq.orders) * 1000 + (select count(*) from cpq.order_line) * 100 \
        + (select count(*) from cpq.transition_log where aggregate_type = 'ORDER') * 10 \
        + (select count(*) from cpq.outbox_event where topic = 'cpq.order.events.v1')";

    assert_eq!(refused_by(world.collide(&create, &twin).await), UNIQUE);
    let of_one = world.database.count(left_behind).await;
    assert_eq!(of_one, 1211, "one order with two lines, one transition, one event");

    let mut tx = world.begin().await;
    assert_eq!(refused_by(world.apply(&mut tx, &twin).await), UNIQUE);
    tx.rollback().await.unwrap();
    // The one command delivered again, and another one for the same order.
    world.decide(&create).await;
    world.decide(&create.again_as(create.id())).await;
    assert_eq!(world.database.count(left_behind).await, of_one);
    assert!(world.order(create.id()).await.is_some() && world.order(OTHER_ID).await.is_none());
    assert_eq!(world.outcome(&twin).await, None);
}

/// Transitions and published events of a quote: id, sequence, type.
type Facts = Vec<(String, i64, String)>;

async fn facts(world: &World, query: &'static str) -> Facts {
    world.database.rows(query).await.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

async fn transitions_of(world: &World) -> Facts {
    facts(world, "select event_id, aggregate_sequence, event_type from cpq.transition_log order by aggregate_sequence")
        .await
}

async fn events_of(world: &World) -> Facts {
    facts(
        world,
        "select message_id, aggregate_sequence, split_part(h ->> 1, '.', 3) \
         from cpq.outbox_event, jsonb_array_elements(headers) h \
         where topic = 'cpq.quote.events.v1' and h ->> 0 = 'ce_type' order by id",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn outbox_event_committed_with_quote_transition() {
    let world = World::new().await;
    world.configured(QUOTE, json!([line("1", None, "fiber", "1")])).await;
    let before = transitions_of(&world).await;
    assert_eq!(before.len(), 2);

    // Neither is seen before the commit, and neither is left when there is none.
    let mut tx = world.begin().await;
    world.apply(&mut tx, &price(QUOTE)).await.unwrap();
    assert_eq!((transitions_of(&world).await, events_of(&world).await), (before.clone(), before.clone()));
    tx.rollback().await.unwrap();
    assert_eq!((transitions_of(&world).await, events_of(&world).await), (before.clone(), before));

    world.decide(&price(QUOTE)).await;
    let after = transitions_of(&world).await;
    assert_eq!((after.len(), after[2].2.as_str()), (3, "QuotePriced"));
    assert_eq!(events_of(&world).await, after);

    // What goes out is what was recorded.
    let recorded = world.database.rows("select payload from cpq.transition_log order by aggregate_sequence").await;
    let events = world.outbox().await.into_iter().filter(|row| row.topic == topics::QUOTE_EVENTS);
    for (row, recorded) in events.zip(recorded) {
        let record = world.decoder.decode(&row.value).await.unwrap();
        let Record::Event(envelope, Event::Quote(event)) = record else { panic!("{record:?}") };
        assert_eq!((row.message_key.as_str(), envelope.event_id.as_str()), (QUOTE, row.message_id.as_str()));
        assert_eq!(event, serde_json::from_value(recorded.get(0)).unwrap());
    }
}

/// Children before their parents, and numbers whose order as texts is another than as numbers.
fn tree() -> Value {
    json!([
        line("2.1.1", Some("2.1"), "antenna", "3"),
        line("10", None, "fiber", "1.5"),
        line("2", None, "fiber", "2"),
        line("10.1", Some("10"), "router", "1"),
        line("2.1", Some("2"), "router", "0.000001"),
        line("1", None, "care", "1"),
        line("2.1.2", Some("2.1"), "antenna", "1"),
    ])
}

/// Number, parent, offering, quantity.
fn shape<'a>(lines: impl IntoIterator<Item = &'a Value>) -> Vec<[String; 4]> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let fields = ["lineNumber", "parentLineNumber", "productOfferingId", "quantity"];
    lines.into_iter().map(|line| fields.map(|field| text(&line[field]))).collect()
}

fn lines(configuration: &Configuration) -> Vec<Value> {
    configuration.lines.iter().map(|line| json!(line)).collect()
}

async fn rows_of(world: &World, quote: &str) -> Vec<Value> {
    let query = "select configuration_snapshot || jsonb_build_object('lineNumber', line_number, \
        'parentLineNumber', parent_line_number, 'productOfferingId', product_offering_id, \
        'quantity', trim_scale(quantity)::text) from cpq.quote_line where quote_id = $1 order by position";
    let rows = sqlx::query(query).bind(quote).fetch_all(&mut world.database.connect().await).await.unwrap();
    rows.iter().map(|row| row.get::<Json<Value>, _>(0).0).collect()
}

/// The state that the recorded events make.
async fn folded(world: &World, quote: &str) -> Quote {
    let mut tx = world.begin().await;
    let recorded = transitions::load::<QuoteEvent>(&mut tx, &TENANT.into(), quote, None).await.unwrap();
    quote::fold(&TENANT.into(), &quote.into(), recorded.iter().map(|t| (&t.event, t.at))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn line_tree_persists_and_loads_deterministically() {
    let world = World::new().await;
    world.configured(QUOTE, tree()).await;
    let loaded = world.quote(QUOTE).await;
    let configuration = loaded.configuration().unwrap();
    assert_eq!(shape(&lines(configuration)), shape(tree().as_array().unwrap()));
    assert_eq!(rows_of(&world, QUOTE).await, lines(configuration), "the columns say what the snapshot says");
    for _ in 0..5 {
        assert_eq!(world.quote(QUOTE).await, loaded);
    }
    assert_eq!(folded(&world, QUOTE).await, loaded);

    // The same lines in another quote, and again as the next revision of this one: the same tree.
    world.configured(TWIN, tree()).await;
    let again = Sent::quote(QUOTE, "ConfigureQuote", json!({"quoteRevision": 2, "lines": tree()}));
    world.decide(&again).await;
    for quote in [TWIN, QUOTE] {
        assert_eq!(world.quote(quote).await.configuration(), Some(configuration));
    }
}
