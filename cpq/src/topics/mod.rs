//! `cpq topics plan|apply`: makes the cluster match `topics.yaml`. Nothing is ever deleted, and no partition
//! count is ever changed.

mod cluster;
mod difference;

use crate::output::{Answer, Paint, Style};
use crate::settings::Stack;
use crate::{Failure, kafka::REQUEST_TIMEOUT};
use clap::{Args, Subcommand};
pub use cluster::Cluster;
use cpq_avro::topics::{self, Topic};
pub use difference::{ActualTopic, Difference, differences};
use serde_json::json;
use std::time::{Duration, Instant};

/// The pause between two looks at whether all brokers know what was applied.
const SETTLE_PAUSE: Duration = Duration::from_millis(200);

/// Make the cluster's topics match topics.yaml.
#[derive(Args, Clone, Debug)]
pub struct TopicsArgs {
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Subcommand, Clone, Copy, Debug)]
enum TopicsCommand {
    /// Shows how the cluster differs from topics.yaml; exits 1 if it does.
    Plan,
    /// Creates missing topics and sets what differs. Refuses, before it changes anything, where a partition count differs.
    Apply,
}

pub async fn run(args: &TopicsArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let wanted = topics::load().map_err(Failure::because("this build is broken"))?;
    let cluster = Cluster::connect(&stack.kafka_brokers()?)?;
    match args.command {
        TopicsCommand::Plan => {
            let found = differences(&wanted, &cluster.describe(&wanted).await?);
            let any = !found.is_empty();
            answer(&found, "planned", wanted.len(), paint).map(|answer| answer.finding_if(any))
        }
        TopicsCommand::Apply => {
            let applied = apply(&cluster, &wanted).await?;
            answer(&applied, "applied", wanted.len(), paint)
        }
    }
}

/// Makes the cluster have these topics; returns what was done.
pub async fn apply(cluster: &Cluster, wanted: &[Topic]) -> Result<Vec<Difference>, Failure> {
    let planned = differences(wanted, &cluster.describe(wanted).await?);
    let refused: Vec<String> = planned.iter().filter_map(Difference::refusal).collect();
    if !refused.is_empty() {
        return Err(Failure::failed(format!("nothing was changed:\n{}", refused.join("\n"))));
    }
    cluster.apply(&planned).await?;
    settle(cluster, wanted).await?;
    Ok(planned)
}

/// Waits until the cluster shows what was applied.
async fn settle(cluster: &Cluster, wanted: &[Topic]) -> Result<(), Failure> {
    let end = Instant::now() + REQUEST_TIMEOUT;
    loop {
        let left = differences(wanted, &cluster.describe(wanted).await?);
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            let left: Vec<String> = left.iter().map(Difference::to_string).collect();
            return Err(Failure::failed(format!("applied, but the cluster still differs:\n{}", left.join("\n"))));
        }
        tokio::time::sleep(SETTLE_PAUSE).await;
    }
}

fn answer(found: &[Difference], word: &str, topics: usize, paint: Paint) -> Result<Answer, Failure> {
    let mut lines: Vec<String> = found
        .iter()
        .map(|difference| {
            let style = match difference {
                Difference::Create(_) => Style::Green,
                Difference::Alter { .. } => Style::Yellow,
                Difference::Partitions { .. } => Style::Red,
            };
            paint.apply(style, &difference.to_string())
        })
        .collect();
    lines.push(match found.len() {
        0 => format!("all {topics} topics are as topics.yaml says"),
        count => format!("{count} changes {word}, {topics} topics in topics.yaml"),
    });
    Answer::new(&json!({"topics": topics, "changes": found}), lines.join("\n"))
}
