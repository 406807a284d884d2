//! Plays quote commands in the tables' language.

use crate::world::{ACCOUNT, Line, TENANT, WORLD, describe, start};
use cpq_domain::command::Decision;
use cpq_domain::follow_up::FollowUp;
use cpq_domain::ids::{ApprovalRequestId, OrderId, QuoteId, TaskId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::quote::command::*;
use cpq_domain::quote::view::PriceView;
use cpq_domain::quote::{self, Artifact, Context, Quote, QuoteCommand, QuoteEvent, trial};
use cpq_domain::reference::Tenant;
use cpq_domain::rejection::Rejection;
use serde_json::{from_value, json};

pub type Decided = Result<Decision<QuoteEvent, FollowUp>, Rejection>;

/// How each given state comes about: from which, by which command.
const GIVEN: &[(&str, &str, &str)] = &[
    ("draft", "nothing", "alice create"),
    ("short-lived", "nothing", "alice create valid-days=5"),
    ("configured", "draft", "alice configure"),
    ("priced", "configured", "alice price discount=12"),
    ("undiscounted", "configured", "alice price"),
    ("approved-by-policy", "undiscounted", "alice submit"),
    ("starting", "priced", "alice submit"),
    ("pending", "starting", "bridge started"),
    ("claimed", "pending", "bob claim"),
    ("escalated", "pending", "bridge escalate"),
    ("approved", "pending", "bob decide"),
    ("rejected", "pending", "bob decide verdict=REJECT"),
    ("presented", "approved", "document stored"),
    ("presented-twice", "presented", "document stored template=formal"),
    ("accepted", "presented", "carl accept"),
    ("ordered", "accepted", "orders link"),
    ("deep-discount", "configured", "alice price discount=25"),
    ("two-levels", "two-levels-starting", "bridge started"),
    ("two-levels-starting", "deep-discount", "alice submit"),
    ("half-approved", "two-levels", "bob decide"),
    ("second-level-rejected", "half-approved", "dora decide verdict=REJECT"),
    ("large", "draft", "alice configure quantity=12"),
    ("large-priced", "large", "alice price discount=25"),
    ("large-starting", "large-priced", "alice submit"),
    ("large-pending", "large-starting", "bridge started"),
    ("parallel", "large-pending", "bob decide"),
    ("withdrawn-submission", "pending", "alice withdraw"),
    ("reopened", "presented", "alice reopen"),
    ("withdrawn", "presented", "alice withdraw-quote"),
    ("withdrawn-pending", "claimed", "alice withdraw-quote"),
    ("expired", "short-lived", "timer expire day=5"),
    ("expired-pending", "short-lived-pending", "timer expire day=5"),
    ("short-lived-configured", "short-lived", "alice configure"),
    ("short-lived-priced", "short-lived-configured", "alice price discount=12"),
    ("short-lived-starting", "short-lived-priced", "alice submit"),
    ("short-lived-pending", "short-lived-starting", "bridge started"),
    ("short-lived-approved", "short-lived-pending", "bob decide"),
    ("short-lived-presented", "short-lived-approved", "document stored"),
    ("expired-presented", "short-lived-presented", "timer expire day=5"),
    ("short-lived-accepted", "short-lived-presented", "carl accept"),
];

/// A quote with the events that made it.
#[derive(Clone, Default)]
pub struct Run {
    pub quote: Option<Quote>,
    pub log: Vec<(QuoteEvent, Moment)>,
    pub four_eyes_off: bool,
    /// What a clone is made from.
    pub source: Option<Quote>,
}

impl Run {
    /// The quote in the given state.
    pub fn given(state: &str) -> Self {
        if state == "nothing" {
            return Self::default();
        }
        let (_, before, command) =
            GIVEN.iter().find(|(name, ..)| *name == state).unwrap_or_else(|| panic!("no such state: {state}"));
        let mut run = Self::given(before);
        let outcome = run.play(command);
        assert!(!run.log.is_empty(), "{state}: {command} → {outcome}");
        run
    }

    /// Plays a line; the outcome is `STATUS r<revision>: <events>`, or the code of the refusal.
    pub fn play(&mut self, text: &str) -> String {
        let line = Line::parse(text);
        let decision = self.decide(&line);
        self.take(&decision, line.now());
        describe(&decision, QuoteEvent::name).map_or_else(
            |refusal| refusal,
            |events| {
                let quote = self.quote.as_ref().unwrap();
                format!("{} r{}: {events}", quote.status(), quote.revision)
            },
        )
    }

    pub fn take(&mut self, decision: &Decided, at: Moment) {
        if let Ok(Decision::Applied { events, .. }) = decision {
            for event in events {
                self.quote = quote::evolve(self.quote.take(), &TENANT.into(), &quote_id(), event, at);
                self.log.push((event.clone(), at));
            }
        }
    }

    pub fn decide(&self, line: &Line) -> Decided {
        self.judge(line, &self.command(line))
    }

    pub fn judge(&self, line: &Line, command: &QuoteCommand) -> Decided {
        self.judge_at(line, command, line.now())
    }

    /// Judges by another clock than the command's sender has.
    pub fn judge_at(&self, line: &Line, command: &QuoteCommand, now: Moment) -> Decided {
        let meta = line.meta();
        let tenant = Tenant { four_eyes: !self.four_eyes_off, ..WORLD.tenant.clone() };
        let authorities: Vec<_> =
            WORLD.approvers.iter().filter(|a| a.actor_id == meta.claims.actor_id).cloned().collect();
        let context = Context {
            meta: &meta,
            now,
            tenant: &tenant,
            customer: (line.option("account").is_none()).then_some(&WORLD.customer),
            catalog: Some(&WORLD.catalog),
            configured_catalog: Some(&WORLD.catalog),
            policy: &WORLD.policy,
            authorities: &authorities,
            reserved_order: Some(&order_id()),
            source: self.source.as_ref(),
        };
        let decision = quote::decide(self.quote.as_ref(), command, &context);
        if let Some(quote) = &self.quote {
            agree(quote, command, &context, &decision);
        }
        decision
    }

    /// The revision that the line names, or the current one.
    fn revision(&self, line: &Line) -> u32 {
        line.number("rev").unwrap_or_else(|| self.quote.as_ref().map_or(1, |quote| quote.revision))
    }

    fn task(&self, line: &Line) -> TaskId {
        let current = self.quote.as_ref().and_then(Quote::approval).map(|a| a.approval_request_id.clone());
        let request = current.unwrap_or_else(|| ApprovalRequestId::of(&quote_id(), 4));
        match line.option("task") {
            Some(task) if task.contains('.') => TaskId::from(task),
            level => TaskId::approval(&request, level.unwrap_or("SALES_MANAGER")),
        }
    }

    pub fn command(&self, line: &Line) -> QuoteCommand {
        use QuoteCommand as C;
        let quote_revision = self.revision(line);
        let word = |key: &str, default: &str| line.option(key).unwrap_or(default).to_owned();
        let decision = if line.option("verdict") == Some("REJECT") { Verdict::Reject } else { Verdict::Approve };
        match line.verb.as_str() {
            "create" => C::CreateQuote(CreateQuote {
                customer_account_id: word("account", ACCOUNT).into(),
                currency: from_value(json!(word("currency", "USD"))).unwrap(),
                term_months: 36,
                valid_until: line.option("valid-days").map(|days| start().plus_days(days.parse().unwrap())),
                price_list_id: word("list", "standard"),
                external_reference: None,
            }),
            "configure" => C::ConfigureQuote(ConfigureQuote {
                quote_revision,
                lines: from_value(json!([
                    {"lineNumber": "1", "productOfferingId": word("offering", "fiber-1g"),
                     "quantity": word("quantity", "1"), "action": "ADD"},
                    {"lineNumber": "1.1", "parentLineNumber": "1", "productOfferingId": "router", "quantity": "1",
                     "action": "ADD"},
                ]))
                .unwrap(),
            }),
            "price" => C::PriceQuote(PriceQuote {
                quote_revision,
                pricing_date: line.option("date").map(|days| start().plus_days(days.parse().unwrap())),
                request: from_value(match line.option("discount") {
                    Some(percent) => json!({"quoteDiscount": {"percent": percent, "reasonCode": "VOLUME"}}),
                    None => json!({}),
                })
                .unwrap(),
            }),
            "submit" => C::SubmitForApproval(SubmitForApproval { quote_revision, justification: None }),
            "withdraw" => C::WithdrawApproval(WithdrawApproval { quote_revision, reason_code: None }),
            "decide" => C::DecideApproval(DecideApproval {
                quote_revision,
                task_id: line.option("task").map(|_| self.task(line)),
                decision,
                reason_code: "OK".to_owned(),
                comment: None,
            }),
            "complete" => C::CompleteTask(CompleteTask {
                task_id: self.task(line),
                observed_quote_revision: quote_revision,
                decision,
                reason_code: "OK".to_owned(),
                comment: None,
            }),
            "claim" => C::ClaimTask(ClaimTask { task_id: self.task(line) }),
            "unclaim" => C::UnclaimTask(UnclaimTask { task_id: self.task(line) }),
            "artifact" => C::GenerateArtifact(generate(quote_revision, &word("template", "standard"))),
            "stored" => {
                C::RecordArtifact(RecordArtifact { artifact: self.artifact(&word("template", "standard"), line) })
            }
            "accept" => C::AcceptQuote(AcceptQuote {
                quote_revision,
                accepted_by: "Carl Customer".to_owned(),
                acceptance_evidence: AcceptanceEvidence {
                    method: from_value(json!(word("method", "MANUAL_ENTRY"))).unwrap(),
                    accepted_at: start(),
                    artifact_id: match line.option("artifact") {
                        Some("first") => self.artifact("standard", line).artifact_id,
                        Some(id) => id.into(),
                        None => self.newest_artifact(),
                    },
                },
            }),
            "order" => {
                let accepted = self.quote.as_ref().and_then(Quote::acceptance).map(|a| a.accepted_revision);
                let named = line.number("rev").or(accepted).unwrap_or(quote_revision);
                C::RequestOrder(RequestOrder { quote_revision: named })
            }
            "started" => C::RecordApprovalStarted(RecordApprovalStarted {
                approval_request_id: self.request(line),
                process_instance_id: "proc-1".to_owned(),
            }),
            "escalate" => C::EscalateApprovalStep(EscalateApprovalStep {
                approval_request_id: self.request(line),
                level: from_value(json!(word("level", "SALES_MANAGER"))).unwrap(),
            }),
            "reopen" => C::ReopenQuote(ReopenQuote { quote_revision, reason_code: None }),
            "clone" => C::CloneQuote(CloneQuote {
                source_quote_id: quote_id(),
                quote_revision: line.number("rev").or(self.source.as_ref().map(|q| q.revision)).unwrap_or(1),
                reason_code: None,
            }),
            "withdraw-quote" => C::WithdrawQuote(WithdrawQuote { quote_revision, reason_code: None }),
            "expire" => C::ExpireQuote(ExpireQuote {
                valid_until: start().plus_days(line.option("until").map_or(5, |days| days.parse().unwrap())),
            }),
            "link" => C::LinkOrder(LinkOrder { order_id: word("order", order_id().as_str()).into() }),
            other => panic!("no such quote command: {other}"),
        }
    }

    fn request(&self, line: &Line) -> ApprovalRequestId {
        let current = self.quote.as_ref().and_then(Quote::approval).map(|a| a.approval_request_id.clone());
        let old = ApprovalRequestId::of(&quote_id(), 2);
        if line.option("request") == Some("old") { old } else { current.unwrap_or(old) }
    }

    fn newest_artifact(&self) -> cpq_domain::ids::ArtifactId {
        let artifact = self.quote.as_ref().and_then(Quote::artifact);
        artifact.map_or_else(|| "art-none".into(), |artifact| artifact.artifact_id.clone())
    }

    /// The artifact that the document role would report for the current revision, or for `for-rev=`.
    fn artifact(&self, template: &str, line: &Line) -> Artifact {
        let revision = self.quote.as_ref().map_or(1, |quote| quote.revision);
        let generate = QuoteCommand::GenerateArtifact(generate(revision, template));
        let artifact_id = match self.judge(&Line::parse("alice artifact"), &generate) {
            Ok(Decision::Deferred { subject, .. }) => subject.into(),
            Ok(Decision::Applied { outcome, .. }) => outcome.subject.unwrap().into(),
            Err(_) => "art-too-late".into(),
        };
        Artifact {
            artifact_id,
            quote_revision: line.number("for-rev").unwrap_or(revision),
            artifact_type: ArtifactType::Proposal,
            template_id: template.to_owned(),
            template_version: "1".to_owned(),
            input_hash: "sha256:00".to_owned(),
            content_hash: "sha256:11".to_owned(),
            storage_uri: "file:///artifacts/a.pdf".to_owned(),
            size_bytes: 1000,
            generated_by: "alice".into(),
            generated_at: start(),
        }
    }
}

/// What is asked before sending is answered as the command is decided: in every line of every table.
fn agree(quote: &Quote, command: &QuoteCommand, ctx: &Context, decision: &Decided) {
    match command {
        QuoteCommand::ConfigureQuote(c) => {
            let asked = trial::configured(quote, c, ctx).map_err(without_choices);
            let decided = events(decision).map(|events| {
                let after = events.iter().try_fold(quote.clone(), |quote, event| {
                    quote::evolve(Some(quote), &TENANT.into(), &quote_id(), event, ctx.now)
                });
                after.unwrap()
            });
            assert_eq!(asked, decided);
        }
        QuoteCommand::PriceQuote(c) => {
            let asked = trial::PriceTrial::of(quote, c, ctx)
                .and_then(|trial| Ok(trial.view(trial.price(ctx.configured_catalog)?.0)));
            let decided = events(decision).map(|events| match events {
                [QuoteEvent::QuotePriced(priced)] => {
                    PriceView { price_result_id: None, ..PriceView::of(&priced.price, ctx.now) }
                }
                other => panic!("{other:?}"),
            });
            assert_eq!(asked, decided);
        }
        _ => {}
    }
}

fn events(decision: &Decided) -> Result<&[QuoteEvent], Rejection> {
    match decision {
        Ok(Decision::Applied { events, .. }) => Ok(events),
        Ok(Decision::Deferred { .. }) => Ok(&[]),
        Err(rejection) => Err(rejection.clone()),
    }
}

fn without_choices(mut rejection: Rejection) -> Rejection {
    rejection.errors.iter_mut().for_each(|error| error.choices.clear());
    rejection
}

fn generate(quote_revision: u32, template: &str) -> GenerateArtifact {
    GenerateArtifact {
        quote_revision,
        artifact_type: ArtifactType::Proposal,
        template_id: template.to_owned(),
        template_version: "1".to_owned(),
    }
}

pub fn tenant_id() -> TenantId {
    TENANT.into()
}
pub fn quote_id() -> QuoteId {
    QuoteId::numbered(2026, 123)
}
pub fn order_id() -> OrderId {
    OrderId::numbered(2026, 45)
}

/// Given a state, when a command is played, then this is its outcome.
#[track_caller]
pub fn check(given: &str, command: &str, outcome: &str) {
    pretty_assertions::assert_eq!(Run::given(given).play(command), outcome, "given {given}, {command}");
}
