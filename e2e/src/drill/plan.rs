//! The plan of a drill under fire: which process is hit when and how, all of it from one seed, so that the same seed
//! gives the same plan again. Carrying it out is `under_fire`.

use super::fleet::{Kind, Member};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Seconds at the beginning without faults: what is hit is at work then.
pub const WARM_UP: u64 = 5;
/// Seconds at the end without faults: the work goes on after the last.
pub const QUIET: u64 = 10;
/// Shortest plan that has room for one fault of each kind.
pub const SHORTEST: u64 = 60;

/// Milliseconds from one fault to the next; a process may be away or frozen meanwhile.
const GAP: RangeInclusive<u64> = 2_000..=4_500;
/// How long a killed process stays away.
const AWAY: RangeInclusive<u64> = 200..=3_000;
/// How long one is frozen: past the relay's lease (5 s) and the consumers' session (6 s).
const FROZEN: RangeInclusive<u64> = 7_000..=9_000;
/// A process that came back is left alone for so long.
const RECOVERY: u64 = 3_000;
/// A plan looks again so soon where no process may be hit.
const LATER: u64 = 500;

/// What is done at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL.
    Kill(Member),
    /// What was killed comes back.
    Start(Member),
    /// SIGSTOP.
    Freeze(Member),
    /// SIGCONT.
    Thaw(Member),
    /// SIGTERM, its end, and its start.
    Restart(Member),
    /// All sessions of the services are ended in the database, several times.
    EndSessions,
    /// Far more connections and requests than a gateway serves at once.
    StormConnections(Member),
}

impl Act {
    /// Whether it is a fault, and no mending of one.
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::Start(_) | Self::Thaw(_))
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(member) => write!(f, "SIGKILL {member}"),
            Self::Start(member) => write!(f, "start {member}"),
            Self::Freeze(member) => write!(f, "SIGSTOP {member}"),
            Self::Thaw(member) => write!(f, "SIGCONT {member}"),
            Self::Restart(member) => write!(f, "restart {member}"),
            Self::EndSessions => write!(f, "end all database sessions"),
            Self::StormConnections(member) => write!(f, "connection storm on {member}"),
        }
    }
}

/// One line of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// From the beginning of the load.
    pub at: Duration,
    pub act: Act,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill(Kind),
    Freeze(Kind),
    Restart(Kind),
    EndSessions,
    StormConnections,
}

/// Of each kind one comes before any comes again.
const FAULTS: [Fault; 8] = [
    Fault::Kill(Kind::Gateway),
    Fault::Kill(Kind::Streams),
    Fault::Freeze(Kind::Gateway),
    Fault::Freeze(Kind::Streams),
    Fault::Restart(Kind::Gateway),
    Fault::Restart(Kind::Streams),
    Fault::EndSessions,
    Fault::StormConnections,
];

/// The plan of this seed for so many seconds and processes, in the order of time. At least one process of each kind
/// is always there and untouched.
pub fn plan(seed: u64, seconds: u64, gateways: usize, streams: usize) -> Vec<Step> {
    let mut draft =
        Draft { random: StdRng::seed_from_u64(seed), away: HashMap::new(), counts: [gateways, streams], steps: vec![] };
    let (mut now, end) = (WARM_UP * 1_000, seconds.saturating_sub(QUIET) * 1_000);
    let mut deck: Vec<Fault> = Vec::new();
    while now < end {
        if deck.is_empty() {
            deck = FAULTS.to_vec();
            deck.shuffle(&mut draft.random);
        }
        // The next that hits somebody who may be hit now, and is mended in time.
        match (0..deck.len()).find(|n| draft.hit(deck[*n], now, end)) {
            Some(n) => {
                deck.remove(n);
                now += draft.random.random_range(GAP);
            }
            None => now += LATER,
        }
    }
    draft.steps.sort_by_key(|step| step.at);
    draft.steps
}

