//! `cpq lag`: how far each consumer, the relay and the engine's bridge are behind, in records and in seconds.

mod partitions;

use crate::kafka::Reader;
use crate::output::{Answer, Paint, Style};
use crate::settings::Stack;
use crate::table::{Cell, Table};
use crate::{Failure, span};
use clap::Args;
use cpq_avro::topics;
use cpq_state_stores::Db;
use cpq_state_stores::operations::backlog::{self, ConsumerPosition, Waiting};
use cpq_state_stores::operations::parked;
use cpq_state_stores::outbox::{self, Backlog, MAX_COUNTED};
use partitions::{PartitionLag, Position};
use serde::Serialize;

/// Show how far everything is behind; exits 1 if something is more than --max-seconds behind, if a key is parked,
/// or if a topic ends before a consumer's position.
#[derive(Args, Clone, Debug)]
pub struct LagArgs {
    /// The most that anything may be behind.
    #[arg(long, default_value_t = 60)]
    max_seconds: u32,
    /// Lists only partitions that are behind.
    #[arg(long)]
    behind: bool,
}

/// Everything that waits.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    partitions: Vec<PartitionLag>,
    outbox_pending: i64,
    outbox_oldest_seconds: f64,
    deferred_commands: Waiting,
    due_timers: Waiting,
    unstarted_processes: Waiting,
    parked_keys: usize,
    max_seconds: u32,
}

impl Report {
    /// What is not as it should be, in words.
    fn findings(&self) -> Vec<String> {
        let limit = f64::from(self.max_seconds);
        let mut found: Vec<String> = self.partitions.iter().filter_map(|p| p.finding(limit)).collect();
        let mut late = |what: &str, seconds: f64| {
            if seconds > limit {
                found.push(format!("{what} for {}", span::shown(seconds)));
            }
        };
        late("the outbox has been waiting", self.outbox_oldest_seconds);
        late("a deferred command has been waiting", self.deferred_commands.oldest_seconds);
        late("a quote's end of validity has been waiting", self.due_timers.oldest_seconds);
        late("a process has been waiting for its start", self.unstarted_processes.oldest_seconds);
        if self.parked_keys > 0 {
            found.push(format!("{} keys are parked (`cpq dlq list`)", self.parked_keys));
        }
        found
    }
}

pub async fn run(args: &LagArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let (stored, waits) = read_store(&stack.db()?).await?;
    let brokers = stack.kafka_brokers()?;
    let asked =
        tokio::task::spawn_blocking(move || partitions::measure(&Reader::connect(&brokers)?, expected(stored)?));
    let partitions = asked.await.map_err(Failure::because("the question to Kafka was cut off"))??;
    let (outbox, deferred_commands, due_timers, unstarted_processes, parked_keys) = waits;
    let mut report = Report {
        partitions,
        outbox_pending: outbox.rows,
        outbox_oldest_seconds: outbox.oldest_seconds,
        deferred_commands,
        due_timers,
        unstarted_processes,
        parked_keys,
        max_seconds: args.max_seconds,
    };
    let findings = report.findings();
    if args.behind {
        report.partitions.retain(|partition| partition.records != 0);
    }
    Ok(Answer::new(&report, text(&report, &findings, paint))?.finding_if(!findings.is_empty()))
}

type Waits = (Backlog, Waiting, Waiting, Waiting, usize);

async fn read_store(db: &Db) -> Result<(Vec<ConsumerPosition>, Waits), Failure> {
    let mut tx = db.begin_system().await?;
    let positions = backlog::positions(&mut tx).await?;
    let outbox = outbox::backlog(&mut tx).await?;
    let deferred = backlog::deferred_commands(&mut tx).await?;
    let timers = backlog::due_timers(&mut tx).await?;
    let unstarted = backlog::unstarted_instances(&mut tx).await?;
    let parked = parked::count(&mut tx).await?;
    tx.commit().await?;
    Ok((positions, (outbox, deferred, timers, unstarted, parked)))
}

/// Every partition that a consumer of `topics.yaml` should be reading, with its position if it has one.
fn expected(stored: Vec<ConsumerPosition>) -> Result<Vec<Position>, Failure> {
    let topics = topics::load().map_err(Failure::because("this build is broken"))?;
    let mut positions: Vec<Position> = Vec::new();
    for topic in &topics {
        for consumer in &topic.consumers {
            for partition in 0..topic.partitions as i32 {
                let next_offset = stored
                    .iter()
                    .find(|p| p.consumer == *consumer && p.topic == topic.name && p.partition == partition)
                    .map(|p| p.next_offset);
                let (consumer, topic) = (consumer.clone(), topic.name.clone());
                positions.push(Position { consumer, topic, partition, next_offset });
            }
        }
    }
    positions.sort();
    Ok(positions)
}

fn text(report: &Report, findings: &[String], paint: Paint) -> String {
    let mut table = Table::new(&["CONSUMER", "TOPIC", "PARTITION", "POSITION", "END", "LAG", "SECONDS"]);
    let limit = f64::from(report.max_seconds);
    for p in &report.partitions {
        let style = match p.finding(limit) {
            Some(_) => Style::Red,
            None if p.records > 0 => Style::Yellow,
            None => Style::Plain,
        };
        table.row(vec![
            p.consumer.as_str().into(),
            p.topic.as_str().into(),
            Cell::number(p.partition),
            p.position.map_or_else(|| Cell::styled(Style::Dim, "none"), Cell::number),
            Cell::number(p.high_watermark),
            Cell::number(p.records).in_style(style),
            Cell::number(format!("{:.1}", p.seconds)).in_style(style),
        ]);
    }
    let more = if report.outbox_pending >= MAX_COUNTED { " or more" } else { "" };
    let mut lines = Vec::new();
    if !table.is_empty() {
        lines.push(table.render(paint) + "\n");
    }
    let mut waits = Table::new(&["WAITING", "COUNT", "OLDEST"]);
    let mut wait = |what: String, count: i64, oldest: f64| {
        waits.row(vec![what.into(), Cell::number(count), span::shown(oldest).into()]);
    };
    wait(format!("outbox rows{more}"), report.outbox_pending, report.outbox_oldest_seconds);
    wait("deferred commands".to_owned(), report.deferred_commands.count, report.deferred_commands.oldest_seconds);
    wait("quotes to expire".to_owned(), report.due_timers.count, report.due_timers.oldest_seconds);
    let unstarted = report.unstarted_processes;
    wait("processes not started".to_owned(), unstarted.count, unstarted.oldest_seconds);
    wait("parked keys".to_owned(), report.parked_keys as i64, 0.0);
    lines.push(waits.render(paint));
    lines.extend(findings.iter().map(|finding| paint.apply(Style::Red, finding)));
    lines.join("\n")
}
