//! `cpq dlq redrive|discard`: what it would mean, and, with `--yes`, doing it.

use super::{Doing, Which, find_one};
use crate::Failure;
use crate::operator;
use crate::output::Answer;
use crate::settings::Stack;
use cpq_runtime::dead_letters::{self, Act, By, Done, Preview, Refusal, preview};
use cpq_state_stores::operations::parked::DeadLetter;
use serde_json::json;
use time::OffsetDateTime;
use ulid::Ulid;

pub async fn run(stack: &Stack, which: &Which, doing: &Doing, act: Act, force: bool) -> Result<Answer, Failure> {
    let mut tx = stack.db()?.begin_system().await?;
    let letter = find_one(&mut tx, which).await?;
    let told = preview(&letter, act, force);
    if !doing.yes {
        tx.rollback().await?;
        return dry_run(&letter, act, &told);
    }
    let (action_id, actor) = (Ulid::generate().to_string(), operator::name(doing.actor.as_deref()));
    let by = by(&action_id, &actor, doing, force);
    let done = dead_letters::carry_out(&mut tx, &letter.dead_letter_id, None, act, &by).await?.map_err(refused)?;
    tx.commit().await?;
    answer(&done, act, &told, &action_id)
}

pub fn by<'a>(action_id: &'a str, actor: &'a str, doing: &'a Doing, force: bool) -> By<'a> {
    By {
        action_id,
        actor_id: actor,
        actor_type: "USER",
        claims: operator::CLAIMS,
        correlation_id: action_id,
        reason: doing.reason.as_deref().unwrap_or_default(),
        force,
        at: OffsetDateTime::now_utc(),
    }
}

pub fn refused(refusal: Refusal) -> Failure {
    let hint = match refusal {
        Refusal::Looped(_) | Refusal::NeedsForce(_) => "; --force does it all the same",
        Refusal::NotFound => "; `cpq dlq list` names the parked keys",
        Refusal::Busy | Refusal::Impossible(_) => "",
    };
    Failure::failed(format!("refused: {refusal}{hint}"))
}

/// A refusal is a finding: the same with `--yes` would fail.
fn dry_run(letter: &DeadLetter, act: Act, told: &Preview) -> Result<Answer, Failure> {
    let report = json!({"dryRun": true, "action": act.as_str(), "deadLetter": letter, "preview": told});
    let end = match &told.refusal {
        Some(refusal) => format!("it would be refused: {refusal}"),
        None => "nothing was changed; --yes does it".to_owned(),
    };
    Ok(Answer::new(&report, lines(told, &end))?.finding_if(told.refusal.is_some()))
}

fn answer(done: &Done, act: Act, told: &Preview, action_id: &str) -> Result<Answer, Failure> {
    let Done { letter, free, answered, .. } = done;
    let report = json!({
        "dryRun": false, "action": act.as_str(), "actionId": action_id, "deadLetter": letter, "preview": told,
        "free": free, "answeredCommand": answered,
    });
    let end = if *free {
        "done: nothing of it is parked any more".to_owned()
    } else {
        format!("done: {} is at it; `cpq dlq show {}` tells how far", letter.consumer, letter.dead_letter_id)
    };
    Answer::new(&report, lines(told, &end))
}

fn lines(told: &Preview, end: &str) -> String {
    let mut lines = vec![told.summary.clone()];
    lines.extend(told.warnings.iter().map(|warning| format!("  note: {warning}")));
    lines.push(end.to_owned());
    lines.join("\n")
}
