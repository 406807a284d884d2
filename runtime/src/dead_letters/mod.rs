//! What operators may do with a parked key, and what it would mean: judged and told here for the command line and the
//! API alike. Releasing a key is the consumer's (`consumer::redrive`), its rows are the store's.

pub mod edit;
mod preview;

pub use preview::{Preview, preview};

use cpq_domain::ids::CommandId;
use cpq_domain::rejection::{ErrorCode, Rejection};
use cpq_state_stores::operations::parked::act::{self, Action, Effect, Told};
use cpq_state_stores::operations::parked::{self, DeadLetter, DeadLetterQuery};
use cpq_state_stores::{StoreError, Tx};
use time::OffsetDateTime;

/// A record that has failed in the same way at so many redrives in a row is not redriven again unless forced:
/// whatever made it fail is still there.
pub const MAX_SAME_FAILURES: i32 = 3;

/// What a command that was given up is answered: it failed for a reason of ours.
const GIVEN_UP: ErrorCode = ErrorCode::Internal;

/// What can be done with a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Its first record is applied again, and those behind it follow.
    Redrive,
    /// Its first record is given up, and those behind it follow.
    Discard,
}

impl Act {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redrive => "REDRIVE",
            Self::Discard => "DISCARD",
        }
    }
    fn audited(self) -> &'static str {
        match self {
            Self::Redrive => "RedriveDeadLetter",
            Self::Discard => "DiscardDeadLetter",
        }
    }
}

/// Who does it, and why.
pub struct By<'a> {
    /// Names the action; the command's id where it came as one.
    pub action_id: &'a str,
    pub actor_id: &'a str,
    pub actor_type: &'static str,
    /// JSON of the claims that allow it.
    pub claims: &'a str,
    pub correlation_id: &'a str,
    pub reason: &'a str,
    /// Whether it is to be done where it is refused otherwise.
    pub force: bool,
    pub at: OffsetDateTime,
}

impl By<'_> {
    fn action(&self, action: &'static str, audit_action: &'static str) -> Action<'_> {
        Action {
            action_id: self.action_id,
            action,
            audit_action,
            actor_id: self.actor_id,
            actor_type: self.actor_type,
            claims: self.claims,
            correlation_id: self.correlation_id,
            reason: self.reason,
            forced: self.force,
            at: self.at,
        }
    }
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no such key is parked")]
    NotFound,
    #[error("its records are being applied right now: wait until it is released or parked again")]
    Busy,
    #[error("it has failed in the same way at {0} redrives in a row: mend the cause first, or force it")]
    Looped(i32),
    #[error("{0}")]
    NeedsForce(String),
    #[error("{0}")]
    Impossible(String),
}

/// Whether it may be done as things are.
pub fn judge(letter: &DeadLetter, act: Act, force: bool) -> Result<(), Refusal> {
    if letter.status != "PARKED" {
        return Err(Refusal::Busy);
    }
    match act {
        Act::Redrive if letter.same_cause >= MAX_SAME_FAILURES && !force => Err(Refusal::Looped(letter.same_cause)),
        Act::Redrive => Ok(()),
        Act::Discard if letter.kind == "HELD" => Err(Refusal::Impossible(format!(
            "{} holds this key for work of its own, which cannot be given up: what is committed must go out",
            letter.consumer
        ))),
        Act::Discard if letter.kind == "OWN_COMMAND" && !force => Err(Refusal::NeedsForce(
            "this command is one that our own processors sent: what waits for it would wait for ever; force it only \
             where that is settled otherwise"
                .to_owned(),
        )),
        Act::Discard => Ok(()),
    }
}

/// What has been done.
#[derive(Clone, Debug)]
pub struct Done {
    /// As it was before.
    pub letter: DeadLetter,
    /// Whether nothing of the key is parked any more; else its consumer is at it.
    pub free: bool,
    /// What it meant.
    pub told: Told,
    /// The command that was answered by giving it up.
    pub answered: Option<CommandId>,
}

/// Does it, writes it down and audits it, in this transaction. `tenant` restricts whose dead letters are seen.
pub async fn carry_out(
    tx: &mut Tx,
    dead_letter_id: &str,
    tenant: Option<&str>,
    act: Act,
    by: &By<'_>,
) -> Result<Result<Done, Refusal>, StoreError> {
    let Some(letter) = locked(tx, dead_letter_id, tenant).await? else { return Ok(Err(Refusal::NotFound)) };
    if let Err(refusal) = judge(&letter, act, by.force) {
        return Ok(Err(refusal));
    }
    let (mut original, mut answered) = (None, None);
    if let (Act::Discard, Some(offset)) = (act, letter.record_offset) {
        original = act::take(tx, &letter, offset).await?;
        answered = answer(tx, &letter, by).await?;
    }
    let free = act::let_go(tx, &letter).await?;
    let Preview { summary, warnings, .. } = preview(&letter, act, by.force);
    let told = Told { summary, warnings, status: if free { "RELEASED" } else { "REDRIVING" }.to_owned() };
    let action = by.action(act.as_str(), act.audited());
    let effect = Effect {
        original: original.as_ref(),
        answered: answered.as_ref().map(|command| (command, GIVEN_UP)),
        outcome: free.then_some("RELEASED"),
        told: &told,
    };
    act::record(tx, &letter, &action, &effect).await?;
    Ok(Ok(Done { letter, free, told, answered }))
}

/// The dead letter as it is, held until the transaction ends.
async fn locked(tx: &mut Tx, dead_letter_id: &str, tenant: Option<&str>) -> Result<Option<DeadLetter>, StoreError> {
    if !act::lock(tx, dead_letter_id).await? {
        return Ok(None);
    }
    let query = DeadLetterQuery { dead_letter_id: Some(dead_letter_id), tenant, ..DeadLetterQuery::default() };
    Ok(parked::dead_letters(tx, &query).await?.pop())
}

/// A command that is given up gets an outcome, so that its client is answered.
async fn answer(tx: &mut Tx, letter: &DeadLetter, by: &By<'_>) -> Result<Option<CommandId>, StoreError> {
    let (Some(tenant), Some(command_id)) = (&letter.tenant_id, &letter.command_id) else { return Ok(None) };
    let detail = "The command could not be processed, and an operator has given it up: nothing of it was done. Send it \
                  again as a new command, with a new Idempotency-Key.";
    let rejection = Rejection::new(GIVEN_UP, detail);
    let answered = act::reject_command(tx, tenant, command_id, &rejection, by.at).await?;
    Ok(answered.then(|| CommandId::new(command_id.as_str())))
}
