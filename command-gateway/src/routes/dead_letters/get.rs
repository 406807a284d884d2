//! `GET /dead-letters/{deadLetterId}`: what waits, and what was done with it; also once it is released.

use super::view::{DeadLetterDetail, DeadLetterView};
use super::{dead_letter_id, not_found};
use crate::answer::Answer;
use crate::call::Call;
use crate::operation::Reply;
use cpq_state_stores::operations::parked::{self, DeadLetterQuery};

/// Waiting records that are shown.
const MAX_WAITING: i64 = 100;

pub async fn handle(call: Call) -> Reply {
    let id = dead_letter_id(&call)?;
    let tenant = call.tenant().as_str();
    let query = DeadLetterQuery { dead_letter_id: Some(id), tenant: Some(tenant), ..DeadLetterQuery::default() };
    let mut tx = call.begin().await?;
    let letter = parked::dead_letters(&mut tx, &query).await?.pop();
    let mut actions = parked::actions(&mut tx, id).await?;
    actions.retain(|action| action.tenant_id.as_deref() == Some(tenant));
    let (letter, waiting) = match (letter, actions.last()) {
        (Some(letter), _) => {
            let waiting = parked::waiting(&mut tx, &letter, MAX_WAITING).await?;
            (DeadLetterView::from(letter), waiting)
        }
        (None, Some(last)) => (DeadLetterView::released(last), Vec::new()),
        (None, None) => return Err(not_found()),
    };
    tx.commit().await?;
    let detail = DeadLetterDetail {
        letter,
        waiting: waiting.into_iter().map(Into::into).collect(),
        actions: actions.into_iter().map(Into::into).collect(),
    };
    Ok(Answer::ok(&detail).build())
}
