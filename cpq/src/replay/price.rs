//! `cpq replay price`: what quotes that were priced once would cost under another catalog or policy.

use super::when::when;
use crate::Failure;
use crate::output::{Answer, Paint, Progress, Style};
use crate::table::{Cell, Table};
use clap::Args;
use cpq_domain::catalog::Catalog;
use cpq_domain::configuration::{Configuration, ConfiguredLine, LineRequest, configure};
use cpq_domain::ids::{QuoteId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::pricing::{POLICY_VERSION, Price, PricingInput, price};
use cpq_domain::quote::evolve;
use cpq_domain::quote::{PricedOffer, Quote, QuoteEvent};
use cpq_domain::reference::{Customer, Tenant};
use cpq_domain::rejection::Rejection;
use cpq_state_stores::operations::proofs::{PAGE, PricedRevision, priced_since};
use cpq_state_stores::reference::{ReferenceCache, customers};
use cpq_state_stores::{Db, StoreError, Tx, transitions};
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// Differences that are shown as text; JSON has all.
const MAX_SHOWN: usize = 50;

/// Price stored quotes again and report which totals would differ.
///
/// Each price is made from what it was made from: configuration, customer, discounts, pricing date. Under another
/// catalog the lines are configured anew, each with the newest version on sale there.
#[derive(Args, Clone, Debug)]
pub struct PriceArgs {
    /// The pricing policy.
    #[arg(long, default_value = POLICY_VERSION, value_parser = [POLICY_VERSION])]
    policy: String,
    /// The catalog version; without it, each price's own.
    #[arg(long)]
    catalog: Option<String>,
    /// Only prices made at or after this: 2026-11-01 or 2026-11-01T08:00:00Z.
    #[arg(long, value_parser = when)]
    since: Option<OffsetDateTime>,
    /// Prices that hold at this time count, instead of those of each price's own date.
    #[arg(long, value_parser = when)]
    at: Option<OffsetDateTime>,
    /// Only this tenant.
    #[arg(long)]
    tenant: Option<String>,
}

/// What has become of the prices.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    policy_version: String,
    prices: u64,
    same: u64,
    different: Vec<Difference>,
    refused: Vec<Refusal>,
    /// Sum of the differences of the totals, by currency.
    difference_by_currency: BTreeMap<String, Decimal>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    tenant_id: String,
    quote_id: String,
    revision: i32,
    currency: String,
    total_amount: String,
    replayed_total_amount: String,
    difference: Decimal,
}

/// A quote that could not be priced so.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    tenant_id: String,
    quote_id: String,
    revision: i32,
    #[serde(flatten)]
    rejection: Rejection,
}

pub async fn run(args: &PriceArgs, db: &Db, paint: Paint) -> Result<Answer, Failure> {
    let cache = ReferenceCache::new().map_err(Failure::because("this build is broken"))?;
    let mut replay =
        Replay { args, cache, report: Report { policy_version: args.policy.clone(), ..Report::default() } };
    let progress = Progress::start();
    let mut after = (String::new(), String::new(), 0);
    loop {
        let mut tx = db.begin_system().await?;
        let page = priced_since(&mut tx, args.tenant.as_deref(), args.since, (&after.0, &after.1, after.2)).await?;
        for priced in &page {
            replay.price(&mut tx, priced).await?;
        }
        tx.rollback().await?;
        progress.say(&format!("{} prices", replay.report.prices));
        match page.last() {
            Some(last) if page.len() as i64 == PAGE => {
                after = (last.tenant_id.clone(), last.quote_id.clone(), last.revision);
            }
            _ => break,
        }
    }
    drop(progress);
    Answer::new(&replay.report, text(&replay.report, paint))
}

struct Replay<'a> {
    args: &'a PriceArgs,
    cache: ReferenceCache,
    report: Report,
}

