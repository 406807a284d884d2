//! Several gateways and several `streams` processes of a drill's own in the place of the stack's: started, ended,
//! killed and frozen one by one, and asked which part of the work each holds.

use crate::services::{Own, Verb, stack};
use crate::settings::variable;
use crate::truth;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The stack's processes that the fleet stands in for.
const REPLACED: [&str; 2] = ["command-gateway", "streams"];
/// The fleet's ports begin so far from that of the stack's process,
const PORTS_BESIDE: u16 = 30;
/// and go up by so many, since the ports of the stack's services lie close together.
const PORTS_STEP: u16 = 4;
/// Longest wait until a started process is ready.
const READY: Duration = Duration::from_secs(90);
/// Longest wait for the end of a process that drains; above its own limit.
const DRAIN: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(100);

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Gateway,
    Streams,
}

/// One of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    pub kind: Kind,
    pub number: usize,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Gateway => write!(f, "gateway-{}", self.number + 1),
            Kind::Streams => write!(f, "streams-{}", self.number + 1),
        }
    }
}

impl Member {
    fn program(self) -> &'static str {
        match self.kind {
            Kind::Gateway => "command-gateway",
            Kind::Streams => "streams",
        }
    }
    fn variable(self) -> &'static str {
        match self.kind {
            Kind::Gateway => "CPQ_HTTP_ADDR",
            Kind::Streams => "CPQ_STREAMS_ADMIN_ADDR",
        }
    }
    /// Where it answers.
    pub fn address(self) -> Result<SocketAddr, String> {
        let name = self.variable();
        let mut address: SocketAddr = variable(name)?.parse().map_err(|e| format!("{name}: {e}"))?;
        let places = PORTS_BESIDE + u16::try_from(self.number).map_err(|e| e.to_string())? * PORTS_STEP;
        address.set_port(address.port().checked_add(places).ok_or_else(|| format!("{name} leaves no ports above it"))?);
        Ok(address)
    }
}

/// The processes. Killed when dropped.
pub struct Fleet {
    running: BTreeMap<Member, Own>,
    http: reqwest::Client,
    starts: usize,
}

/// Which process holds what: for each consumer its partitions, and for `relay` its shards.
pub type Assignment = BTreeMap<String, BTreeMap<String, Option<Member>>>;

impl Fleet {
    /// Ends the stack's own and starts so many; all are ready then.
    pub async fn start(gateways: usize, streams: usize) -> Result<Self, String> {
        /// Longest wait for a process to say that it is ready.
        const ANSWER: Duration = Duration::from_secs(5);
        stack(Verb::Stop, &REPLACED).await?;
        let http = reqwest::Client::builder().timeout(ANSWER).build().map_err(|e| e.to_string())?;
        let mut fleet = Self { running: BTreeMap::new(), http, starts: 0 };
        let members = (0..gateways).map(|number| Member { kind: Kind::Gateway, number });
        let members: Vec<Member> =
            members.chain((0..streams).map(|number| Member { kind: Kind::Streams, number })).collect();
        for member in &members {
            fleet.launch(*member)?;
        }
        for member in members {
            fleet.ready(member).await?;
        }
        Ok(fleet)
    }

    /// Ends all and starts the stack's own again.
    pub async fn end(mut self) -> Result<(), String> {
        for member in self.members() {
            self.drain(member).await?;
        }
        stack(Verb::Start, &REPLACED).await
    }

    /// Those that were started and not ended.
    pub fn members(&self) -> Vec<Member> {
        self.running.keys().copied().collect()
    }

    /// Where the gateways answer.
    pub fn gateways(&self) -> Result<Vec<String>, String> {
        let gateways = self.running.keys().filter(|member| member.kind == Kind::Gateway);
        gateways.map(|member| Ok(format!("http://{}", member.address()?))).collect()
    }

