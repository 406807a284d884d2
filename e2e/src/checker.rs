//! The history checker: what clients were told against what is stored, published, ordered, started in the
//! engine and done in the systems outside. To be asked when everything has drained.

use crate::history::{History, Sent, Told};
use crate::operator;
use crate::settings::variable;
use crate::truth;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

/// Longest wait for everything to drain.
const DRAIN: Duration = Duration::from_secs(240);
const PAUSE: Duration = Duration::from_millis(500);
/// Rows of one page of the engine's history.
const ENGINE_PAGE: usize = 1_000;
/// The proofs of `cpq verify`.
const PROOFS: [&str; 6] = ["topic", "facts", "views", "price", "audit", "evidence"];

/// What was compared, and every contradiction.
#[derive(Debug, Default)]
pub struct Report {
    pub lines: Vec<String>,
    pub contradictions: Vec<String>,
}

impl Report {
    fn compared(&mut self, line: String) {
        self.lines.push(line);
    }
    fn add(&mut self, contradiction: String) {
        self.contradictions.push(contradiction);
    }

    /// The report as text; an error if anything contradicts.
    pub fn verdict(&self) -> Result<String, String> {
        let lines = self.lines.join("\n");
        if self.contradictions.is_empty() {
            return Ok(lines);
        }
        Err(format!("{lines}\n{} contradictions:\n{}", self.contradictions.len(), self.contradictions.join("\n")))
    }
}

/// Waits until nothing is under way any more, then compares.
pub async fn check(history: &History) -> Result<Report, String> {
    drained().await?;
    let mut report = Report::default();
    let mut truth = truth::over_all_tenants().await?;
    clients(&mut truth, &history.commands(), &mut report).await?;
    orders(&mut truth, &mut report).await?;
    drop(truth);
    instances(&mut report).await?;
    effects(&mut report).await?;
    for proof in PROOFS {
        match operator::verify(proof) {
            Ok(text) => report.compared(format!("verify {proof}: {}", text.trim())),
            Err(fault) => report.add(fault),
        }
    }
    Ok(report)
}