impl Replay<'_> {
    async fn price(&mut self, tx: &mut Tx, priced: &PricedRevision) -> Result<(), Failure> {
        self.report.prices += 1;
        let (quote, offer) = as_priced(tx, priced).await?;
        let replayed = self.reprice(tx, &quote, &offer).await?;
        let PricedRevision { tenant_id, quote_id, revision } = priced.clone();
        match replayed {
            Ok(replayed) if replayed == offer.price => self.report.same += 1,
            Ok(replayed) => {
                let difference = replayed.total_amount.0 - offer.price.total_amount.0;
                let currency = offer.price.currency.code().to_owned();
                *self.report.difference_by_currency.entry(currency.clone()).or_default() += difference;
                let total_amount = offer.price.total_amount.to_string();
                let replayed_total_amount = replayed.total_amount.to_string();
                let different = Difference {
                    tenant_id,
                    quote_id,
                    revision,
                    currency,
                    total_amount,
                    replayed_total_amount,
                    difference,
                };
                self.report.different.push(different);
            }
            Err(rejection) => self.report.refused.push(Refusal { tenant_id, quote_id, revision, rejection }),
        }
        Ok(())
    }

    async fn reprice(
        &self,
        tx: &mut Tx,
        quote: &Quote,
        offer: &PricedOffer,
    ) -> Result<Result<Price, Rejection>, Failure> {
        let stored = |what: &str| Failure::failed(format!("{}: {what}", quote.quote_id));
        let configured = quote.configuration().ok_or_else(|| stored("was priced without a configuration"))?;
        let version = self.args.catalog.as_ref().unwrap_or(&configured.catalog_version);
        let catalog = self.cache.catalog(tx, &quote.tenant_id, version).await?.ok_or_else(|| {
            Failure::usage(format!(
                "{} has no catalog {version}; its versions are in cpq.catalog_version",
                quote.tenant_id
            ))
        })?;
        let tenants = self.cache.tenants(tx, std::slice::from_ref(&quote.tenant_id)).await?;
        let tenant = tenants.get(&quote.tenant_id).ok_or_else(|| stored("its tenant is gone"))?;
        let key = (quote.tenant_id.clone(), quote.customer_account_id.clone());
        let customers = customers(tx, std::slice::from_ref(&key)).await?;
        let customer = customers.get(&key).ok_or_else(|| stored("its customer is gone"))?;
        let at = self.args.at.map_or(offer.pricing_date, Moment::new);
        Ok(price_under(quote, configured, offer, &catalog, &tenant.tenant, customer, at))
    }
}

/// The quote as it was when it was priced, and the price that it got.
async fn as_priced(tx: &mut Tx, priced: &PricedRevision) -> Result<(Quote, PricedOffer), Failure> {
    let (tenant, id) = (TenantId::new(&priced.tenant_id), QuoteId::new(&priced.quote_id));
    let mut state = None;
    for transition in transitions::load::<QuoteEvent>(tx, &tenant, id.as_str(), None).await? {
        let found = match &transition.event {
            QuoteEvent::QuotePriced(found) if transition.revision as i32 == priced.revision => {
                Some(found.price.clone())
            }
            _ => None,
        };
        state = match (found, state) {
            (Some(offer), Some(quote)) => return Ok((quote, offer)),
            (_, state) => evolve(state, &tenant, &id, &transition.event, transition.at),
        };
    }
    Err(StoreError::Corrupt(format!("{} has no event of its price of revision {}", priced.quote_id, priced.revision)))?
}

fn price_under(
    quote: &Quote,
    configured: &Configuration,
    offer: &PricedOffer,
    catalog: &Catalog,
    tenant: &Tenant,
    customer: &Customer,
    at: Moment,
) -> Result<Price, Rejection> {
    let anew;
    let configuration = if catalog.version() == configured.catalog_version {
        configured
    } else {
        let lines: Vec<LineRequest> = configured.lines.iter().map(asked).collect();
        anew = configure(catalog, customer, at, &lines)?;
        &anew
    };
    let input = PricingInput {
        catalog,
        tenant,
        customer,
        price_list_id: &quote.price_list_id,
        currency: quote.currency,
        term_months: quote.term_months,
        configuration,
        pricing_date: at,
        request: &offer.request,
    };
    price(&input).map(|(price, _)| price)
}

/// The line as a client would ask for it again.
fn asked(line: &ConfiguredLine) -> LineRequest {
    LineRequest {
        line_number: line.line_number.clone(),
        parent_line_number: line.parent_line_number.clone(),
        product_offering_id: line.product_offering_id.clone(),
        product_offering_version: None,
        quantity: line.quantity,
        action: line.action,
        characteristics: line.characteristics.clone(),
        asset_id: line.asset_id.clone(),
        requested_date: line.requested_date.clone(),
    }
}

fn text(report: &Report, paint: Paint) -> String {
    let Report { prices, same, different, refused, difference_by_currency, policy_version } = report;
    let mut lines = vec![format!(
        "{prices} prices under {policy_version}: {same} the same, {} different, {} could not be priced so",
        different.len(),
        refused.len()
    )];
    lines.extend(
        difference_by_currency.iter().map(|(currency, sum)| format!("all totals together: {sum:+} {currency}")),
    );
    let mut table = Table::new(&["TENANT", "QUOTE", "REVISION", "TOTAL", "REPLAYED", "DIFFERENCE", ""]);
    for d in different.iter().take(MAX_SHOWN) {
        table.row(vec![
            d.tenant_id.as_str().into(),
            d.quote_id.as_str().into(),
            Cell::number(d.revision),
            Cell::number(&d.total_amount),
            Cell::number(&d.replayed_total_amount),
            Cell::number(format!("{:+}", d.difference)),
            d.currency.as_str().into(),
        ]);
    }
    if !table.is_empty() {
        lines.push(table.render(paint));
    }
    lines.extend(refused.iter().take(MAX_SHOWN).map(|r| {
        paint.apply(
            Style::Red,
            &format!("{} {} revision {}: {}", r.tenant_id, r.quote_id, r.revision, r.rejection.detail),
        )
    }));
    if different.len().max(refused.len()) > MAX_SHOWN {
        lines.push(format!("the first {MAX_SHOWN} of each are shown; --output json has all"));
    }
    lines.join("\n")
}
