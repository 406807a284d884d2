//! `GET /quotes/{quoteId}`: the truth, not a view.

use crate::answer::Answer;
use crate::call::Call;
use crate::operation::Reply;
use crate::reading;
use cpq_domain::quote::view::QuoteView;

pub async fn handle(call: Call) -> Reply {
    let mut tx = call.begin().await?;
    let quote = reading::quote(&call, &mut tx).await?;
    let catalog_changed = reading::catalog_changed(&call, &mut tx, &quote).await?;
    tx.commit().await?;
    let view = QuoteView { catalog_changed, ..QuoteView::of(&quote, reading::now(), Some(&call.caller.claims)) };
    Ok(Answer::ok(&view).revision(quote.revision).build())
}
