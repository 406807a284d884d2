//! R10: what tenant isolation, audit and JWT cost: the product with them against itself without. Both sides are built
//! in the profile `bench-guards` (deploy/bench-guards.sh), since a release build refuses to leave them out; row level
//! security is switched off in the database.

use super::http::{Client, Wait};
use super::processor::{Commands, fill, rate};
use super::{Extent, Question, Ratio, Target, Turn, accept, floor};
use crate::services::{Own, Verb, stack};
use crate::settings::{program, variable};
use crate::truth::over_all_tenants;
use sqlx::{Executor, PgConnection};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Clients of the gateway.
const CLIENTS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

const ACCEPTED: Question = Question {
    id: "R10.accepted",
    numerator: "commands accepted by the gateway over HTTP, 32 clients, with JWT and row level security",
    denominator: "the same without",
    unit: "commands/s",
    target: Target::AtLeast(0.9),
};
const DECIDED: Question = Question {
    id: "R10.decided",
    numerator: "commands decided by the quote processor from a full topic, with audit and row level security",
    denominator: "the same without",
    unit: "commands/s",
    target: Target::AtLeast(0.9),
};

/// A side: which build, and whether the database holds tenants apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Guarded,
    Unguarded,
}

impl Side {
    /// This side's build of a program.
    fn program(self, name: &str) -> Result<String, String> {
        let folder = if self == Self::Guarded { "guarded" } else { "unguarded" };
        let name = format!("bench-guards/{folder}/{name}");
        program(&name).map_err(|_| format!("{name} is not built: deploy/bench-guards.sh"))?;
        Ok(name)
    }
}

/// Measures both ways of a command.
pub async fn measure(extent: Extent) -> Result<Vec<Ratio>, String> {
    let processors = [Side::Guarded.program("streams")?, Side::Unguarded.program("streams")?];
    stack(Verb::Stop, &["streams", "camunda-bridge"]).await?;
    let mut database = Database::open().await?;
    let mut truth = over_all_tenants().await?;
    let (mut guarded, mut unguarded) = (Gateway::start(Side::Guarded).await?, Gateway::start(Side::Unguarded).await?);
    let (mut accepted, mut decisions) = (Vec::new(), Vec::new());
    for _ in 0..extent.repeats {
        floor::empty(&mut database.owner).await?;
        let numerator = guarded.accepted(extent.seconds).await?;
        floor::empty(&mut database.owner).await?;
        let denominator = database.open_to_all(unguarded.accepted(extent.seconds)).await?;
        accepted.push(Turn { numerator, denominator });

        floor::empty(&mut database.owner).await?;
        fill(&mut truth, &Commands::Creations).await?;
        let (numerator, _) = rate(&processors[0], &mut truth).await?;
        floor::empty(&mut database.owner).await?;
        fill(&mut truth, &Commands::Creations).await?;
        let (denominator, _) = database.open_to_all(rate(&processors[1], &mut truth)).await?;
        decisions.push(Turn { numerator, denominator });
    }
    floor::empty(&mut database.owner).await?;
    drop((guarded, unguarded));
    stack(Verb::Start, &["streams", "camunda-bridge"]).await?;
    let notes = |what: &str| {
        vec![
            what.to_owned(),
            "without: row level security of all tables is disabled while that side is measured".to_owned(),
        ]
    };
    Ok(vec![
        ACCEPTED.answer(accepted, notes("without: any token is taken for one sales person's; with: verified tokens are cached, as in production")),
        DECIDED.answer(decisions, notes("without: no audit entry is made, hashed or written; its chain's head is looked up all the same, in vain")),
    ])
}

/// A gateway of one side, with its clients.
struct Gateway {
    _process: Own,
    clients: Vec<Client>,
}

impl Gateway {
    async fn start(side: Side) -> Result<Self, String> {
        let program = side.program("command-gateway")?;
        // A port that nobody has now.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(|e| e.to_string())?.to_string();
        let log =
            PathBuf::from(variable("CPQ_STACK_DIR")?).join(format!("logs/bench-{}.log", program.replace('/', "-")));
        let process = Own::start(&program, &[], &[("CPQ_HTTP_ADDR", address.clone())], &log)?;
        ready(&address).await.map_err(|e| format!("{program}: {e}; see {}", log.display()))?;
        let mut clients = Vec::new();
        for n in 0..CLIENTS {
            clients.push(Client::connect_as(address.clone(), n, &["sales-rep"]).await?);
        }
        clients[0].create_quote("bench-guards", Wait::Accepted).await?;
        Ok(Self { _process: process, clients })
    }

    async fn accepted(&mut self, seconds: u64) -> Result<f64, String> {
        let rate;
        (self.clients, rate) = accept::accepted(std::mem::take(&mut self.clients), seconds).await?;
        Ok(rate)
    }
}

async fn ready(address: &str) -> Result<(), String> {
    let began = Instant::now();
    loop {
        match reqwest::get(format!("http://{address}/readyz")).await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            _ if began.elapsed() < PATIENCE => tokio::time::sleep(LOOK).await,
            Ok(answer) => return Err(format!("not ready: {}", answer.status())),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The database, whose owner may switch row level security off.
struct Database {
    owner: PgConnection,
    /// The tables that have it.
    tables: Vec<String>,
}

impl Database {
    async fn open() -> Result<Self, String> {
        let mut owner = floor::owner().await?;
        let tables = sqlx::query_scalar(
            "select oid::regclass::text from pg_class where relrowsecurity and relnamespace = 'cpq'::regnamespace",
        );
        let tables: Vec<String> = tables.fetch_all(&mut owner).await.map_err(|e| format!("PostgreSQL: {e}"))?;
        if tables.is_empty() { Err("no table has row level security".to_owned()) } else { Ok(Self { owner, tables }) }
    }

    /// Does this while every tenant's rows are open to all; they are closed again whatever becomes of it.
    async fn open_to_all<T>(&mut self, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        self.isolate("disable").await?;
        let done = work.await;
        self.isolate("enable").await?;
        done
    }

    async fn isolate(&mut self, verb: &str) -> Result<(), String> {
        let alter = |table: &String| format!("alter table {table} {verb} row level security;");
        let statements: String = self.tables.iter().map(alter).collect();
        self.owner.execute(sqlx::AssertSqlSafe(statements)).await.map(drop).map_err(|e| format!("PostgreSQL: {e}"))
    }
}
