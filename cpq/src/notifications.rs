//! `cpq notifications list|retry|discard`: messages to people that have not left, and what becomes of those that were
//! given up.

use crate::operator::{self, Act};
use crate::output::{Answer, Paint, Style};
use crate::settings::Stack;
use crate::table::{Cell, Table};
use crate::{Failure, span};
use clap::{Args, Subcommand};
use cpq_state_stores::Tx;
use cpq_state_stores::notifications::{self, Unsent, UnsentQuery};
use cpq_state_stores::operations::backlog::MAX_LISTED;
use serde_json::json;

/// Look at messages to people that have not been sent, and try or discard those that were given up.
#[derive(Args, Clone, Debug)]
pub struct NotificationsArgs {
    #[command(subcommand)]
    command: NotificationsCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum NotificationsCommand {
    /// Lists the messages that have not been sent, oldest first; exits 1 if any was given up.
    List {
        /// Only those that were given up; the others are tried again by themselves.
        #[arg(long)]
        failed: bool,
        /// Only this tenant's; without it, all tenants'.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Lets a message that was given up be tried again. It may reach its recipient twice, if the server had it.
    Retry {
        #[command(flatten)]
        which: Which,
    },
    /// Puts a message that was given up away: it is never sent and no longer listed.
    Discard {
        #[command(flatten)]
        which: Which,
        /// Why nobody needs it; it goes into the audit.
        #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
        reason: String,
    },
}

#[derive(Args, Clone, Debug)]
struct Which {
    /// The message's id, as `list` gives it.
    id: String,
    /// Its tenant; needed only where two tenants have messages of that id.
    #[arg(long)]
    tenant: Option<String>,
    /// Who does it, for the audit; without it, the user who is logged in.
    #[arg(long)]
    actor: Option<String>,
}

pub async fn run(args: &NotificationsArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    match &args.command {
        NotificationsCommand::List { failed, tenant } => list(stack, *failed, tenant.as_deref(), paint).await,
        NotificationsCommand::Retry { which } => act(stack, which, None).await,
        NotificationsCommand::Discard { which, reason } => act(stack, which, Some(reason)).await,
    }
}

async fn list(stack: &Stack, failed: bool, tenant: Option<&str>, paint: Paint) -> Result<Answer, Failure> {
    let mut tx = stack.db()?.begin_system().await?;
    let unsent = notifications::unsent(&mut tx, UnsentQuery { id: None, tenant, failed }).await?;
    tx.commit().await?;
    let given_up = unsent.iter().filter(|message| is_given_up(message)).count();
    let mut table =
        Table::new(&["AGE", "STATUS", "TENANT", "ID", "KIND", "RECIPIENT", "ABOUT", "ATTEMPTS", "LAST ERROR"]);
    for message in &unsent {
        let style = if is_given_up(message) { Style::Red } else { Style::Yellow };
        table.row(vec![
            Cell::styled(Style::Yellow, span::shown(message.age_seconds)),
            Cell::styled(style, message.status.as_str()),
            message.tenant_id.as_str().into(),
            message.notification_id.as_str().into(),
            message.kind.as_str().into(),
            message.recipient.as_str().into(),
            message.aggregate_id.as_str().into(),
            Cell::number(message.attempts),
            message.last_error.as_deref().unwrap_or("").into(),
        ]);
    }
    let text = match unsent.len() {
        0 => "nothing waits to be sent".to_owned(),
        count if count as i64 == MAX_LISTED => format!("{}\nthe oldest {count}; there are more", table.render(paint)),
        count => format!("{}\n{count} not sent, {given_up} of them given up", table.render(paint)),
    };
    Ok(Answer::new(&unsent, text)?.finding_if(given_up > 0))
}

fn is_given_up(message: &Unsent) -> bool {
    message.status == "FAILED"
}

/// Discards the message for that reason; without one, lets it be tried again.
async fn act(stack: &Stack, which: &Which, reason: Option<&String>) -> Result<Answer, Failure> {
    let mut tx = stack.db()?.begin_system().await?;
    let message = find(&mut tx, which).await?;
    let Unsent { tenant_id, notification_id: id, .. } = &message;
    let (done, action, word) = match reason {
        Some(reason) => {
            (notifications::discard(&mut tx, tenant_id, id, reason).await?, "DiscardNotification", "discarded")
        }
        None => (notifications::retry(&mut tx, tenant_id, id).await?, "RetryNotification", "tried again"),
    };
    if !done {
        return Err(Failure::failed(format!("{id} has changed this moment; `cpq notifications list` shows how")));
    }
    let actor = operator::name(which.actor.as_deref());
    let act = Act { tenant_id, chain: &message.aggregate_id, action, actor: &actor };
    operator::record(&mut tx, &act, &detail(&message, reason)).await?;
    tx.commit().await?;
    let report = json!({"tenantId": tenant_id, "notificationId": id, "done": word});
    Answer::new(&report, format!("{id} to {} is {word}", message.recipient))
}

/// The message, if there is just one that was given up.
async fn find(tx: &mut Tx, which: &Which) -> Result<Unsent, Failure> {
    let query = UnsentQuery { id: Some(&which.id), tenant: which.tenant.as_deref(), failed: true };
    let mut found = notifications::unsent(tx, query).await?;
    if found.len() > 1 {
        let tenants: Vec<&str> = found.iter().map(|message| message.tenant_id.as_str()).collect();
        return Err(Failure::usage(format!(
            "{} is a message of {}; --tenant says which",
            which.id,
            tenants.join(", ")
        )));
    }
    found.pop().ok_or_else(|| {
        let hint = "`cpq notifications list --failed` names those that were given up";
        Failure::failed(format!("no message {} was given up; {hint}", which.id))
    })
}

fn detail(message: &Unsent, reason: Option<&String>) -> String {
    let Unsent { kind, notification_id, recipient, last_error, .. } = message;
    let why = reason.or(last_error.as_ref()).map_or("", String::as_str);
    format!("{kind} {notification_id} to {recipient}: {why}")
}
