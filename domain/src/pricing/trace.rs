//! The trace of a price: every step with its rule, operand, basis and running amount as exact plain decimals.
//! A price can be made again from its trace alone.

use super::exact::{kept, percent_of, plain, read, round};
use super::total::{Amounts, total};
use super::{POLICY_VERSION, Price, PriceKind, PricingInput, PricingRequest};
use crate::catalog::PriceModel;
use crate::configuration::LineAction;
use crate::ids::LineNumber;
use crate::moment::Moment;
use crate::money::{Amount, Currency};
use bigdecimal::{BigDecimal, Zero};
use serde::{Deserialize, Serialize};

/// Everything that a price rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceTrace {
    pub policy_version: String,
    pub catalog_version: String,
    pub configuration_hash: String,
    pub price_list_id: String,
    pub currency: Currency,
    pub term_months: u32,
    pub pricing_date: Moment,
    pub segment: String,
    pub jurisdiction: String,
    /// The discounts and overrides that were asked for.
    pub request: PricingRequest,
    /// One for each line and kind of price, in the order of the price's lines.
    pub lines: Vec<LineTrace>,
}

/// How one line came to its price of one kind. Without steps: a USAGE rate, or a line that sells nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineTrace {
    pub line_number: LineNumber,
    pub kind: PriceKind,
    pub action: LineAction,
    pub quantity: String,
    /// The price that was chosen.
    pub price_id: String,
    pub model: PriceModel,
    pub unit_cost: Option<Amount>,
    pub unit_rate: Option<Amount>,
    pub steps: Vec<TraceStep>,
}

impl LineTrace {
    /// Whether the line adds to the price.
    pub(super) fn is_charged(&self) -> bool {
        self.action.is_charged() && self.kind != PriceKind::Usage
    }
}

/// One step: `amount` follows from `basis` by what the step does with `operand` and `units`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceStep {
    pub step: StepKind,
    /// The price, adjustment, reason code, currency or tax category that asks for it.
    pub rule_id: String,
    /// A unit amount or a percentage; for ROUND the number of decimals.
    pub operand: String,
    /// How many units the operand counts for.
    pub units: String,
    pub basis: String,
    pub amount: String,
}

/// What a step does, in the order in which steps follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StepKind {
    /// `+ operand × units`; one for each tier.
    List,
    /// `× (1 + operand/100)`.
    Percent,
    /// `+ operand × units`.
    AmountPerUnit,
    /// `= operand × units`.
    OverrideUnit,
    /// `= operand × units`, by hand.
    LineOverride,
    /// `× (1 − operand/100)`.
    LineDiscount,
    /// `× (1 − operand/100)`.
    QuoteDiscount,
    /// To the currency's minor units, half away from zero: the net amount.
    Round,
    /// `× operand/100`, rounded the same way: the tax on the net amount.
    Tax,
}

impl StepKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "LIST",
            Self::Percent => "PERCENT",
            Self::AmountPerUnit => "AMOUNT_PER_UNIT",
            Self::OverrideUnit => "OVERRIDE_UNIT",
            Self::LineOverride => "LINE_OVERRIDE",
            Self::LineDiscount => "LINE_DISCOUNT",
            Self::QuoteDiscount => "QUOTE_DISCOUNT",
            Self::Round => "ROUND",
            Self::Tax => "TAX",
        }
    }
    /// Steps never go back to an earlier stage.
    pub(super) fn stage(self) -> u8 {
        match self {
            Self::List => 2,
            Self::Percent | Self::AmountPerUnit | Self::OverrideUnit | Self::LineOverride => 3,
            Self::LineDiscount | Self::QuoteDiscount => 4,
            Self::Round => 5,
            Self::Tax => 6,
        }
    }
}

/// What a step makes of the running amount.
pub(super) fn follow(
    step: StepKind,
    basis: &BigDecimal,
    operand: &BigDecimal,
    units: &BigDecimal,
    minor: u32,
) -> BigDecimal {
    match step {
        StepKind::List | StepKind::AmountPerUnit => basis + operand * units,
        StepKind::Percent => basis + percent_of(basis, operand),
        StepKind::OverrideUnit | StepKind::LineOverride => operand * units,
        StepKind::LineDiscount | StepKind::QuoteDiscount => basis - percent_of(basis, operand),
        StepKind::Round => round(basis, minor),
        StepKind::Tax => round(&percent_of(basis, operand), minor),
    }
}

