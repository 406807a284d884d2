//! `GET /quotes/{quoteId}/revisions/{a}/diff/{b}`: what changed between two revisions, each as it was at its end.

use crate::answer::Answer;
use crate::call::Call;
use crate::operation::Reply;
use crate::problem::Problem;
use crate::reading;
use cpq_domain::quote::diff::diff;
use cpq_domain::quote::{self, Quote, QuoteEvent};
use cpq_domain::rejection::{ErrorCode, FieldCode, FieldError, Rejection};
use cpq_state_stores::StoreError;
use cpq_state_stores::transitions::{self, Transition};

pub async fn handle(call: Call) -> Reply {
    let mut tx = call.begin().await?;
    let quote = reading::quote(&call, &mut tx).await?;
    let (a, b) = revisions(&call, quote.revision)?;
    // Up to the quote that was read: what is decided meanwhile has revisions of its own.
    let id = quote.quote_id.as_str();
    let transitions = transitions::load::<QuoteEvent>(&mut tx, call.tenant(), id, Some(quote.sequence)).await?;
    tx.commit().await?;
    let (before, after) = (at(&quote, &transitions, a)?, at(&quote, &transitions, b)?);
    Ok(Answer::ok(&diff(&before, &after)).revision(quote.revision).build())
}

/// The two revisions of the path; a quote has all from 1 to its current one.
fn revisions(call: &Call, current: u32) -> Result<(u32, u32), Problem> {
    let [a, b] = ["a", "b"].map(|name| {
        let named = call.usable_segment(name).and_then(|text| revision(text, current));
        named.ok_or_else(|| {
            FieldError::new(format!("/{name}"), FieldCode::UnknownReference, "must be the number of one of them")
        })
    });
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (a, b) => {
            let detail = match current {
                1 => "The quote has revision 1 alone.".to_owned(),
                _ => format!("The quote has revisions 1 to {current}."),
            };
            let faults = [a, b].into_iter().filter_map(Result::err).collect();
            Err(Rejection::new(ErrorCode::ValidationFailed, detail).with_errors(faults).into())
        }
    }
}

/// A revision as it is written everywhere: digits alone, without leading zeros.
fn revision(text: &str, current: u32) -> Option<u32> {
    text.parse().ok().filter(|number| (1..=current).contains(number) && number.to_string() == text)
}

/// The quote as it was at the end of a revision.
fn at(quote: &Quote, transitions: &[Transition<QuoteEvent>], revision: u32) -> Result<Quote, StoreError> {
    let events = transitions.iter().map(|t| (&t.event, t.at));
    quote::fold_to_revision(&quote.tenant_id, &quote.quote_id, events, revision)
        .ok_or_else(|| StoreError::Corrupt(format!("{} has no events of its revision {revision}", quote.quote_id)))
}
