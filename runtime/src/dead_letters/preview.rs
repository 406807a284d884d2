//! What an action on a dead letter would mean, in words. Pure.

use super::{Act, Refusal, judge};
use cpq_state_stores::operations::parked::DeadLetter;
use cpq_state_stores::outbox::RELAY;
use serde::Serialize;

/// What would happen, before it does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// One sentence for a person.
    pub summary: String,
    /// What to think of before doing it.
    pub warnings: Vec<String>,
    /// Why it would be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// Tells what this would do.
pub fn preview(letter: &DeadLetter, act: Act, force: bool) -> Preview {
    let refusal: Option<Refusal> = judge(letter, act, force).err();
    Preview {
        summary: summary(letter, act),
        warnings: if act == Act::Discard { losses(letter) } else { Vec::new() },
        refusal: refusal.map(|refusal| refusal.to_string()),
    }
}

fn summary(letter: &DeadLetter, act: Act) -> String {
    let DeadLetter { consumer, topic, message_key: key, .. } = letter;
    let (Some(partition), Some(offset)) = (letter.partition, letter.record_offset) else {
        return if consumer == RELAY {
            format!("this lets the relay publish {} of {key} to {topic} again, in order", records(letter.records))
        } else {
            format!("this lets {consumer} try its work on {key} again")
        };
    };
    let what = letter.record_type.as_deref().unwrap_or("the record");
    let first = match act {
        Act::Redrive => format!("this applies {what} at {topic}[{partition}] offset {offset} again"),
        Act::Discard => format!("this gives up {what} at {topic}[{partition}] offset {offset}"),
    };
    match letter.behind() {
        0 => format!("{first}; nothing waits behind it on {key}"),
        behind => format!("{first}, and then releases {} behind it on {key}, in order", records(behind)),
    }
}

fn records(count: i64) -> String {
    format!("{count} record{}", if count == 1 { "" } else { "s" })
}

/// What is missed once the first record is given up.
fn losses(letter: &DeadLetter) -> Vec<String> {
    let DeadLetter { consumer, message_key: key, topic, .. } = letter;
    let command = letter.command_id.as_deref().unwrap_or_default();
    let of_events = topic.contains(".events.");
    let loss = match (letter.kind.as_str(), consumer.as_str()) {
        ("HELD", _) => return Vec::new(),
        ("CLIENT_COMMAND", _) => {
            format!("command {command} is answered as given up; its client may send it again as a new one")
        }
        ("OWN_COMMAND", _) => {
            format!("command {command} was sent by a processor of ours: whatever waits for it on {key} stays as it is")
        }
        (_, "projection") if of_events => format!(
            "the views miss this event of {key}; if a later one follows, it is parked as a gap: `cpq replay views` mends \
             that, and then redrive"
        ),
        (_, "notification") if of_events => "nobody is told of this event".to_owned(),
        _ if of_events => format!("{consumer} never learns of this event of {key}"),
        _ => "no accepted command is known by this record, so that nobody is answered".to_owned(),
    };
    vec![loss]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use time::OffsetDateTime;

    fn letter(consumer: &str, topic: &str, kind: &str, records: i64) -> DeadLetter {
        let held = kind == "HELD";
        DeadLetter {
            dead_letter_id: "d".to_owned(),
            consumer: consumer.to_owned(),
            topic: topic.to_owned(),
            message_key: "Q-2026-000001".to_owned(),
            tenant_id: Some("t".to_owned()),
            status: "PARKED".to_owned(),
            cause: "undecodable".to_owned(),
            parked_at: OffsetDateTime::UNIX_EPOCH,
            age_seconds: 0.0,
            records,
            partition: (!held).then_some(3),
            record_offset: (!held).then_some(7),
            kind: kind.to_owned(),
            command_id: Some("01J".to_owned()),
            record_type: Some("cpq.quote.PriceQuote.v1".to_owned()),
            correlation_id: None,
            attempts: 0,
            same_cause: 0,
        }
    }

    #[rstest]
    #[case::many("quote", "CLIENT_COMMAND", 15, "releases 14 records behind it on Q-2026-000001")]
    #[case::one("quote", "CLIENT_COMMAND", 2, "releases 1 record behind it on Q-2026-000001")]
    #[case::none("quote", "CLIENT_COMMAND", 1, "nothing waits behind it on Q-2026-000001")]
    #[case::relay("relay", "HELD", 3, "publish 3 records of Q-2026-000001 to cpq.quote.commands.v1 again")]
    #[case::document("document", "HELD", 0, "lets document try its work on Q-2026-000001 again")]
    fn a_preview_says_what_is_released(
        #[case] consumer: &str,
        #[case] kind: &str,
        #[case] records: i64,
        #[case] said: &str,
    ) {
        let preview = preview(&letter(consumer, "cpq.quote.commands.v1", kind, records), Act::Redrive, false);
        assert!(preview.summary.contains(said), "{preview:?}");
        assert_eq!((preview.warnings.len(), preview.refusal), (0, None));
    }

    #[rstest]
    #[case::client("quote", "cpq.quote.commands.v1", "CLIENT_COMMAND", false, "command 01J is answered")]
    #[case::own("order", "cpq.order.commands.v1", "OWN_COMMAND", true, "sent by a processor of ours")]
    #[case::view("projection", "cpq.quote.events.v1", "OTHER", false, "cpq replay views")]
    #[case::mail("notification", "cpq.quote.events.v1", "OTHER", false, "nobody is told")]
    #[case::foreign("quote", "cpq.quote.commands.v1", "OTHER", false, "nobody is answered")]
    fn giving_up_a_record_says_what_is_missed(
        #[case] consumer: &str,
        #[case] topic: &str,
        #[case] kind: &str,
        #[case] needs_force: bool,
        #[case] missed: &str,
    ) {
        let letter = letter(consumer, topic, kind, 1);
        let said = preview(&letter, Act::Discard, false);
        assert!(said.warnings[0].contains(missed), "{said:?}");
        assert_eq!(said.refusal.is_some(), needs_force, "{said:?}");
        assert_eq!(preview(&letter, Act::Discard, true).refusal, None);
    }

    #[test]
    fn what_must_go_out_cannot_be_given_up_even_by_force() {
        let letter = letter("relay", "cpq.quote.events.v1", "HELD", 3);
        assert!(matches!(judge(&letter, Act::Discard, true), Err(Refusal::Impossible(_))));
    }

    #[rstest]
    #[case(2, false, true)]
    #[case(3, false, false)]
    #[case(3, true, true)]
    fn the_loop_guard_refuses_what_failed_alike_three_times(
        #[case] same_cause: i32,
        #[case] force: bool,
        #[case] allowed: bool,
    ) {
        let letter = DeadLetter { same_cause, attempts: 9, ..letter("quote", "t", "CLIENT_COMMAND", 1) };
        assert_eq!(judge(&letter, Act::Redrive, force).is_ok(), allowed);
    }

    #[test]
    fn nothing_is_done_to_a_key_that_is_on_its_way() {
        let letter = DeadLetter { status: "REDRIVING".to_owned(), ..letter("quote", "t", "CLIENT_COMMAND", 1) };
        assert_eq!(judge(&letter, Act::Redrive, true), Err(Refusal::Busy));
        assert_eq!(judge(&letter, Act::Discard, true), Err(Refusal::Busy));
    }
}
