//! Seeded chance: the same seed throws the same catalogs and quotes.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Digits after the point of amounts and quantities, at most.
pub const MAX_DECIMALS: u32 = 6;

pub struct Dice(StdRng);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// True so many times out of a hundred.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0.random_range(low..=high)
    }

    /// A place in a list of that length.
    pub fn index(&mut self, length: usize) -> usize {
        self.0.random_range(0..length)
    }

    pub fn choose<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        *self.choose(choices)
    }

    /// One of the choices, each as often as its weight says.
    pub fn weighted<T: Copy>(&mut self, choices: &[(u32, T)]) -> T {
        let mut left = self.0.random_range(0..choices.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in choices {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return *choice,
            }
        }
        unreachable!("what is thrown is below the sum of the weights")
    }

    /// A plain decimal from `low` to `high` steps of ten to the minus `decimals`.
    pub fn decimal(&mut self, low: i64, high: i64, decimals: u32) -> String {
        plain(self.between(low, high), decimals)
    }

    /// As many decimals as an amount may have, few more often than many.
    pub fn decimals(&mut self) -> u32 {
        self.weighted(&[(6, 0), (4, 1), (6, 2), (3, 3), (2, 4), (1, 5), (3, MAX_DECIMALS)])
    }
}

/// `units` of ten to the minus `decimals`, with exactly so many decimals.
pub fn plain(units: i64, decimals: u32) -> String {
    let (sign, digits) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
    let unit = 10_u64.pow(decimals);
    match decimals {
        0 => format!("{sign}{digits}"),
        _ => format!("{sign}{}.{:0width$}", digits / unit, digits % unit, width = decimals as usize),
    }
}
