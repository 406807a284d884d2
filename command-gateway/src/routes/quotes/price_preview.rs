//! `POST /quotes/{quoteId}/price-preview`: what pricing would answer as the price, by the same code. Decides and
//! stores nothing; a price that was asked for before is shown again without computing it.

use super::pricing;
use crate::answer::Answer;
use crate::aside;
use crate::call::Call;
use crate::operation::Reply;
use crate::problem::Problem;
use crate::reading::{self, Ground};
use cpq_domain::pricing::Price;
use cpq_domain::quote::Quote;
use cpq_domain::quote::command::PriceQuote;
use cpq_domain::quote::trial::PriceTrial;
use cpq_state_stores::previews::PreviewKey;
use std::sync::Arc;

/// Everything that is known of the question.
struct Asked {
    quote: Quote,
    command: PriceQuote,
    ground: Ground,
}

pub async fn handle(call: Call) -> Reply {
    let command = pricing::command(&call)?;
    let mut tx = call.begin().await?;
    let quote = reading::quote(&call, &mut tx).await?;
    let ground = Ground::of(&call, &mut tx, &quote).await?;
    tx.commit().await?;
    let asked = Arc::new(Asked { quote, command, ground });
    let context = asked.ground.context(None);
    let trial = PriceTrial::of(&asked.quote, &asked.command, &context)?;
    let key = PreviewKey::of(call.tenant(), &asked.quote.quote_id, asked.quote.revision, &trial.inputs());
    let price = match call.gateway.previews.find(&key, trial.pricing_date()).await {
        Some(price) => price,
        None => computed(&call, &asked, &trial, &key).await?,
    };
    Ok(Answer::ok(&trial.view(price)).revision(asked.quote.revision).build())
}

async fn computed(call: &Call, asked: &Arc<Asked>, trial: &PriceTrial<'_>, key: &PreviewKey) -> Result<Price, Problem> {
    let mut tx = call.begin().await?;
    let catalog = call.gateway.references.catalog(&mut tx, call.tenant(), trial.catalog_version()).await?;
    tx.commit().await?;
    let asked = asked.clone();
    let compute = move || {
        let context = asked.ground.context(None);
        PriceTrial::of(&asked.quote, &asked.command, &context)?.price(catalog.as_deref())
    };
    let (price, window) = aside::run(compute).await??;
    call.gateway.previews.keep(key, &price, window).await;
    Ok(price)
}