impl PriceTrace {
    /// How often a price of this kind is paid over the term.
    pub(super) fn times(&self, kind: PriceKind) -> u32 {
        match kind {
            PriceKind::Recurring => self.term_months,
            PriceKind::OneTime | PriceKind::Usage => 1,
        }
    }

    pub(super) fn of(input: &PricingInput, lines: Vec<LineTrace>) -> Self {
        Self {
            policy_version: POLICY_VERSION.to_owned(),
            catalog_version: input.catalog.version().to_owned(),
            configuration_hash: input.configuration.configuration_hash.clone(),
            price_list_id: input.price_list_id.to_owned(),
            currency: input.currency,
            term_months: input.term_months,
            pricing_date: input.pricing_date,
            segment: input.customer.segment.clone(),
            jurisdiction: input.customer.jurisdiction.clone(),
            request: input.request.clone(),
            lines,
        }
    }
}

/// Makes the price again from its trace alone; an error names the step that does not follow.
pub fn replay(trace: &PriceTrace) -> Result<Price, String> {
    if trace.policy_version != POLICY_VERSION {
        return Err(format!("policy {} is not known here", trace.policy_version));
    }
    let amounts: Result<Vec<Amounts>, String> = trace
        .lines
        .iter()
        .map(|line| {
            let at = |fault| format!("line {} {}: {fault}", line.line_number, line.kind.as_str());
            amounts(line, trace.currency).map_err(at)
        })
        .collect();
    total(trace, &amounts?).map_err(|out_of_range| format!("the {} does not fit", out_of_range.0))
}

fn amounts(line: &LineTrace, currency: Currency) -> Result<Amounts, String> {
    let minor = currency.minor_units();
    let exact = |text: &str| read(text).ok_or_else(|| format!("'{text}' is not a plain decimal"));
    let quantity = exact(&line.quantity)?;
    if !line.is_charged() {
        let empty = line.steps.is_empty();
        return if empty { Ok(Amounts::zero(currency)) } else { Err("has steps, but costs nothing".to_owned()) };
    }
    let mut amount = BigDecimal::zero();
    let mut stage = 0;
    let (mut listed, mut list, mut net, mut tax) = (BigDecimal::zero(), None, None, None);
    for step in &line.steps {
        let name = step.step.as_str();
        let (operand, units) = (exact(&step.operand)?, exact(&step.units)?);
        // A line is rounded once and taxed once; everything else may repeat.
        let once = matches!(step.step, StepKind::Round | StepKind::Tax);
        if step.step.stage() < stage || once && step.step.stage() == stage {
            return Err(format!("{name} stands in the wrong place"));
        }
        stage = step.step.stage();
        if exact(&step.basis)? != amount {
            return Err(format!("the basis of {name} is not the amount before it"));
        }
        let per_unit = matches!(step.step, StepKind::AmountPerUnit | StepKind::OverrideUnit | StepKind::LineOverride);
        if per_unit && units != quantity {
            return Err(format!("{name} does not count for the line's quantity"));
        }
        amount = follow(step.step, &amount, &operand, &units, minor);
        if exact(&step.amount)? != amount {
            return Err(format!("{name} does not make {} of {}, but {}", step.amount, step.basis, plain(&amount)));
        }
        match step.step {
            StepKind::List => {
                listed += units;
                list = kept(&amount, minor);
            }
            StepKind::Round => net = kept(&amount, minor),
            StepKind::Tax => tax = kept(&amount, minor),
            _ => {}
        }
    }
    if line.model != PriceModel::Flat && listed != quantity {
        return Err("the list amount is not that of the line's quantity".to_owned());
    }
    match (list, net, tax) {
        (Some(list), Some(net), Some(tax)) => Ok(Amounts { list, net, tax }),
        _ => Err("lacks its list amount, its rounding or its tax".to_owned()),
    }
}
