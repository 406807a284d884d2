//! The waterfall of a price: from the list amount to what is paid with tax, one bar for each rule, over all lines
//! and the whole term. It says nothing that the trace does not say; it adds up.

use super::exact::{plain, read};
use super::trace::{PriceTrace, StepKind};
use bigdecimal::{BigDecimal, Zero};
use serde::Serialize;

/// What one rule changes, over all lines that it touches.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bar {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub step: StepKind,
    /// The adjustment, reason code or tax category; `None` for the list prices and the rounding of all lines.
    pub rule_id: Option<String>,
    /// The percentage or unit amount; `None` where `rule_id` is.
    pub operand: Option<String>,
    /// How many prices of lines it touches.
    pub lines: usize,
    /// Exact, in the price's currency; recurring prices times the term's months.
    pub change: String,
    /// The running amount after it. After the last bar before TAX it is the total amount, after the last of all the
    /// total with tax.
    pub amount: String,
}

/// What has been summed up for one bar.
struct Sum<'a> {
    step: StepKind,
    rule: Option<(&'a str, &'a str)>,
    lines: usize,
    /// Counted in `lines` last: a price of several tiers is one.
    last: usize,
    change: BigDecimal,
}

/// The bars in the order in which steps follow each other. Without the steps of a trace that cannot be read: such a
/// trace does not replay either.
pub fn waterfall(trace: &PriceTrace) -> Vec<Bar> {
    let mut sums: Vec<Sum> = Vec::new();
    for (n, line) in trace.lines.iter().enumerate() {
        let times = BigDecimal::from(trace.times(line.kind));
        for step in &line.steps {
            let (Some(basis), Some(amount)) = (read(&step.basis), read(&step.amount)) else { continue };
            // Tax is no part of the amount that it is taken from.
            let change = if step.step == StepKind::Tax { amount } else { amount - basis } * &times;
            let rule = match step.step {
                StepKind::List | StepKind::Round => None,
                _ => Some((step.rule_id.as_str(), step.operand.as_str())),
            };
            match sums.iter_mut().find(|sum| (sum.step, sum.rule) == (step.step, rule)) {
                Some(sum) => {
                    sum.lines += usize::from(sum.last != n);
                    sum.last = n;
                    sum.change += change;
                }
                None => sums.push(Sum { step: step.step, rule, lines: 1, last: n, change }),
            }
        }
    }
    sums.retain(|sum| sum.step != StepKind::Round || !sum.change.is_zero());
    // Rules of one stage stay in the order in which they were applied first.
    sums.sort_by_key(|sum| sum.step.stage());
    let mut running = BigDecimal::zero();
    let bars = sums.into_iter().map(|Sum { step, rule, lines, change, .. }| {
        running += &change;
        let (rule_id, operand) = rule.map(|(id, operand)| (id.to_owned(), operand.to_owned())).unzip();
        Bar { step, rule_id, operand, lines, change: plain(&change), amount: plain(&running) }
    });
    bars.collect()
}
