//! The comparison: every command that was decided again, in the order of its quote or order, with what the live
//! system made of it. Both sides are read page by page, so that memory does not grow with history.

use super::again::Failed;
use super::report::{Compared, Difference, Side};
use crate::Failure;
use crate::output::Progress;
use cpq_state_stores::operations::shadow::{self, Asked, Decision, Entry};
use cpq_state_stores::{Db, StoreError, Tx};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// Differences that are kept with both sides; the others are only counted.
const MAX_DIFFERENCES: usize = 1_000;

/// Comparing in progress.
pub struct Comparison<'a> {
    live: &'a Db,
    shadow: &'a Db,
    /// When each tenant's reference data were changed last.
    tenants: BTreeMap<String, OffsetDateTime>,
    failed: Vec<Failed>,
    compared: Compared,
    /// The quote or order that is being looked at, and whether it has differed already.
    at: Option<(String, String)>,
    differs: bool,
}

impl<'a> Comparison<'a> {
    pub fn new(live: &'a Db, shadow: &'a Db, tenants: BTreeMap<String, OffsetDateTime>, failed: Vec<Failed>) -> Self {
        Self { live, shadow, tenants, failed, compared: Compared::default(), at: None, differs: false }
    }

    pub fn end(self) -> Compared {
        self.compared
    }

    pub async fn run(&mut self, progress: &Progress) -> Result<(), Failure> {
        self.compare_failed().await?;
        let mut last: Option<Entry> = None;
        loop {
            let (mut live, mut shadow) = (self.live.begin_reading().await?, self.shadow.begin_reading().await?);
            let page = shadow::entries(&mut shadow, last.as_ref()).await?;
            let asked: Vec<Asked> = page.iter().map(asked).collect();
            let (lived, replayed) =
                (shadow::decisions(&mut live, &asked).await?, shadow::decisions(&mut shadow, &asked).await?);
            for ((entry, asked), (lived, replayed)) in page.iter().zip(&asked).zip(lived.into_iter().zip(replayed)) {
                let lived = as_far(&mut shadow, asked, lived, &replayed).await?;
                self.one(asked, entry.recorded_at, lived, replayed);
            }
            live.rollback().await?;
            shadow.rollback().await?;
            progress.say(&format!("{} commands compared", self.compared.commands));
            match page.into_iter().next_back() {
                Some(entry) => last = Some(entry),
                None => return Ok(()),
            }
        }
    }

    /// The commands that this build could not decide at all.
    async fn compare_failed(&mut self) -> Result<(), Failure> {
        let failed = std::mem::take(&mut self.failed);
        let asked: Vec<Asked> = failed.iter().map(|failed| failed.asked.clone()).collect();
        let mut live = self.live.begin_reading().await?;
        let decisions = shadow::decisions(&mut live, &asked).await?;
        live.rollback().await?;
        for (Failed { asked, at, cause }, lived) in failed.into_iter().zip(decisions) {
            self.count(&asked, &lived, None);
            self.differ(&asked, at, Side::decided(lived), Side::failed(cause), false);
        }
        Ok(())
    }

    fn one(&mut self, asked: &Asked, at: OffsetDateTime, lived: Decision, replayed: Decision) {
        let key = (asked.tenant_id.clone(), asked.aggregate_id.clone());
        if self.at.as_ref() != Some(&key) {
            (self.at, self.differs) = (Some(key), false);
            self.compared.aggregates += 1;
        }
        self.count(asked, &lived, Some(&replayed));
        let (lived, replayed) = (Side::decided(lived), Side::decided(replayed));
        if lived == replayed {
            self.compared.same += 1;
            return;
        }
        let follows = std::mem::replace(&mut self.differs, true);
        if !follows {
            self.compared.different_aggregates += 1;
        }
        self.differ(asked, at, lived, replayed, follows);
    }

    fn count(&mut self, asked: &Asked, lived: &Decision, replayed: Option<&Decision>) {
        self.compared.commands += 1;
        self.compared.live.count(lived);
        if let Some(replayed) = replayed {
            self.compared.shadow.count(replayed);
        } else {
            self.compared.shadow.failed += 1;
        }
        *self.compared.by_command.entry(asked.action.clone()).or_default() += 1;
    }

    fn differ(&mut self, asked: &Asked, at: OffsetDateTime, live: Side, shadow: Side, follows: bool) {
        self.compared.different += 1;
        if self.compared.differences.len() < MAX_DIFFERENCES {
            let imported_since = self.tenants.get(&asked.tenant_id).is_some_and(|changed| *changed > at);
            self.compared.differences.push(Difference::new(asked, at, live, shadow, follows, imported_since));
        }
    }
}

fn asked(entry: &Entry) -> Asked {
    Asked {
        tenant_id: entry.tenant_id.clone(),
        command_id: entry.command_id.clone(),
        aggregate_id: entry.aggregate_id.clone(),
        correlation_id: entry.correlation_id.clone(),
        action: entry.action.clone(),
    }
}

/// What the live system had decided as far as the shadow has come: what waits in the shadow may have been settled
/// since by a command that was not decided again.
async fn as_far(
    shadow: &mut Tx,
    asked: &Asked,
    mut lived: Decision,
    replayed: &Decision,
) -> Result<Decision, StoreError> {
    if let (Some(settled), None) = (&lived.outcome, &replayed.outcome) {
        let until = shadow::decided_until(shadow, &asked.tenant_id, &asked.aggregate_id).await?;
        if until.is_none_or(|until| until < settled.decided_at) {
            lived.outcome = None;
        }
    }
    Ok(lived)
}
