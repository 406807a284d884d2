//! Pauses between attempts: doubling, bounded, and jittered so that many who failed together do not return
//! together.

use std::time::Duration;

/// First pause is up to this.
const FIRST: Duration = Duration::from_millis(50);
/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(5);

/// The pauses of one piece of work.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The next pause: between half of the current step and the whole of it.
    pub fn pause(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(LONGEST);
        // A generator of the thread, which a simulation seeds.
        step.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// The work succeeded: begin small again.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_never_vanish() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..20).map(|_| backoff.pause()).collect();
        assert!(pauses.iter().all(|p| (FIRST / 2..=LONGEST).contains(p)));
        assert!(pauses[19] >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
