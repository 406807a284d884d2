//! R5: how fast `cpq replay views` makes all views again from offset 0, against a plain consumer of the same records
//! and COPY of the rows that come of them.

use super::http::{CREATE, Client, Wait};
use super::pipe::{self, Ends};
use super::{Extent, Question, Ratio, Target, Turn, floor};
use crate::services::{Verb, cpu_seconds, cpu_seconds_with_children, pid_of, stack};
use crate::settings::{program, variable};
use crate::truth::over_all_tenants;
use cpq_avro::topics::{ORDER_EVENTS, QUOTE_EVENTS};
use futures::TryStreamExt;
use hyper::Method;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::collections::HashMap;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Quotes that are made for it; each is created, configured, priced, submitted and approved by policy: five events.
const QUOTES: usize = 8_000;
/// Clients that hand them in.
const CLIENTS: usize = 32;
/// The least number of events that a rate is taken over.
const LEAST_EVENTS: i64 = 10_000;
/// Longest wait for a rebuild.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks at the CPU of a rebuild; its last moments are not seen.
const LOOK: Duration = Duration::from_millis(20);
/// Longest wait for the next record, all of which are there.
const STALL: Duration = Duration::from_secs(30);
/// How much of the rows is sent at once.
const COPY_CHUNK: usize = 64 * 1024;

/// The tables that are made again.
const VIEWS: [&str; 4] =
    ["quote_workspace_view", "order_operations_view", "approval_worklist_view", "customer_commercial_timeline_view"];

const QUESTION: Question = Question {
    id: "R5",
    numerator: "cpq replay views, all views from offset 0, the program's whole run",
    denominator: "a plain consumer reading the same records, then COPY of the same rows into equal tables, one transaction",
    unit: "events/s",
    target: Target::AtLeast(0.5),
};

