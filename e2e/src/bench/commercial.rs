//! C1, C2: configuring and pricing, without server: the time per line must not grow with the quote, nor the time
//! of a quote with the catalog.

use super::{Curve, Extent, Question, Ratio, Target, Turn};
// The services' allocator.
use cpq_domain::catalog::{Catalog, CatalogSource};
use cpq_domain::configuration::{LineRequest, configure};
use cpq_domain::moment::Moment;
use cpq_domain::pricing::{PricingInput, PricingRequest, price};
use cpq_domain::reference::{Customer, Tenant};
use cpq_runtime as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Levels of the bundle.
const LEVELS: usize = 5;
/// Lines of the quotes that C1 measures; the first and the last make the ratio.
const SIZES: [usize; 5] = [10, 30, 100, 300, 1_000];
const FEW_OFFERINGS: usize = 20;
const MANY_OFFERINGS: usize = 20_000;
/// How long one figure is measured.
const WINDOW: Duration = Duration::from_millis(300);

const LINES: Question = Question {
    id: "C1",
    numerator: "configuring and pricing a 1,000-line, five-level bundle, per line",
    denominator: "the same with 10 lines, per line",
    unit: "µs/line",
    target: Target::AtMost(1.5),
};
const OFFERINGS: Question = Question {
    id: "C2",
    numerator: "configuring and pricing 10 lines against 20,000 offerings with 60,000 prices",
    denominator: "the same against 20 offerings with 60 prices",
    unit: "µs",
    target: Target::AtMost(1.25),
};

/// Measures both.
pub fn measure(extent: Extent) -> Result<Vec<Ratio>, String> {
    let few = Sale::with(FEW_OFFERINGS)?;
    let began = Instant::now();
    let many = Sale::with(MANY_OFFERINGS)?;
    let published = began.elapsed();
    let (mut lines, mut offerings, mut curves) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..extent.repeats {
        let curve = SIZES
            .iter()
            .map(|size| Ok(few.microseconds(*size)? / *size as f64))
            .collect::<Result<Vec<f64>, String>>()?;
        lines.push(Turn { numerator: curve[SIZES.len() - 1], denominator: curve[0] });
        offerings.push(Turn { numerator: many.microseconds(SIZES[0])?, denominator: few.microseconds(SIZES[0])? });
        curves.push(curve);
    }
    let medians = SIZES
        .iter()
        .enumerate()
        .map(|(n, size)| [*size as f64, super::median(curves.iter().map(|curve| curve[n]).collect())]);
    let curve = Curve {
        what: "configuring and pricing, per line",
        x: "lines of the quote",
        y: "µs per line",
        points: medians.collect(),
    };
    let told: Vec<String> = curve.points.iter().map(|[lines, time]| format!("{lines}: {time:.1}")).collect();
    let told = format!("µs per line by lines of the quote: {}", told.join(", "));
    let publishing =
        format!("reading and checking {MANY_OFFERINGS} offerings with all prices: {:.1} s", published.as_secs_f64());
    let lines = Ratio { curves: vec![curve], ..LINES.answer(lines, vec![told]) };
    Ok(vec![lines, OFFERINGS.answer(offerings, vec![publishing])])
}

/// Who sells what to whom.
struct Sale {
    catalog: Catalog,
    tenant: Tenant,
    customer: Customer,
    now: Moment,
}

fn parsed<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|e| e.to_string())
}

