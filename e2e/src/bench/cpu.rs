//! CPU that processes of the product use, and with them the servers.

use crate::services::{cpu_seconds, cpu_seconds_with_children, pid_of};
use std::fmt;
use std::ops::{AddAssign, Sub};

/// CPU seconds, in user and system mode.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// Of the product's own processes.
    own: f64,
    /// Of all of PostgreSQL: backends, WAL writer, checkpointer, autovacuum.
    postgres: f64,
    kafka: f64,
    redis: f64,
}

impl Cpu {
    /// What these processes and the stack's servers have used so far.
    pub fn now(pids: &[u32]) -> Result<Self, String> {
        Ok(Self {
            own: pids.iter().map(|pid| cpu_seconds(*pid)).sum::<Result<f64, _>>()?,
            postgres: cpu_seconds_with_children(pid_of("postgres")?)?,
            kafka: cpu_seconds(pid_of("kafka")?)?,
            redis: cpu_seconds(pid_of("redis")?)?,
        })
    }

    pub fn total(&self) -> f64 {
        self.own + self.postgres + self.kafka + self.redis
    }

    #[must_use]
    pub fn per(self, count: usize) -> Self {
        let part = |seconds: f64| seconds / count as f64;
        Self { own: part(self.own), postgres: part(self.postgres), kafka: part(self.kafka), redis: part(self.redis) }
    }

    /// Part by part the median.
    pub fn median(of: &[Self]) -> Self {
        let part = |part: fn(&Self) -> f64| super::median(of.iter().map(part).collect());
        Self {
            own: part(|c| c.own),
            postgres: part(|c| c.postgres),
            kafka: part(|c| c.kafka),
            redis: part(|c| c.redis),
        }
    }
}

impl Sub for Cpu {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            own: self.own - other.own,
            postgres: self.postgres - other.postgres,
            kafka: self.kafka - other.kafka,
            redis: self.redis - other.redis,
        }
    }
}

impl AddAssign for Cpu {
    fn add_assign(&mut self, other: Self) {
        self.own += other.own;
        self.postgres += other.postgres;
        self.kafka += other.kafka;
        self.redis += other.redis;
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [total, own, postgres, kafka, redis] =
            [self.total(), self.own, self.postgres, self.kafka, self.redis].map(|seconds| seconds * 1e3);
        write!(f, "{total:.2} ms (own {own:.2}, PostgreSQL {postgres:.2}, Kafka {kafka:.2}, Redis {redis:.2})")
    }
}
