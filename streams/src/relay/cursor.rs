//! Where the relay looks for pending rows. Row ids are given before their transactions commit, so a smaller id
//! can appear after a larger one; the cursor rises over an id only when no transaction is left that could
//! still bring one below it.
//!
//! It rises in checkpoints: "all rows up to `upto` that were visible are claimed". Once every transaction that
//! had begun by then has ended, rows up to `upto` are final. A transaction that stays open holds `low_water`
//! back; so that claims need not scan all that was sent meanwhile, `recent` names a higher checkpoint that is
//! final except for rows of the `holders`, and the claim's statement uses it as long as all of those still run.

use cpq_state_stores::outbox::Snapshot;
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// A new checkpoint is taken this often.
const INTERVAL: Duration = Duration::from_millis(20);
/// A transaction gets its id with its first row at the latest, an instant after the row's number; a snapshot
/// taken this much after a checkpoint knows all transactions that had a number by then.
const GRACE: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Checkpoint {
    upto: i64,
    taken: Instant,
    /// Transactions from here on began after it. Known only after [`GRACE`].
    xmax: Option<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Cursor {
    low_water: i64,
    recent: i64,
    holders: Vec<u64>,
    highest: i64,
    checkpoints: VecDeque<Checkpoint>,
}

impl Cursor {
    pub fn low_water(&self) -> i64 {
        self.low_water
    }
    pub fn recent(&self) -> i64 {
        self.recent
    }
    pub fn holders(&self) -> &[u64] {
        &self.holders
    }

    /// Whether a claim looks from the first row.
    pub fn is_at_start(&self) -> bool {
        self.low_water == 0 && self.recent == 0
    }
    /// Look from the first row again.
    pub fn rewind(&mut self) {
        *self = Self::default();
    }

    /// A claim, sent and answered at these times, saw `snapshot` and returned rows up to `last`; where it was
    /// `cut` by a bound, there may be visible rows behind that.
    pub fn claimed(&mut self, (sent, answered): (Instant, Instant), snapshot: &Snapshot, last: Option<i64>, cut: bool) {
        self.highest = self.highest.max(last.unwrap_or(0));
        let complete = if cut { last.unwrap_or(0) } else { self.highest };
        for checkpoint in self.checkpoints.iter_mut().filter(|c| c.xmax.is_none() && sent >= c.taken + GRACE) {
            checkpoint.xmax = Some(snapshot.xmax);
        }
        self.rise(snapshot, complete);
        let newest = self.checkpoints.back();
        if complete > newest.map_or(self.recent, |c| c.upto) && newest.is_none_or(|c| answered >= c.taken + INTERVAL) {
            self.checkpoints.push_back(Checkpoint { upto: complete, taken: answered, xmax: None });
        }
    }

    fn rise(&mut self, snapshot: &Snapshot, complete: i64) {
        let settled = |c: &Checkpoint| c.upto <= complete && c.xmax.is_some_and(|xmax| xmax <= snapshot.xmin);
        while let Some(checkpoint) = self.checkpoints.pop_front_if(|c| settled(c)) {
            self.low_water = checkpoint.upto;
        }
        if self.low_water >= self.recent {
            (self.recent, self.holders) = (self.low_water, Vec::new());
        }
        // The newest one that is settled but for some running transactions stands for those before it.
        let newest = self.checkpoints.iter().rposition(|c| c.upto <= complete && c.xmax.is_some());
        if let Some(index) = newest
            && let Some(Checkpoint { upto, xmax: Some(xmax), .. }) = self.checkpoints.get(index)
        {
            self.recent = *upto;
            self.holders = snapshot.running.iter().copied().filter(|id| id < xmax).collect();
            self.checkpoints.drain(..index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn snapshot(xmin: u64, xmax: u64, running: &[u64]) -> Snapshot {
        Snapshot { xmin, xmax, running: running.to_vec() }
    }

    #[test]
    fn an_idle_database_lets_the_cursor_rise_after_the_grace() {
        let (mut cursor, start) = (Cursor::default(), Instant::now());
        cursor.claimed((start, start), &snapshot(10, 10, &[]), Some(7), false);
        assert_eq!(cursor.low_water(), 0);
        cursor.claimed((start + GRACE, start + GRACE), &snapshot(10, 10, &[]), None, false);
        assert_eq!((cursor.low_water(), cursor.recent()), (7, 7));
    }

    #[test]
    fn an_open_transaction_holds_low_water_but_not_recent() {
        let (mut cursor, start) = (Cursor::default(), Instant::now());
        cursor.claimed((start, start), &snapshot(5, 10, &[5]), Some(7), false);
        cursor.claimed((start + GRACE, start + GRACE), &snapshot(5, 12, &[5]), None, false);
        assert_eq!((cursor.low_water(), cursor.recent(), cursor.holders()), (0, 7, [5].as_slice()));
        cursor.claimed((start + 2 * GRACE, start + 2 * GRACE), &snapshot(12, 12, &[]), None, false);
        assert_eq!((cursor.low_water(), cursor.recent(), cursor.holders()), (7, 7, [].as_slice()));
    }

    #[test]
    fn a_claim_that_was_cut_short_says_nothing_about_rows_behind_it() {
        let (mut cursor, start) = (Cursor::default(), Instant::now());
        cursor.claimed((start, start), &snapshot(10, 10, &[]), Some(100), false);
        cursor.claimed((start + GRACE, start + GRACE), &snapshot(10, 10, &[]), Some(40), true);
        assert_eq!(cursor.low_water(), 0);
    }

    #[test]
    fn an_open_transaction_keeps_few_checkpoints() {
        let (mut cursor, start) = (Cursor::default(), Instant::now());
        for n in 0..10_000_u32 {
            let now = start + n * INTERVAL;
            cursor.claimed((now, now), &snapshot(5, 10 + u64::from(n), &[5]), Some(i64::from(n) + 1), false);
        }
        assert!(cursor.checkpoints.len() < 10);
        assert!(cursor.recent() > 9_900 && cursor.low_water() == 0);
    }

    /// A database in small: transactions take numbers, then commit or roll back, in any order.
    #[derive(Default)]
    struct Model {
        next_xid: u64,
        next_row: i64,
        open: BTreeMap<u64, Vec<i64>>,
        visible: Vec<i64>,
    }

    impl Model {
        fn snapshot(&self) -> Snapshot {
            let running: Vec<u64> = self.open.keys().copied().collect();
            Snapshot { xmin: running.first().copied().unwrap_or(self.next_xid), xmax: self.next_xid, running }
        }
        fn floor(&self, cursor: &Cursor) -> i64 {
            let all_run = cursor.holders().iter().all(|holder| self.open.contains_key(holder));
            if all_run { cursor.recent() } else { cursor.low_water() }
        }
    }

    #[derive(Clone, Debug)]
    enum Act {
        Begin,
        Insert(usize),
        Commit(usize),
        Rollback(usize),
        Claim(usize),
        Wait,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            2 => Just(Act::Begin),
            4 => (0..8_usize).prop_map(Act::Insert),
            2 => (0..8_usize).prop_map(Act::Commit),
            1 => (0..8_usize).prop_map(Act::Rollback),
            4 => (1..6_usize).prop_map(Act::Claim),
            3 => Just(Act::Wait),
        ];
        proptest::collection::vec(act, 1..300)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn no_row_is_ever_overlooked(acts in acts()) {
            let (mut model, mut cursor) = (Model { next_xid: 3, next_row: 1, ..Model::default() }, Cursor::default());
            let (mut now, mut claimed) = (Instant::now(), Vec::new());
            let claim = |model: &Model, cursor: &mut Cursor, claimed: &mut Vec<i64>, now, limit: usize| {
                let floor = model.floor(cursor);
                let mut rows: Vec<i64> =
                    model.visible.iter().copied().filter(|id| *id > floor && !claimed.contains(id)).collect();
                rows.sort_unstable();
                let cut = rows.len() >= limit;
                rows.truncate(limit);
                cursor.claimed((now, now), &model.snapshot(), rows.last().copied(), cut);
                claimed.extend(rows);
            };
            for act in acts {
                let nth = |open: &BTreeMap<u64, Vec<i64>>, n: usize| open.keys().nth(n % open.len().max(1)).copied();
                match act {
                    Act::Begin => {
                        model.open.insert(model.next_xid, Vec::new());
                        model.next_xid += 1;
                    }
                    Act::Insert(n) => if let Some(xid) = nth(&model.open, n) {
                        let id = model.next_row;
                        model.next_row += 1;
                        model.open.get_mut(&xid).unwrap().push(id);
                    },
                    Act::Commit(n) => if let Some(xid) = nth(&model.open, n) {
                        let rows = model.open.remove(&xid).unwrap();
                        model.visible.extend(rows);
                    },
                    Act::Rollback(n) => if let Some(xid) = nth(&model.open, n) {
                        model.open.remove(&xid);
                    },
                    Act::Claim(limit) => claim(&model, &mut cursor, &mut claimed, now, limit),
                    Act::Wait => now += INTERVAL,
                }
            }
            for _ in 0..2_000 {
                claim(&model, &mut cursor, &mut claimed, now, 5);
            }
            claimed.sort_unstable();
            model.visible.sort_unstable();
            prop_assert_eq!(claimed, model.visible);
        }
    }
}
