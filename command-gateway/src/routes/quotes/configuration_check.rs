//! `POST /quotes/{quoteId}/configuration-check`: what configuring would answer, and for a choice that is ruled out
//! the choices that would do. Stores nothing.

use crate::answer::Answer;
use crate::aside;
use crate::call::Call;
use crate::operation::Reply;
use crate::reading::{self, Ground};
use cpq_domain::quote::command::ConfigureQuote;
use cpq_domain::quote::trial;
use cpq_domain::quote::view::QuoteView;

pub async fn handle(call: Call) -> Reply {
    let command: ConfigureQuote = call.read()?;
    let mut tx = call.begin().await?;
    let quote = reading::quote(&call, &mut tx).await?;
    let ground = Ground::of(&call, &mut tx, &quote).await?;
    let catalog = ground.newest_catalog(&call, &mut tx).await?;
    tx.commit().await?;
    // The quote itself stays at this revision.
    let revision = quote.revision;
    let ask = move || {
        let asked = trial::configured(&quote, &command, &ground.context(catalog.as_deref()));
        asked.map(|quote| QuoteView::of(&quote, ground.now, Some(&ground.meta.claims)))
    };
    let view = aside::run(ask).await??;
    Ok(Answer::ok(&view).revision(revision).build())
}
