//! R4, R8, R9: how fast the quote processor decides what stands on its topic, against pgbench writing the same rows;
//! how fast it passes over all of that when it is read again; and how fast it goes where every command is of one quote.

use super::http::{CREATE, Client, Wait};
use super::{Extent, Question, Ratio, Target, Turn, floor};
use crate::services::{Own, Verb, cpu_seconds, stack};
use crate::settings::variable;
use crate::truth::over_all_tenants;
use cpq_avro::topics::QUOTE_COMMANDS;
use hyper::Method;
use hyper::body::Bytes;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use sqlx::PgConnection;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Commands of one turn.
const COMMANDS: usize = 20_000;
/// Clients that hand them in.
const CLIENTS: usize = 32;
/// Commands in one transaction of the floor.
const FLOOR_BATCH: usize = 50;
/// Connections of the floor: as many as the topic has partitions, each of which has one worker.
const FLOOR_CLIENTS: usize = 6;
/// The rate is taken between these shares of the commands, so that neither starting nor ending is in it.
const FROM: f64 = 0.1;
const TO: f64 = 0.95;
/// The build that is measured.
const STREAMS: &str = "streams";
/// Longest wait for all commands.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);
/// Longest wait for an answer of Kafka.
const REQUEST: Duration = Duration::from_secs(15);
const CONFIGURE: &str = r#"{"quoteRevision":1,"lines":[{"lineNumber":"1","productOfferingId":"cloud-voice","quantity":"5","action":"ADD"}]}"#;

const QUESTION: Question = Question {
    id: "R4",
    numerator: "quote processor: commands from a full topic to decided quotes, all evidence written",
    denominator: "pgbench writing the same rows, 50 commands a transaction",
    unit: "commands/s",
    target: Target::AtLeast(0.5),
};

const AGAIN: Question = Question {
    id: "R8",
    numerator: "quote processor reading again what it has decided: all duplicates",
    denominator: "the first pass over the same records",
    unit: "commands/s",
    target: Target::AtLeast(1.0),
};

const HOT: Question = Question {
    id: "R9",
    numerator: "quote processor, every command of one quote, decided (applied or rejected, with outcome and audit)",
    denominator: "pgbench updating one row, one transaction after the other",
    unit: "commands/s",
    target: Target::AtLeast(1.0),
};

/// Measures all three.
pub async fn measure(extent: Extent) -> Result<Vec<Ratio>, String> {
    stack(Verb::Stop, &["streams", "camunda-bridge"]).await?;
    let mut owner = floor::owner().await?;
    let mut truth = over_all_tenants().await?;
    let (mut turns, mut cores) = (Vec::new(), Vec::new());
    let (mut again, mut hot) = (Vec::new(), Vec::new());
    for _ in 0..extent.repeats {
        floor::empty(&mut owner).await?;
        let from = ends()?;
        fill(&mut truth, &Commands::Creations).await?;
        let (numerator, used) = rate(STREAMS, &mut truth).await?;
        cores.push(used);
        again.push(Turn { numerator: passed_again(&mut truth, &from).await?, denominator: numerator });
        let (script, seconds) = (floor_script(&mut truth).await?, extent.seconds);
        floor::empty(&mut owner).await?;
        let floor = tokio::task::spawn_blocking(move || floor::pgbench(&script, FLOOR_CLIENTS, seconds));
        let transactions = floor.await.map_err(|e| e.to_string())??;
        turns.push(Turn { numerator, denominator: transactions * FLOOR_BATCH as f64 });
        // What pgbench made up must not come to a topic.
        floor::empty(&mut owner).await?;

        let quote = one_quote(&mut truth).await?;
        fill(&mut truth, &Commands::Of(quote)).await?;
        let (numerator, _) = rate(STREAMS, &mut truth).await?;
        let floor = tokio::task::spawn_blocking(move || floor::pgbench(ONE_ROW, 1, seconds));
        hot.push(Turn { numerator, denominator: floor.await.map_err(|e| e.to_string())?? });
    }
    floor::empty(&mut owner).await?;
    stack(Verb::Start, &["streams", "camunda-bridge"]).await?;
    let notes = vec![format!(
        "{COMMANDS} quotes created; cores used by the processor {:.2}; the rest is PostgreSQL's and Kafka's",
        super::median(cores)
    )];
    Ok(vec![QUESTION.answer(turns, notes), AGAIN.answer(again, vec![]), HOT.answer(hot, vec![])])
}