/// Measures it. The topics must be whole: nothing that was not yet published may have been thrown away before.
pub async fn measure(extent: Extent) -> Result<Ratio, String> {
    make_events().await?;
    stack(Verb::Stop, &["streams", "camunda-bridge"]).await?;
    let records = Records::all().await?;
    let mut tables = Tables::open().await?;
    let (mut turns, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..extent.repeats {
        tables.empty().await?;
        let rebuilt = Rebuilt::by_the_product().await?;
        if (rebuilt.events, rebuilt.written) != (records.count, tables.rows) {
            return Err(format!(
                "rebuilt {rebuilt:?}, but there are {} events and {} rows",
                records.count, tables.rows
            ));
        }
        let reading = records.clone();
        let read = tokio::task::spawn_blocking(move || reading.read()).await.map_err(|e| e.to_string())??;
        let copied = tables.copy().await?;
        let events = records.count as f64;
        let denominator = events / (read + copied).as_secs_f64();
        turns.push(Turn { numerator: events / rebuilt.wall.as_secs_f64(), denominator });
        seen.push((rebuilt, read, copied));
    }
    let notes = notes(&records, &tables, &seen);
    tables.drop().await?;
    stack(Verb::Start, &["streams", "camunda-bridge"]).await?;
    Ok(QUESTION.answer(turns, notes))
}

fn notes(records: &Records, tables: &Tables, seen: &[(Rebuilt, Duration, Duration)]) -> Vec<String> {
    let middle = |of: fn(&(Rebuilt, Duration, Duration)) -> f64| super::median(seen.iter().map(of).collect());
    vec![
        format!("{} events, {} rows; the live views are empty before each rebuild", records.count, tables.rows),
        format!(
            "cores used by the rebuild: cpq {:.2}, PostgreSQL {:.2}; the projection was held for {:.2} s",
            middle(|(rebuilt, ..)| rebuilt.cpu / rebuilt.wall.as_secs_f64()),
            middle(|(rebuilt, ..)| rebuilt.postgres / rebuilt.wall.as_secs_f64()),
            middle(|(rebuilt, ..)| rebuilt.held)
        ),
        format!(
            "seconds: rebuild {:.2}; plain consumer {:.2}, COPY {:.2}",
            middle(|(rebuilt, ..)| rebuilt.wall.as_secs_f64()),
            middle(|(_, read, _)| read.as_secs_f64()),
            middle(|(_, _, copied)| copied.as_secs_f64())
        ),
    ]
}

/// Brings quotes through the running services until they are shown.
async fn make_events() -> Result<(), String> {
    let mut running = JoinSet::new();
    for n in 0..CLIENTS {
        let mut client = Client::connect(n).await?;
        running.spawn(async move {
            for _ in (n..QUOTES).step_by(CLIENTS) {
                make_quote(&mut client).await?;
            }
            Ok::<_, String>(())
        });
    }
    running.join_all().await.into_iter().collect::<Result<(), _>>()?;
    pipe::settle().await
}

/// Hands in all commands of a quote, none awaited: they are decided in their order.
async fn make_quote(client: &mut Client) -> Result<(), String> {
    let mut hand_in = async |method, path: &str, body: String| {
        client.command(method, path, body.into(), "bench-rebuild", Wait::Accepted).await
    };
    let created = hand_in(Method::POST, "/quotes", CREATE.to_owned()).await?;
    let created: Value = serde_json::from_slice(&created).map_err(|e| e.to_string())?;
    let quote = created["aggregateId"].as_str().ok_or_else(|| format!("no quote in {created}"))?;
    let lines = json!([{"lineNumber": "1", "productOfferingId": "cloud-voice", "quantity": "5", "action": "ADD"}]);
    let configuration = json!({"quoteRevision": 1, "lines": lines}).to_string();
    hand_in(Method::PUT, &format!("/quotes/{quote}/configuration"), configuration).await?;
    for (verb, revision) in [("pricing", 2), ("approval-submission", 3)] {
        let body = json!({"quoteRevision": revision}).to_string();
        hand_in(Method::POST, &format!("/quotes/{quote}/{verb}"), body).await?;
    }
    Ok(())
}

/// What a run of `cpq replay views` took and did.
#[derive(Debug)]
struct Rebuilt {
    wall: Duration,
    /// CPU seconds of the program.
    cpu: f64,
    postgres: f64,
    /// Seconds that the projection had to wait.
    held: f64,
    events: i64,
    /// Rows of the live views.
    written: u64,
}

impl Rebuilt {
    async fn by_the_product() -> Result<Self, String> {
        let postgres = pid_of("postgres")?;
        let before = cpu_seconds_with_children(postgres)?;
        let began = Instant::now();
        let child = tokio::process::Command::new(program("cpq")?)
            .args(["--output", "json", "replay", "views"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("cpq: {e}"))?;
        let pid = child.id();
        let ended = child.wait_with_output();
        tokio::pin!(ended);
        let mut cpu = 0.0;
        let output = loop {
            tokio::select! {
                output = &mut ended => break output.map_err(|e| format!("cpq: {e}"))?,
                () = tokio::time::sleep(LOOK) => cpu = pid.and_then(|pid| cpu_seconds(pid).ok()).unwrap_or(cpu),
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("cpq replay views still runs after {} s", PATIENCE.as_secs()));
            }
        };
        let wall = began.elapsed();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !output.status.success() {
            return Err(format!("cpq replay views: {}{}", text(&output.stdout), text(&output.stderr)));
        }
        let told: Value = serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("cpq replay views: {e}: {}", text(&output.stdout)))?;
        let views = told["views"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(Self {
            wall,
            cpu,
            postgres: cpu_seconds_with_children(postgres)? - before,
            held: told["heldSeconds"].as_f64().ok_or_else(|| format!("no heldSeconds in {told}"))?,
            events: told["events"].as_i64().ok_or_else(|| format!("no events in {told}"))?,
            written: views.iter().filter_map(|view| view["written"].as_u64()).sum(),
        })
    }
}

/// All records of the events topics.
#[derive(Clone)]
struct Records {
    /// The end by topic and partition, where there is anything.
    ends: HashMap<(String, i32), i64>,
    count: i64,
}

impl Records {
    async fn all() -> Result<Self, String> {
        let mut ends = HashMap::new();
        for topic in [QUOTE_EVENTS, ORDER_EVENTS] {
            for (partition, (start, end)) in (0..).zip(Ends::of(topic)?.each().await?) {
                if start > 0 {
                    return Err(format!("{topic}[{partition}] begins at offset {start}"));
                }
                if end > 0 {
                    ends.insert((topic.to_owned(), partition), end);
                }
            }
        }
        let count = ends.values().sum();
        match count < LEAST_EVENTS {
            true => Err(format!("{count} events are too few to measure")),
            false => Ok(Self { ends, count }),
        }
    }

    /// How long a consumer takes that does nothing with them.
    fn read(mut self) -> Result<Duration, String> {
        let began = Instant::now();
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", variable("CPQ_KAFKA_BROKERS")?)
            .set("group.id", "cpq-bench")
            .set("enable.auto.commit", "false")
            .create()
            .map_err(|e| e.to_string())?;
        let mut assignment = TopicPartitionList::new();
        for (topic, partition) in self.ends.keys() {
            assignment.add_partition_offset(topic, *partition, Offset::Offset(0)).map_err(|e| e.to_string())?;
        }
        consumer.assign(&assignment).map_err(|e| e.to_string())?;
        while !self.ends.is_empty() {
            let polled = consumer.poll(STALL).ok_or("no record came, though there are more")?;
            let record = polled.map_err(|e| e.to_string())?;
            let place = (record.topic().to_owned(), record.partition());
            if self.ends.get(&place).is_some_and(|end| record.offset() + 1 >= *end) {
                self.ends.remove(&place);
            }
        }
        Ok(began.elapsed())
    }
}

/// The live views, and equal tables beside them.
struct Tables {
    owner: PgConnection,
    /// The rows of each view, as COPY tells them.
    contents: Vec<(&'static str, Vec<u8>)>,
    rows: u64,
}

impl Tables {
    /// Remembers what the live views show.
    async fn open() -> Result<Self, String> {
        let (mut owner, mut truth) = (floor::owner().await?, over_all_tenants().await?);
        let (mut contents, mut rows) = (Vec::new(), 0);
        for view in VIEWS {
            let told =
                truth.copy_out_raw(&format!("copy (select * from cpq.{view}) to stdout")).await.map_err(database)?;
            let told = told.map_ok(|bytes| bytes.to_vec()).try_concat().await.map_err(database)?;
            // In COPY's text a line is a row: line ends within values are escaped.
            rows += told.iter().filter(|byte| **byte == b'\n').count() as u64;
            contents.push((view, told));
            let make = format!("create table cpq.bench_{view} (like cpq.{view} including all)");
            owner.execute(AssertSqlSafe(make)).await.map_err(database)?;
        }
        Ok(Self { owner, contents, rows })
    }

    /// Empties both, so that each side writes every row.
    async fn empty(&mut self) -> Result<(), String> {
        let names = VIEWS.map(|view| format!("cpq.{view}, cpq.bench_{view}")).join(", ");
        self.owner.execute(AssertSqlSafe(format!("truncate {names}"))).await.map(drop).map_err(database)
    }

    /// How long COPY takes to write all rows into the equal tables.
    async fn copy(&mut self) -> Result<Duration, String> {
        let began = Instant::now();
        let mut rows = 0;
        let mut tx = self.owner.begin().await.map_err(database)?;
        for (view, content) in &self.contents {
            let mut copy = tx.copy_in_raw(&format!("copy cpq.bench_{view} from stdin")).await.map_err(database)?;
            for chunk in content.chunks(COPY_CHUNK) {
                copy.send(chunk).await.map_err(database)?;
            }
            rows += copy.finish().await.map_err(database)?;
        }
        tx.commit().await.map_err(database)?;
        match rows == self.rows {
            true => Ok(began.elapsed()),
            false => Err(format!("COPY wrote {rows} rows of {}", self.rows)),
        }
    }

    async fn drop(mut self) -> Result<(), String> {
        let names = VIEWS.map(|view| format!("cpq.bench_{view}")).join(", ");
        self.owner.execute(AssertSqlSafe(format!("drop table {names}"))).await.map(drop).map_err(database)
    }
}

fn database(error: sqlx::Error) -> String {
    format!("PostgreSQL: {error}")
}