struct Draft {
    random: StdRng,
    /// Until when a process is away or recovers.
    away: HashMap<Member, u64>,
    counts: [usize; 2],
    steps: Vec<Step>,
}

impl Draft {
    /// Plans the fault for now, if it may come now.
    fn hit(&mut self, fault: Fault, now: u64, end: u64) -> bool {
        let (kind, length) = match fault {
            Fault::EndSessions => {
                self.add(now, Act::EndSessions);
                return true;
            }
            Fault::StormConnections => (Kind::Gateway, 0),
            Fault::Restart(kind) => (kind, 0),
            Fault::Kill(kind) => (kind, self.random.random_range(AWAY)),
            Fault::Freeze(kind) => (kind, self.random.random_range(FROZEN)),
        };
        let there: Vec<Member> = (0..self.counts[usize::from(kind == Kind::Streams)])
            .map(|number| Member { kind, number })
            .filter(|member| self.away.get(member).is_none_or(|until| *until <= now))
            .collect();
        let Some(member) = there.choose(&mut self.random).copied().filter(|_| there.len() > 1) else { return false };
        if now + length > end {
            return false;
        }
        self.away.insert(member, now + length + RECOVERY);
        let (act, mended) = match fault {
            Fault::Kill(_) => (Act::Kill(member), Some(Act::Start(member))),
            Fault::Freeze(_) => (Act::Freeze(member), Some(Act::Thaw(member))),
            Fault::Restart(_) => (Act::Restart(member), None),
            Fault::StormConnections | Fault::EndSessions => (Act::StormConnections(member), None),
        };
        self.add(now, act);
        if let Some(mended) = mended {
            self.add(now + length, mended);
        }
        true
    }

    fn add(&mut self, at: u64, act: Act) {
        self.steps.push(Step { at: Duration::from_millis(at), act });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::mem::discriminant;

    const SEEDS: std::ops::Range<u64> = 0..200;

    #[test]
    fn a_seed_gives_the_same_plan_again_and_another_gives_another() {
        for seed in SEEDS {
            assert_eq!(plan(seed, SHORTEST, 2, 3), plan(seed, SHORTEST, 2, 3));
            assert_ne!(plan(seed, SHORTEST, 2, 3), plan(seed + 1, SHORTEST, 2, 3));
        }
    }

    #[test]
    fn the_shortest_plan_has_every_kind_of_fault_and_leaves_both_ends_quiet() {
        for seed in SEEDS {
            let steps = plan(seed, SHORTEST, 2, 3);
            let kinds: HashSet<_> = steps.iter().map(|step| discriminant(&step.act)).collect();
            assert_eq!(kinds.len(), 7, "seed {seed}: {steps:?}");
            let quiet =
                |step: &Step| (Duration::from_secs(WARM_UP)..=Duration::from_secs(SHORTEST - QUIET)).contains(&step.at);
            assert!(steps.iter().all(quiet), "seed {seed}: {steps:?}");
        }
    }

    #[test]
    fn what_is_hit_is_there_and_another_of_its_kind_is_untouched_and_all_come_back() {
        for seed in SEEDS {
            let mut gone: HashSet<Member> = HashSet::new();
            for Step { act, .. } in plan(seed, 10 * SHORTEST, 2, 3) {
                match act {
                    Act::Kill(member) | Act::Freeze(member) => assert!(gone.insert(member), "seed {seed}: {act}"),
                    Act::Start(member) | Act::Thaw(member) => assert!(gone.remove(&member), "seed {seed}: {act}"),
                    Act::Restart(member) | Act::StormConnections(member) => {
                        assert!(!gone.contains(&member), "seed {seed}: {act}");
                    }
                    Act::EndSessions => {}
                }
                for (kind, count) in [(Kind::Gateway, 2), (Kind::Streams, 3)] {
                    assert!(gone.iter().filter(|member| member.kind == kind).count() < count, "seed {seed}: {act}");
                }
            }
            assert!(gone.is_empty(), "seed {seed}: {gone:?}");
        }
    }
}