/// Waits until the outbox is empty, every consumer is at the end of its topics, and nothing waits or is parked.
async fn drained() -> Result<(), String> {
    let began = Instant::now();
    loop {
        let behind = match operator::behind() {
            Ok(None) => return Ok(()),
            Ok(Some(behind)) => behind,
            Err(error) => error,
        };
        if began.elapsed() > DRAIN {
            return Err(format!("not drained after {} s: {behind}", DRAIN.as_secs()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What the store knows of a client's command.
#[derive(sqlx::FromRow)]
struct Stored {
    command_id: String,
    aggregate_id: String,
    status: Option<String>,
    effects: i64,
    children: i64,
}

const STORED: &str = "select c.command_id, c.aggregate_id, o.status, \
      (select count(*) from cpq.transition_log t where t.tenant_id = c.tenant_id and t.causation_id = c.command_id) as effects, \
      (select count(*) from cpq.command k where k.tenant_id = c.tenant_id and k.causation_id = c.command_id) as children \
    from cpq.command c left join cpq.command_outcome o using (tenant_id, command_id) \
    where c.tenant_id = $1 and c.actor_id = $2 and c.idempotency_key = $3";

async fn clients(
    truth: &mut PgConnection,
    commands: &BTreeMap<Sent, Vec<Told>>,
    report: &mut Report,
) -> Result<(), String> {
    let (mut done, mut refused, mut unanswered) = (0, 0, 0);
    for (sent, told) in commands {
        let stored: Vec<Stored> = sqlx::query_as(STORED)
            .bind(&sent.tenant)
            .bind(&sent.actor)
            .bind(&sent.idempotency_key)
            .fetch_all(&mut *truth)
            .await
            .map_err(|e| e.to_string())?;
        let mut finals = told.iter().filter(|told| told.is_final());
        let first = finals.next();
        if let (Some(first), Some(other)) = (first, finals.find(|told| Some(*told) != first)) {
            report.add(format!("{sent:?} was told {first:?}, and then {other:?}"));
        }
        let judged = match first {
            Some(told) if told.status < 300 => {
                done += 1;
                one_effect(truth, sent, told, &stored).await?
            }
            Some(told) => {
                refused += 1;
                no_effect(told, &stored)
            }
            None => {
                unanswered += 1;
                (stored.len() <= 1).then_some(()).ok_or_else(|| "is stored more than once".to_owned())
            }
        };
        if let Err(fault) = judged {
            report.add(format!("{} {} of {}: {fault}", sent.operation, sent.idempotency_key, sent.actor));
        }
    }
    report.compared(format!(
        "{} commands of clients: {done} done, each with exactly one effect; {refused} refused, none with any; {unanswered} without a last word",
        commands.len()
    ));
    Ok(())
}

/// The event that says that an operation was done.
fn event_of(operation: &str) -> Option<&'static str> {
    Some(match operation.rsplit('/').next()? {
        "quotes" => "QuoteCreated",
        "configuration" => "QuoteConfigured",
        "pricing" => "QuotePriced",
        "approval-submission" => "QuoteSubmittedForApproval",
        "artifacts" => "QuoteArtifactGenerated",
        "acceptance" => "QuoteAccepted",
        _ => return None,
    })
}

async fn one_effect(
    truth: &mut PgConnection,
    sent: &Sent,
    told: &Told,
    stored: &[Stored],
) -> Result<Result<(), String>, String> {
    let [command] = stored else {
        return Ok(Err(format!("was told {}, and is stored {} times", told.status, stored.len())));
    };
    if command.status.as_deref() != Some("APPLIED") {
        return Ok(Err(format!("was told {}, and its outcome is {:?}", told.status, command.status)));
    }
    let Some(event) = event_of(&sent.operation) else {
        return Err(format!("the checker does not know which event {} stands for", sent.operation));
    };
    // A document is made by a command of our own; its fact names the document instead of this command.
    let artifact = told.body["artifactId"].as_str().filter(|_| event == "QuoteArtifactGenerated");
    let count: i64 = sqlx::query_scalar(
        "select count(*) from cpq.transition_log where tenant_id = $1 and aggregate_id = $2 and event_type = $3 \
           and case when $5::text is null then causation_id = $4 else jsonb_path_exists(payload, '$.** ? (@ == $id)', jsonb_build_object('id', $5::text)) end",
    )
    .bind(&sent.tenant)
    .bind(&command.aggregate_id)
    .bind(event)
    .bind(&command.command_id)
    .bind(artifact)
    .fetch_one(truth)
    .await
    .map_err(|e| e.to_string())?;
    Ok((count == 1).then_some(()).ok_or_else(|| format!("was told {}, and there are {count} {event}", told.status)))
}

fn no_effect(told: &Told, stored: &[Stored]) -> Result<(), String> {
    match stored {
        [] => Ok(()),
        [command] if command.status.as_deref() != Some("REJECTED") => {
            Err(format!("was told {}, and its outcome is {:?}", told.status, command.status))
        }
        [command] if command.effects + command.children > 0 => Err(format!(
            "was told {}, and caused {} transitions and {} commands",
            told.status, command.effects, command.children
        )),
        [_] => Ok(()),
        _ => Err(format!("is stored {} times", stored.len())),
    }
}

/// Exactly one order per accepted quote revision.
async fn orders(truth: &mut PgConnection, report: &mut Report) -> Result<(), String> {
    let counts: Vec<(String, String, i64)> = sqlx::query_as(
        "select t.tenant_id, t.aggregate_id, (select count(*) from cpq.orders o where o.tenant_id = t.tenant_id and o.quote_id = t.aggregate_id) \
         from cpq.transition_log t where t.event_type = 'QuoteAccepted'",
    )
    .fetch_all(truth)
    .await
    .map_err(|e| e.to_string())?;
    for (tenant, quote, count) in counts.iter().filter(|(_, _, count)| *count != 1) {
        report.add(format!("{tenant} {quote} was accepted and has {count} orders"));
    }
    report.compared(format!("{} acceptances, each with exactly one order", counts.len()));
    Ok(())
}

/// At most one instance per process and business key that got past its admission.
async fn instances(report: &mut Report) -> Result<(), String> {
    let http = http()?;
    let admissions = engine(&http, "activity-instance", json!({"activityId": "admit", "finished": true})).await?;
    let admitted: HashSet<&str> = admissions
        .iter()
        .filter(|activity| activity["canceled"] == false)
        .filter_map(|activity| activity["processInstanceId"].as_str())
        .collect();
    let all = engine(&http, "process-instance", json!({})).await?;
    let mut per_key: HashMap<(&str, &str), usize> = HashMap::new();
    for instance in all.iter().filter(|instance| instance["id"].as_str().is_some_and(|id| admitted.contains(id))) {
        let text = |field: &str| instance[field].as_str().unwrap_or_default();
        *per_key.entry((text("processDefinitionKey"), text("businessKey"))).or_default() += 1;
    }
    for ((process, key), count) in per_key.iter().filter(|(_, count)| **count > 1) {
        report.add(format!("{process} of {key} was admitted {count} times"));
    }
    report.compared(format!("{} process instances, {} admitted, one per business key", all.len(), per_key.len()));
    Ok(())
}

fn http() -> Result<reqwest::Client, String> {
    /// Longest wait for an answer; a page of the engine's history is large.
    const TIMEOUT: Duration = Duration::from_secs(30);
    reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|e| e.to_string())
}

async fn engine(http: &reqwest::Client, what: &str, filter: Value) -> Result<Vec<Value>, String> {
    let url = format!("{}/history/{what}", variable("CPQ_CAMUNDA_URL")?);
    let mut all = Vec::new();
    loop {
        let request = http.post(&url).query(&[("firstResult", all.len()), ("maxResults", ENGINE_PAGE)]).json(&filter);
        let answer = request.send().await.and_then(|answer| answer.error_for_status()).map_err(|e| e.to_string())?;
        let page: Vec<Value> = answer.json().await.map_err(|e| e.to_string())?;
        let last = page.len() < ENGINE_PAGE;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

/// What was reserved, activated or billed, was so once.
async fn effects(report: &mut Report) -> Result<(), String> {
    let http = http()?;
    let mut total = 0;
    for system in ["CPQ_INVENTORY_URL", "CPQ_ACTIVATION_URL", "CPQ_BILLING_URL"] {
        let url = format!("{}/effects", variable(system)?);
        let answer: Value = async { http.get(&url).send().await?.error_for_status()?.json().await }
            .await
            .map_err(|e: reqwest::Error| e.to_string())?;
        total += answer["total"].as_u64().unwrap_or_default();
        if answer["repeated"] != 0 {
            report.add(format!("{url}: {} effects happened more than once", answer["repeated"]));
        }
    }
    report.compared(format!("{total} effects in the systems outside, none repeated"));
    Ok(())
}
