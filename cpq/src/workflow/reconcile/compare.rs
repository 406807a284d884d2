//! What a difference between ledger and engine means, and what repairs it. Pure.

use camunda_bridge::engine::{HistoricProcessInstance, ProcessInstance};
use cpq_state_stores::operations::ledger::LedgerEntry;
use serde::Serialize;
use std::collections::HashMap;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Found {
    /// Asked for, and not in the engine yet.
    NotStarted,
    /// The engine has no trace of the instance, or it was deleted there.
    Lost,
    /// The instance has ended, and the ledger has not been told.
    EndUnnoticed,
    /// An instance runs that is not the admitted one, or whose process is over.
    Stale,
    /// An instance runs that the ledger has never heard of.
    Unknown,
}

impl Found {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "NOT_STARTED",
            Self::Lost => "LOST",
            Self::EndUnnoticed => "END_UNNOTICED",
            Self::Stale => "STALE",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// What would repair it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "camelCase")]
pub enum Repair {
    /// Nothing to do here: the bridge starts it as soon as it can.
    Wait,
    /// Ask for the process again.
    RequestAgain(Box<LedgerEntry>),
    /// Close the ledger's row.
    Close(Box<LedgerEntry>),
    /// End the engine's instance.
    #[serde(rename_all = "camelCase")]
    EndInstance { instance_id: String },
}

impl Repair {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Wait => "wait for the bridge",
            Self::RequestAgain(_) => "request again",
            Self::Close(_) => "close",
            Self::EndInstance { .. } => "end instance",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub found: Found,
    pub tenant_id: Option<String>,
    pub process_key: String,
    pub business_key: String,
    pub instance_id: Option<String>,
    pub detail: String,
    pub repair: Repair,
}

impl Finding {
    /// Whether it is about an instance that the ledger has never heard of.
    pub fn unknown(&self) -> bool {
        self.found == Found::Unknown
    }

    fn of(entry: &LedgerEntry, found: Found, detail: String, repair: Repair) -> Self {
        Self {
            found,
            tenant_id: Some(entry.tenant_id.clone()),
            process_key: entry.process_key.clone(),
            business_key: entry.business_key.clone(),
            instance_id: instance_of(entry).map(str::to_owned),
            detail,
            repair,
        }
    }
}

/// The instance that the ledger holds to be the process.
fn instance_of(entry: &LedgerEntry) -> Option<&str> {
    entry.admitted_instance_id.as_deref().or(entry.started_instance_id.as_deref())
}

/// The engine's running instances of one process, by id and by business key.
pub struct Running {
    by_id: HashMap<String, ProcessInstance>,
    business_keys: HashMap<String, usize>,
}

impl Running {
    pub fn new(instances: Vec<ProcessInstance>) -> Self {
        let mut business_keys = HashMap::new();
        for key in instances.iter().filter_map(|instance| instance.business_key.clone()) {
            *business_keys.entry(key).or_insert(0) += 1;
        }
        Self { by_id: instances.into_iter().map(|i| (i.id.clone(), i)).collect(), business_keys }
    }

    pub fn iter(&self) -> impl Iterator<Item = &ProcessInstance> {
        self.by_id.values()
    }

