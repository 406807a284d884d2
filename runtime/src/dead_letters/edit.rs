//! Putting other bytes or headers in the place of a parked command's. What comes in must be a command that this build
//! reads, and the same command as before: same id, tenant and aggregate, so that whoever waits for it is answered.

use super::{By, Refusal, locked};
use cpq_avro::Record;
use cpq_avro::topics;
use cpq_domain::command::CommandMeta;
use cpq_state_stores::operations::parked::act::{self, Effect, Told};
use cpq_state_stores::operations::parked::{DeadLetter, ParkedRecordDetail};
use cpq_state_stores::{StoreError, Tx};

/// The header that names the command.
const COMMAND_ID_HEADER: &str = "ce_id";
/// The header that names the tenant.
const TENANT_HEADER: &str = "tenant_id";

/// What a record becomes.
pub struct Edit {
    pub offset: i64,
    pub value: Vec<u8>,
    pub headers: Vec<(String, String)>,
    /// The value, read.
    pub record: Record,
    /// What stood there before, if that could be read.
    pub original: Option<Record>,
}

/// Whether it may stand where `before` stands.
pub fn judge(letter: &DeadLetter, before: &ParkedRecordDetail, edit: &Edit) -> Result<(), Refusal> {
    fits(letter, before, edit).map_err(Refusal::Impossible)
}

fn fits(letter: &DeadLetter, before: &ParkedRecordDetail, edit: &Edit) -> Result<(), String> {
    let Record::Command(meta, _, aggregate_id, _) = &edit.record else {
        return Err("only commands can be edited, and this is none: a fact is as it was committed".to_owned());
    };
    let topic = topics::topic_of(&edit.record);
    if topic != letter.topic {
        return Err(format!("a command of this name stands on {topic}, not on {}", letter.topic));
    }
    if let Some(Record::Command(original, ..)) = &edit.original
        && original.claims != meta.claims
    {
        return Err("its claims are those of who sent it, and stay as they are".to_owned());
    }
    same("aggregate", &letter.message_key, aggregate_id)?;
    if let Some(tenant) = before.tenant_id.as_deref().or(letter.tenant_id.as_deref()) {
        same("tenant", tenant, meta.tenant_id.as_str())?;
    }
    let header = |name: &str| edit.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str());
    same("header ce_id", meta.command_id.as_str(), header(COMMAND_ID_HEADER))?;
    same("header tenant_id", meta.tenant_id.as_str(), header(TENANT_HEADER))
}

fn same(what: &str, expected: &str, found: &str) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("its {what} is {found:?}; it must stay {expected:?}")) }
}

/// Edits the record, keeps it as it was, and audits who did it and why, in this transaction.
pub async fn carry_out(
    tx: &mut Tx,
    dead_letter_id: &str,
    edit: &Edit,
    by: &By<'_>,
) -> Result<Result<DeadLetter, Refusal>, StoreError> {
    let Some(letter) = locked(tx, dead_letter_id, None).await? else { return Ok(Err(Refusal::NotFound)) };
    if letter.status != "PARKED" {
        return Ok(Err(Refusal::Busy));
    }
    let Record::Command(meta, ..) = &edit.record else { return Ok(Err(Refusal::NotFound)) };
    if let Err(refusal) = accepted(tx, &letter, meta).await? {
        return Ok(Err(refusal));
    }
    let Some(original) = act::replace(tx, &letter, edit.offset, &edit.value, &edit.headers).await? else {
        return Ok(Err(Refusal::NotFound));
    };
    let summary = format!("{} at offset {} of {} was edited", letter.message_key, edit.offset, letter.topic);
    let told = Told { summary, warnings: Vec::new(), status: letter.status.clone() };
    let effect = Effect { original: Some(&original), answered: None, outcome: Some("EDITED"), told: &told };
    act::record(tx, &letter, &by.action("EDIT", "EditDeadLetter"), &effect).await?;
    Ok(Ok(letter))
}

/// Only a command that was accepted can be put right: nothing new comes in by this way, and nobody speaks for another.
async fn accepted(tx: &mut Tx, letter: &DeadLetter, meta: &CommandMeta) -> Result<Result<(), Refusal>, StoreError> {
    let actor = meta.claims.actor_id.as_str();
    let known = act::accepted(tx, &meta.tenant_id, &meta.command_id).await?;
    Ok(match known {
        Some((aggregate_id, of)) if aggregate_id == letter.message_key && of == actor => Ok(()),
        _ => Err(Refusal::Impossible(format!(
            "no command {} of {actor} on {} was ever accepted; an edit puts an accepted command right and brings in no \
             other",
            meta.command_id, letter.message_key
        ))),
    })
}