/// What R9's floor does: the position of a consumer that does not exist elsewhere.
const ONE_ROW: &str = "insert into cpq.consumer_position (consumer, topic, partition, next_offset, epoch, owner) \
   values ('bench', 'bench', 0, 0, 1, 'bench') on conflict (consumer, topic, partition) do update set next_offset = consumer_position.next_offset + 1;";

/// Which commands are handed in.
pub(super) enum Commands {
    /// Each creates a quote.
    Creations,
    /// All are of this quote; the first that configures it leaves the others behind its revision.
    Of(String),
}

/// A quote that exists: one of those that were created before.
async fn one_quote(truth: &mut PgConnection) -> Result<String, String> {
    let newest = sqlx::query_scalar(
        "select quote_id from cpq.quote where tenant_id = 'tenant-acme' and quote_id like 'Q-%' order by created_at desc limit 1",
    );
    newest.fetch_one(truth).await.map_err(database)
}

/// Where the partitions of the processor's topic end.
fn ends() -> Result<Vec<i64>, String> {
    let consumer: BaseConsumer = kafka()?.create().map_err(|e| e.to_string())?;
    let metadata = consumer.fetch_metadata(Some(QUOTE_COMMANDS), REQUEST).map_err(|e| e.to_string())?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len() as i32);
    let end = |partition| consumer.fetch_watermarks(QUOTE_COMMANDS, partition, REQUEST).map(|(_, high)| high);
    (0..partitions).map(end).collect::<Result<_, _>>().map_err(|e| e.to_string())
}

fn kafka() -> Result<ClientConfig, String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", variable("CPQ_KAFKA_BROKERS")?);
    Ok(config)
}

/// Puts the processor back to these offsets, with nothing told to Kafka, and gives the rate at which it comes to the
/// end again.
async fn passed_again(truth: &mut PgConnection, from: &[i64]) -> Result<f64, String> {
    let admin: AdminClient<DefaultClientContext> = kafka()?.create().map_err(|e| e.to_string())?;
    // The processor has just left it; the broker may be behind.
    until(async || {
        let gone = admin.delete_groups(&["cpq-quote"], &AdminOptions::new()).await.map_err(|e| e.to_string())?;
        Ok(gone.iter().all(Result::is_ok))
    })
    .await?;
    let back = sqlx::query(
        "update cpq.consumer_position p set next_offset = f.next_offset from unnest($1::bigint[]) with ordinality f(next_offset, n) \
         where p.consumer = 'quote' and p.topic = $2 and p.partition = f.n - 1",
    );
    back.bind(from).bind(QUOTE_COMMANDS).execute(&mut *truth).await.map_err(database)?;
    rate(STREAMS, truth).await.map(|(rate, _)| rate)
}

fn database(error: sqlx::Error) -> String {
    format!("PostgreSQL: {error}")
}

/// Accepts the commands over HTTP and lets a relay bring them to their topic.
pub(super) async fn fill(truth: &mut PgConnection, commands: &Commands) -> Result<(), String> {
    let (method, path, body) = match commands {
        Commands::Creations => (Method::POST, "/quotes".to_owned(), CREATE.to_owned()),
        Commands::Of(quote) => (Method::PUT, format!("/quotes/{quote}/configuration"), CONFIGURE.to_owned()),
    };
    let mut running = JoinSet::new();
    for n in 0..CLIENTS {
        let mut client = Client::connect(n).await?;
        let (method, path, body) = (method.clone(), path.clone(), Bytes::from(body.clone()));
        running.spawn(async move {
            for _ in (n..COMMANDS).step_by(CLIENTS) {
                client.command(method.clone(), &path, body.clone(), "bench-decide", Wait::Accepted).await?;
            }
            Ok::<_, String>(())
        });
    }
    running.join_all().await.into_iter().collect::<Result<(), _>>()?;
    let relay = start(STREAMS, "relay")?;
    until(async || {
        let left = sqlx::query_scalar::<_, bool>("select exists (select from cpq.outbox_event)");
        Ok(!left.fetch_one(&mut *truth).await.map_err(database)?)
    })
    .await?;
    relay.kill()
}

/// Starts the processor, of this build, on its topic, and gives the rate at which its position moves over the commands that stand
/// there, and the cores that it used.
pub(super) async fn rate(program: &str, truth: &mut PgConnection) -> Result<(f64, f64), String> {
    let before = position(truth).await?;
    let processor = start(program, "quote")?;
    let (mut first, mut last) = (None, None);
    until(async || {
        let share = (position(truth).await? - before) as f64 / COMMANDS as f64;
        let now = (Instant::now(), share, cpu_seconds(processor.pid())?);
        if share >= FROM {
            first.get_or_insert(now);
        }
        last = Some(now);
        Ok(share >= TO)
    })
    .await?;
    // Ended in good order, it leaves its consumer group.
    processor.drain(REQUEST).await?;
    match (first, last) {
        (Some((t0, s0, c0)), Some((t1, s1, c1))) if s1 > s0 => {
            let seconds = (t1 - t0).as_secs_f64();
            Ok(((s1 - s0) * COMMANDS as f64 / seconds, (c1 - c0) / seconds))
        }
        _ => Err("the processor was done before it could be measured".to_owned()),
    }
}