impl Sale {
    /// A catalog of so many offerings; the first [`LEVELS`] are a bundle within a bundle.
    fn with(offerings: usize) -> Result<Self, String> {
        let id = |n: usize| format!("offering-{n}");
        let offering = |n: usize| {
            let children = if n + 1 < LEVELS { json!([{"offeringId": id(n + 1), "min": 0}]) } else { json!([]) };
            json!({"id": id(n), "version": "1", "name": id(n), "sellableFrom": "2026-01-01T00:00:00Z", "taxCategory": "STANDARD",
                "characteristics": [{"name": "speed", "type": "INTEGER", "allowed": [1, 10, 100], "default": 10}], "children": children})
        };
        let price = |n: usize, kind: &str| {
            json!({"id": format!("{}-{kind}", id(n)), "offeringId": id(n), "priceListId": "standard", "currency": "USD", "kind": kind,
                "model": "PER_UNIT", "amount": "12.34", "validFrom": "2026-01-01T00:00:00Z"})
        };
        let prices = |n: usize| ["ONE_TIME", "RECURRING", "USAGE"].map(|kind| price(n, kind));
        let source: CatalogSource = parsed(json!({
            "catalogVersion": "bench",
            "offerings": (0..offerings).map(offering).collect::<Vec<_>>(),
            "prices": (0..offerings).flat_map(prices).collect::<Vec<_>>(),
        }))?;
        Ok(Self {
            catalog: Catalog::compile(source).map_err(|faults| format!("the catalog is wrong: {faults:?}"))?,
            tenant: parsed(json!({"tenantId": "bench", "name": "Bench", "defaultCurrency": "USD",
                "taxRates": [{"taxCategory": "STANDARD", "jurisdiction": "US", "percent": "8.25"}]}))?,
            customer: parsed(
                json!({"customerAccountId": "a", "name": "A", "segment": "SMB", "jurisdiction": "US", "salesOwnerId": "s"}),
            )?,
            now: Moment::parse("2026-11-01T00:00:00Z").ok_or("no time")?,
        })
    }

    /// What configuring and pricing so many lines takes.
    fn microseconds(&self, lines: usize) -> Result<f64, String> {
        let lines = bundle(lines)?;
        let (began, mut rounds) = (Instant::now(), 0_u32);
        while began.elapsed() < WINDOW {
            self.quote(&lines)?;
            rounds += 1;
        }
        Ok(began.elapsed().as_secs_f64() * 1e6 / f64::from(rounds))
    }

    fn quote(&self, lines: &[LineRequest]) -> Result<(), String> {
        let configuration = configure(&self.catalog, &self.customer, self.now, lines).map_err(|e| format!("{e:?}"))?;
        let request = PricingRequest::default();
        let input = PricingInput {
            catalog: &self.catalog,
            tenant: &self.tenant,
            customer: &self.customer,
            price_list_id: "standard",
            currency: self.tenant.default_currency,
            term_months: 36,
            configuration: &configuration,
            pricing_date: self.now,
            request: &request,
        };
        let priced = price(&input).map_err(|e| format!("{e:?}"))?;
        std::hint::black_box(priced);
        Ok(())
    }
}

/// So many lines of the bundle, level by level, as evenly as they go.
fn bundle(lines: usize) -> Result<Vec<LineRequest>, String> {
    let whole = |fan: usize| (0..LEVELS as u32).map(|level| fan.pow(level)).sum::<usize>();
    let fan = (1..).find(|fan| whole(*fan) >= lines).unwrap_or(1);
    let mut requests = vec![line(1, None, 0)?];
    let (mut parent, mut level_of) = (1, vec![0, 0]);
    while requests.len() < lines {
        for _ in 0..fan.min(lines - requests.len()) {
            let (number, level) = (requests.len() + 1, level_of[parent] + 1);
            requests.push(line(number, Some(parent), level)?);
            level_of.push(level);
        }
        parent += 1;
    }
    Ok(requests)
}

fn line(number: usize, parent: Option<usize>, level: usize) -> Result<LineRequest, String> {
    parsed(json!({"lineNumber": number.to_string(), "parentLineNumber": parent.map(|n| n.to_string()),
        "productOfferingId": format!("offering-{level}"), "quantity": "3", "action": "ADD"}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_has_its_lines_on_five_levels_and_can_be_priced() {
        let lines = bundle(1_000).unwrap();
        assert_eq!(lines.len(), 1_000);
        assert_eq!(lines.last().unwrap().product_offering_id.as_str(), "offering-4");
        Sale::with(FEW_OFFERINGS).unwrap().quote(&lines).unwrap();
    }
}