    /// Starts it; whether it is ready is another question.
    pub fn launch(&mut self, member: Member) -> Result<(), String> {
        self.starts += 1;
        let log = PathBuf::from(variable("CPQ_STACK_DIR")?).join(format!("logs/drill-{member}.{}.log", self.starts));
        let environment = [(member.variable(), member.address()?.to_string())];
        let own = Own::start(member.program(), &[], &environment, &log)?;
        self.running.insert(member, own);
        Ok(())
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&mut self, member: Member) -> Result<Duration, String> {
        let (began, url) = (Instant::now(), format!("http://{}/readyz", member.address()?));
        loop {
            self.healthy()?;
            let last = match self.http.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(began.elapsed()),
                Ok(answer) => answer.text().await.unwrap_or_else(|error| error.to_string()),
                Err(error) => error.to_string(),
            };
            if began.elapsed() > READY {
                return Err(format!("{member} is not ready after {} s: {last}", READY.as_secs()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// An error if one has ended by itself.
    pub fn healthy(&mut self) -> Result<(), String> {
        for (member, own) in &mut self.running {
            if let Some(status) = own.ended()? {
                return Err(format!("{member} has ended by itself: {status}"));
            }
        }
        Ok(())
    }

    /// SIGTERM; it finishes what it has in hand and must end well. How long that took.
    pub async fn drain(&mut self, member: Member) -> Result<Duration, String> {
        let began = Instant::now();
        let status = self.taken(member)?.drain(DRAIN).await?;
        if !status.success() {
            return Err(format!("{member} ended with {status} after SIGTERM"));
        }
        Ok(began.elapsed())
    }

    /// SIGKILL.
    pub fn kill(&mut self, member: Member) -> Result<(), String> {
        self.taken(member)?.kill()
    }

    /// `STOP` or `CONT`.
    pub fn signal(&self, member: Member, name: &str) -> Result<(), String> {
        self.running.get(&member).ok_or_else(|| format!("{member} does not run"))?.signal(name)
    }

    fn taken(&mut self, member: Member) -> Result<Own, String> {
        self.running.remove(&member).ok_or_else(|| format!("{member} does not run"))
    }

    /// What the database says that each holds; `None` for what nobody of the fleet holds just now.
    pub async fn assignment(&self) -> Result<Assignment, String> {
        let rows: Vec<(String, String, Option<String>)> = sqlx::query_as(
            "select consumer, topic || '[' || partition || ']', owner from cpq.consumer_position where owner like 'streams-%' \
             union all select 'relay', shard::text, case when expires_at > now() then owner end from cpq.relay_lease",
        )
        .fetch_all(&mut truth::over_all_tenants().await?)
        .await
        .map_err(|e| e.to_string())?;
        let by_pid: BTreeMap<u32, Member> = self.running.iter().map(|(member, own)| (own.pid(), *member)).collect();
        let mut assignment = Assignment::new();
        for (consumer, part, owner) in rows {
            // `streams-<host>-<pid>-<random>`
            let pid = owner.and_then(|owner| owner.rsplit('-').nth(1)?.parse::<u32>().ok());
            assignment.entry(consumer).or_default().insert(part, pid.and_then(|pid| by_pid.get(&pid).copied()));
        }
        Ok(assignment)
    }

    /// How many parts of each consumer's each process holds, as a table.
    pub fn table(&self, assignment: &Assignment) -> String {
        let members: Vec<Member> = self.running.keys().copied().filter(|member| member.kind == Kind::Streams).collect();
        let mut text = format!("    {:<14}", "");
        members.iter().for_each(|member| text.push_str(&format!("{:>11}", member.to_string())));
        for (consumer, parts) in assignment {
            text.push_str(&format!("\n    {consumer:<14}"));
            for member in &members {
                text.push_str(&format!("{:>11}", held(parts, *member)));
            }
        }
        text
    }
}

/// How many of a consumer's parts a process holds.
pub fn held(parts: &BTreeMap<String, Option<Member>>, member: Member) -> usize {
    parts.values().filter(|holder| **holder == Some(member)).count()
}