    /// Whether the ledger names an instance that does not run.
    pub fn misses(&self, entry: &LedgerEntry) -> bool {
        instance_of(entry).is_some_and(|id| !self.by_id.contains_key(id))
    }
}

/// What is wrong with an open row, given what runs and, where its instance does not, the history of its business key.
pub fn ledger_finding(
    entry: &LedgerEntry,
    running: &Running,
    history: &[HistoricProcessInstance],
    grace_seconds: i64,
) -> Option<Finding> {
    let in_progress = entry.age_seconds < grace_seconds as f64;
    if entry.status == "REQUESTED" {
        let candidate = running.business_keys.contains_key(&entry.business_key);
        let cause = entry.last_error.as_deref().unwrap_or("the bridge has not taken it up");
        let detail = format!("{} attempts; {cause}", entry.attempts);
        return (!in_progress && !candidate).then(|| Finding::of(entry, Found::NotStarted, detail, Repair::Wait));
    }
    // While none is admitted, another instance of the business key may still be.
    let may_be_admitted = entry.status == "STARTED" && running.business_keys.contains_key(&entry.business_key);
    if in_progress || may_be_admitted || !running.misses(entry) {
        return None;
    }
    let past = history.iter().find(|past| Some(past.id.as_str()) == instance_of(entry));
    let boxed = || Box::new(entry.clone());
    Some(match past {
        Some(past) if past.state == "COMPLETED" => {
            let detail = "the instance has ended by itself".to_owned();
            Finding::of(entry, Found::EndUnnoticed, detail, Repair::Close(boxed()))
        }
        past => {
            let how = past.map_or("the engine has no trace of it".to_owned(), |past| {
                let reason = past.delete_reason.as_deref().unwrap_or("no reason given");
                format!("{} in the engine ({reason})", past.state)
            });
            let repair = if entry.needed { Repair::RequestAgain(boxed()) } else { Repair::Close(boxed()) };
            let need = if entry.needed { "still needed" } else { "no longer needed" };
            Finding::of(entry, Found::Lost, format!("{how}; {need}"), repair)
        }
    })
}

/// What is wrong with a running instance, given the ledger's row of its business key.
pub fn engine_finding(process: &str, instance: &ProcessInstance, row: Option<&LedgerEntry>) -> Option<Finding> {
    let (found, detail) = match row {
        None => (Found::Unknown, "the ledger has no row of this business key".to_owned()),
        Some(row) if row.status == "ENDED" => (Found::Stale, "the process is over".to_owned()),
        Some(LedgerEntry { admitted_instance_id: Some(admitted), .. }) if *admitted != instance.id => {
            (Found::Stale, format!("instance {admitted} is the admitted one"))
        }
        Some(_) => return None,
    };
    Some(Finding {
        found,
        tenant_id: row.map(|row| row.tenant_id.clone()),
        process_key: process.to_owned(),
        business_key: instance.business_key.clone().unwrap_or_default(),
        instance_id: Some(instance.id.clone()),
        detail,
        repair: Repair::EndInstance { instance_id: instance.id.clone() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use time::OffsetDateTime;

    const GRACE: i64 = 30;

    fn entry(status: &str, started: Option<&str>, admitted: Option<&str>, needed: bool, age: f64) -> LedgerEntry {
        LedgerEntry {
            tenant_id: "t".to_owned(),
            process_key: "quote-approval".to_owned(),
            business_key: "k".to_owned(),
            status: status.to_owned(),
            started_instance_id: started.map(str::to_owned),
            admitted_instance_id: admitted.map(str::to_owned),
            last_error: None,
            attempts: 1,
            age_seconds: age,
            needed,
        }
    }

    fn instance(id: &str) -> ProcessInstance {
        let (id, definition_id) = (id.to_owned(), "d".to_owned());
        ProcessInstance { id, definition_id, business_key: Some("k".to_owned()), ended: false, suspended: false }
    }

    fn past(id: &str, state: &str) -> HistoricProcessInstance {
        HistoricProcessInstance {
            id: id.to_owned(),
            business_key: Some("k".to_owned()),
            process_definition_key: "quote-approval".to_owned(),
            process_definition_version: Some(1),
            state: state.to_owned(),
            start_time: OffsetDateTime::UNIX_EPOCH,
            end_time: None,
            delete_reason: None,
        }
    }

    #[rstest]
    #[case::runs(entry("ADMITTED", Some("i"), Some("i"), true, 99.0), &["i"], &[], None)]
    #[case::waits(entry("REQUESTED", None, None, true, 99.0), &[], &[], Some((Found::NotStarted, "wait for the bridge")))]
    #[case::young(entry("REQUESTED", None, None, true, 5.0), &[], &[], None)]
    #[case::start_timed_out(entry("REQUESTED", None, None, true, 99.0), &["i"], &[], None)]
    #[case::another_may_be_admitted(entry("STARTED", Some("a"), None, true, 99.0), &["b"], &[], None)]
    #[case::no_trace(entry("ADMITTED", Some("i"), Some("i"), true, 99.0), &[], &[], Some((Found::Lost, "request again")))]
    #[case::no_trace_no_need(entry("ADMITTED", Some("i"), Some("i"), false, 99.0), &[], &[], Some((Found::Lost, "close")))]
    #[case::deleted(entry("STARTED", Some("i"), None, true, 99.0), &[], &[("i", "EXTERNALLY_TERMINATED")], Some((Found::Lost, "request again")))]
    #[case::ended(entry("ADMITTED", Some("i"), Some("i"), true, 99.0), &[], &[("i", "COMPLETED")], Some((Found::EndUnnoticed, "close")))]
    #[case::lost_just_now(entry("ADMITTED", Some("i"), Some("i"), true, 5.0), &[], &[], None)]
    fn an_open_row_is_judged(
        #[case] entry: LedgerEntry,
        #[case] running: &[&str],
        #[case] history: &[(&str, &str)],
        #[case] expected: Option<(Found, &str)>,
    ) {
        let running = Running::new(running.iter().map(|id| instance(id)).collect());
        let history: Vec<_> = history.iter().map(|(id, state)| past(id, state)).collect();
        let finding = ledger_finding(&entry, &running, &history, GRACE);
        assert_eq!(finding.as_ref().map(|f| (f.found, f.repair.word())), expected);
    }

    #[rstest]
    #[case::admitted(Some(entry("ADMITTED", Some("i"), Some("i"), true, 0.0)), None)]
    #[case::not_yet_admitted(Some(entry("STARTED", Some("other"), None, true, 0.0)), None)]
    #[case::not_the_admitted_one(Some(entry("ADMITTED", Some("i"), Some("other"), true, 0.0)), Some(Found::Stale))]
    #[case::over(Some(entry("ENDED", Some("i"), Some("i"), true, 0.0)), Some(Found::Stale))]
    #[case::never_heard_of(None, Some(Found::Unknown))]
    fn a_running_instance_is_judged(#[case] row: Option<LedgerEntry>, #[case] expected: Option<Found>) {
        let finding = engine_finding("quote-approval", &instance("i"), row.as_ref());
        assert_eq!(finding.map(|f| f.found), expected);
    }
}
