//! The benchmarks: each is a ratio of the product to a floor, both measured in the same run on the same servers,
//! taking turns. Absolute figures drift with the machine; ratios tell.

pub mod accept;
pub mod commercial;
mod cpu;
pub mod deals;
pub mod endurance;
pub mod fault;
mod floor;
pub mod guards;
mod http;
pub mod latency;
mod machine;
mod pipe;
mod plot;
pub mod processor;
pub mod rebuild;
pub mod relay;
pub mod report;
mod seller;

use serde::{Deserialize, Serialize};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Turns of product and floor.
    pub repeats: usize,
    /// Seconds of one turn of one side.
    pub seconds: u64,
}

/// One turn: both sides, one right after the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Turn {
    pub numerator: f64,
    pub denominator: f64,
}

impl Turn {
    pub fn ratio(self) -> f64 {
        self.numerator / self.denominator
    }
}

/// A measured ratio.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    pub id: &'static str,
    /// Median of the turns.
    pub ratio: f64,
    /// Lowest and highest of the turns.
    pub spread: [f64; 2],
    /// What is above the line, and its median.
    pub numerator: Side,
    /// What is below it.
    pub denominator: Side,
    pub unit: &'static str,
    /// What is wanted: at least (throughput) or at most (latency).
    pub target: Target,
    pub runs: Vec<Turn>,
    /// What else was seen: load, CPU, what bounds it.
    pub notes: Vec<String>,
    /// What is better seen than told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<Curve>,
}

/// Points of a picture.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    pub what: &'static str,
    /// What the axes show.
    pub x: &'static str,
    pub y: &'static str,
    pub points: Vec<[f64; 2]>,
}

/// One side of a ratio.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    pub what: &'static str,
    pub median: f64,
}

/// The bound of a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    pub fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(bound) => ratio >= bound,
            Self::AtMost(bound) => ratio <= bound,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}

/// What a ratio is of, before it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub id: &'static str,
    pub numerator: &'static str,
    pub denominator: &'static str,
    pub unit: &'static str,
    pub target: Target,
}

impl Question {
    /// The answer from its turns, of which there is at least one.
    pub fn answer(self, runs: Vec<Turn>, notes: Vec<String>) -> Ratio {
        let ratios: Vec<f64> = runs.iter().map(|turn| turn.ratio()).collect();
        let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let side = |what, of: fn(&Turn) -> f64| Side { what, median: median(runs.iter().map(of).collect()) };
        Ratio {
            id: self.id,
            ratio: median(ratios),
            spread: [low, high],
            numerator: side(self.numerator, |turn| turn.numerator),
            denominator: side(self.denominator, |turn| turn.denominator),
            unit: self.unit,
            target: self.target,
            runs,
            notes,
            curves: Vec::new(),
        }
    }
}

/// The middle value; of an even number the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The nearest-rank percentile.
pub fn percentile(mut values: Vec<f64>, percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(&[3.0], 3.0)]
    #[case(&[1.0, 9.0, 2.0], 2.0)]
    #[case(&[4.0, 1.0, 2.0, 3.0], 2.5)]
    fn the_median_is_the_middle(#[case] values: &[f64], #[case] expected: f64) {
        assert_eq!(median(values.to_vec()), expected);
    }

    #[rstest]
    #[case(50.0, 50.0)]
    #[case(99.0, 99.0)]
    #[case(100.0, 100.0)]
    fn a_percentile_is_the_value_of_its_rank(#[case] percent: f64, #[case] expected: f64) {
        assert_eq!(percentile((1..=100).map(f64::from).collect(), percent), expected);
    }

    #[test]
    fn a_ratio_is_the_median_of_its_turns_and_tells_their_spread() {
        let question =
            Question { id: "R0", numerator: "a", denominator: "b", unit: "1/s", target: Target::AtLeast(1.0) };
        let turns =
            [(1.0, 2.0), (3.0, 2.0), (4.0, 4.0)].map(|(numerator, denominator)| Turn { numerator, denominator });
        let ratio = question.answer(turns.to_vec(), vec![]);
        assert_eq!((ratio.ratio, ratio.spread), (1.0, [0.5, 1.5]));
        assert!(ratio.target.is_met(ratio.ratio));
    }
}
