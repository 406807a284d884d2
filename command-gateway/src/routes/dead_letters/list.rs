//! `GET /dead-letters`: what is parked in the caller's tenant, oldest first.

use super::view::DeadLetterView;
use crate::answer::Answer;
use crate::call::Call;
use crate::operation::{Parameter, Reply};
use crate::page::{self, Page};
use crate::reading;
use crate::routes::search::{CURSOR, LIMIT};
use cpq_domain::moment::Moment;
use cpq_state_stores::operations::parked::{self, DeadLetterQuery};

pub static FILTERS: [Parameter; 5] = [
    Parameter { name: "consumer", describes: "Only what this consumer parked, such as `quote`.", choices: &[] },
    Parameter { name: "topic", describes: "Only of this topic.", choices: &[] },
    Parameter { name: "messageKey", describes: "Only of this key: the aggregate's id.", choices: &[] },
    LIMIT,
    CURSOR,
];

pub async fn handle(call: Call) -> Reply {
    let limit = page::limit(&call)?;
    let after = page::cursor::<(Moment, String)>(&call)?;
    let query = DeadLetterQuery {
        dead_letter_id: None,
        consumer: call.query("consumer"),
        topic: call.query("topic"),
        message_key: call.query("messageKey"),
        tenant: Some(call.tenant().as_str()),
        after: after.as_ref().map(|(at, id)| (at.into_inner(), id.as_str())),
        limit: Some(limit as i64 + 1),
    };
    let mut tx = call.begin().await?;
    let letters = parked::dead_letters(&mut tx, &query).await?;
    tx.commit().await?;
    // It is the truth, so it is as of now.
    let page = Page::of(letters, limit, Some(reading::now()), |last| {
        (Moment::new(last.parked_at), last.dead_letter_id.clone())
    });
    let Page { items, next_cursor, as_of } = page;
    let items: Vec<DeadLetterView> = items.into_iter().map(DeadLetterView::from).collect();
    Ok(Answer::ok(&Page { items, next_cursor, as_of }).build())
}
