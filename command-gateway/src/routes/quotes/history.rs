//! `GET /quotes/{quoteId}/history`.

use crate::call::Call;
use crate::operation::Reply;
use crate::reading;
use crate::routes::history;

pub async fn handle(call: Call) -> Reply {
    let mut tx = call.begin().await?;
    let quote = reading::quote(&call, &mut tx).await?;
    history::answer(&call, tx, quote.quote_id.as_str(), quote.revision).await
}
