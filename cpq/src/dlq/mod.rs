//! `cpq dlq`: keys that a consumer, or the relay, cannot go on with: what waits behind them, and letting them go. What
//! may be done is judged in `cpq_runtime::dead_letters`, as for the API.

mod act;
mod edit;
mod show;

use crate::Failure;
use crate::output::{Answer, Paint};
use crate::settings::Stack;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use cpq_runtime::dead_letters::Act;
use cpq_state_stores::Tx;
use cpq_state_stores::operations::parked::{self, DeadLetter, DeadLetterQuery};

/// Look at parked keys, and let them go: records that could not be applied, and those that wait behind them in order.
#[derive(Args, Clone, Debug)]
pub struct DlqArgs {
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum DlqCommand {
    /// Lists the parked keys, oldest first; exits 1 if there are any.
    List {
        /// Only this consumer's (`relay` for the outbox relay's).
        #[arg(long)]
        consumer: Option<String>,
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Shows the records of one key with their cause, headers and value, and what was done with it so far.
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Lets the consumer apply the first record again, and then those behind it in their order. Without --yes it only
    /// says what that would mean.
    Redrive {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        doing: Doing,
        /// Also where it has failed in the same way again and again.
        #[arg(long)]
        force: bool,
    },
    /// Gives the first record up, and releases those behind it in their order. A command's client is answered so.
    /// Without --yes it only says what that would mean.
    Discard {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        doing: Doing,
        /// Also a command that our own processors sent.
        #[arg(long)]
        force: bool,
    },
    /// Puts a parked command right: other bytes or headers in the place of those that cannot be read. It must stay the
    /// same command. Redrive it afterwards. Without --yes it only says whether the edit would be taken.
    Edit {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        doing: Doing,
        #[command(flatten)]
        change: edit::Change,
    },
}

/// Which parked key is meant.
#[derive(Args, Clone, Debug)]
struct Which {
    /// The message key (the aggregate's id), or the dead letter's id as `list` gives it.
    key: String,
    /// Only what this consumer parked.
    #[arg(long)]
    consumer: Option<String>,
    /// Only of this topic.
    #[arg(long)]
    topic: Option<String>,
}

/// How something is done.
#[derive(Args, Clone, Debug)]
struct Doing {
    /// Why; it goes into the audit. Required with --yes.
    #[arg(long, required_if_eq("yes", "true"), value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// Do it; without this nothing is changed.
    #[arg(long)]
    yes: bool,
    /// Who does it, for the audit; without it, the user who is logged in.
    #[arg(long)]
    actor: Option<String>,
}

pub async fn run(args: &DlqArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    match &args.command {
        DlqCommand::List { consumer, tenant } => show::list(stack, consumer.as_deref(), tenant.as_deref(), paint).await,
        DlqCommand::Show { which } => show::show(stack, which, paint).await,
        DlqCommand::Redrive { which, doing, force } => act::run(stack, which, doing, Act::Redrive, *force).await,
        DlqCommand::Discard { which, doing, force } => act::run(stack, which, doing, Act::Discard, *force).await,
        DlqCommand::Edit { which, doing, change } => edit::run(stack, which, doing, change).await,
    }
}

/// The dead letters that are meant: by key, else by id.
async fn find(tx: &mut Tx, which: &Which) -> Result<Vec<DeadLetter>, Failure> {
    let Which { key, consumer, topic } = which;
    let query = DeadLetterQuery {
        consumer: consumer.as_deref(),
        topic: topic.as_deref(),
        message_key: Some(key),
        ..DeadLetterQuery::default()
    };
    let found = parked::dead_letters(tx, &query).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    let query = DeadLetterQuery { message_key: None, dead_letter_id: Some(key), ..query };
    Ok(parked::dead_letters(tx, &query).await?)
}

/// The only one that is meant.
async fn find_one(tx: &mut Tx, which: &Which) -> Result<DeadLetter, Failure> {
    let mut found = find(tx, which).await?;
    if found.len() > 1 {
        let by: Vec<String> = found.iter().map(|letter| format!("{} of {}", letter.consumer, letter.topic)).collect();
        return Err(Failure::usage(format!(
            "{} is parked by {}; --consumer and --topic, or the dead letter's id, say which",
            which.key,
            by.join(", ")
        )));
    }
    found.pop().ok_or_else(|| none(which))
}

fn none(which: &Which) -> Failure {
    Failure::failed(format!("no record of {} is parked; `cpq dlq list` names the parked keys", which.key))
}