/// The offsets that the quote processor has come to, summed; they move in the transactions that decide.
async fn position(truth: &mut PgConnection) -> Result<i64, String> {
    let sum = sqlx::query_scalar(
        "select coalesce(sum(next_offset), 0)::bigint from cpq.consumer_position where consumer = 'quote' and topic = $1",
    );
    sum.bind(QUOTE_COMMANDS).fetch_one(truth).await.map_err(database)
}

/// A streams process, of this build, of one role.
fn start(program: &str, role: &str) -> Result<Own, String> {
    let log = PathBuf::from(variable("CPQ_STACK_DIR")?).join(format!("logs/bench-{role}.log"));
    Own::start(program, &["--role", role], &[("CPQ_STREAMS_ADMIN_ADDR", "127.0.0.1:0".to_owned())], &log)
}

async fn until(mut done: impl AsyncFnMut() -> Result<bool, String>) -> Result<(), String> {
    let began = Instant::now();
    while !done().await? {
        if began.elapsed() > PATIENCE {
            return Err(format!("not done in {} s; see the logs of the stack", PATIENCE.as_secs()));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// A transaction that writes what the processor wrote for the newest quote, for as many others.
async fn floor_script(truth: &mut PgConnection) -> Result<String, String> {
    // What is unique is made of pgbench's own random number and the row's.
    let id = |prefix: &str| format!("'{prefix}' || (:a::bigint + n)");
    let quote = "select quote_id from cpq.quote order by created_at desc limit 1";
    let tables = [
        ("cpq.quote", "quote_id", vec![("quote_id", id("B"))]),
        ("cpq.quote_revision", "quote_id", vec![("quote_id", id("B"))]),
        ("cpq.transition_log", "aggregate_id", vec![("aggregate_id", id("B")), ("event_id", id("E"))]),
        ("cpq.command_outcome", "aggregate_id", vec![("command_id", id("C"))]),
        ("cpq.audit", "aggregate_id", vec![("aggregate_id", id("B"))]),
        (
            "cpq.outbox_event",
            "message_key",
            vec![("message_id", id("E")), ("message_key", id("B")), ("shard", "n % 64".to_owned())],
        ),
    ];
    let mut script = String::from("begin;\n");
    for (table, key, fresh) in tables {
        script += &inserts(truth, table, &format!("{key} = ({quote})"), &fresh).await?;
    }
    script += "update cpq.consumer_position set updated_at = clock_timestamp() where consumer = 'quote' and partition = :client_id;\ncommit;\n";
    Ok(script)
}

/// A value for pgbench, which takes a colon for the beginning of a variable even in a string.
const LITERAL: &str = r"'E''' || replace(replace(replace(j.value, '\', '\\'), '''', ''''''), ':', '\x3a') || '''::'";

/// One statement for each row that is there: the same values for each of the batch, but for what is `fresh`.
async fn inserts(truth: &mut PgConnection, table: &str, of: &str, fresh: &[(&str, String)]) -> Result<String, String> {
    let (names, values): (Vec<&str>, Vec<&str>) = fresh.iter().map(|(name, value)| (*name, value.as_str())).unzip();
    let statement = format!(
        "select format('insert into {table} (%s) select %s from generate_series(1, {FLOOR_BATCH}) n;', \
           string_agg(quote_ident(a.attname), ', ' order by a.attnum), \
           string_agg(coalesce(f.value, {LITERAL} || format_type(a.atttypid, a.atttypmod), 'null'), ', ' order by a.attnum)) \
         from {table} t, pg_attribute a \
         left join lateral jsonb_each_text(to_jsonb(t)) j on j.key = a.attname \
         left join unnest($1::text[], $2::text[]) f(name, value) on f.name = a.attname \
         where {of} and a.attrelid = '{table}'::regclass and a.attnum > 0 and not a.attisdropped and a.attidentity = '' \
         group by t.ctid"
    );
    let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
        .bind(names)
        .bind(values)
        .fetch_all(truth)
        .await
        .map_err(database)?;
    if rows.is_empty() {
        return Err(format!("no row of {table} to imitate"));
    }
    Ok(rows.join("\n") + "\n")
}
