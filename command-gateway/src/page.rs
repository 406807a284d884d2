//! Lists: `limit`, an opaque `cursor`, and the answer's envelope with how fresh the view is.

use crate::call::Call;
use crate::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cpq_domain::moment::Moment;
use cpq_domain::rejection::{FieldCode, FieldError};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub const DEFAULT_LIMIT: usize = 50;
pub const MAX_LIMIT: usize = 200;

/// A page of a list.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Send it as `cursor` for what follows; null at the end.
    pub next_cursor: Option<String>,
    /// The time of the newest event that the view shows; null before the first.
    pub as_of: Option<Moment>,
}

impl<T> Page<T> {
    /// A page of at most `limit` items out of `limit + 1` that were looked for.
    pub fn of<K: Serialize>(mut items: Vec<T>, limit: usize, as_of: Option<Moment>, key: impl FnOnce(&T) -> K) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(|last| encode(&key(last)));
        Self { items, next_cursor, as_of }
    }
}

/// How many items the caller wants.
pub fn limit(call: &Call) -> Result<usize, Problem> {
    let Some(text) = call.query("limit") else { return Ok(DEFAULT_LIMIT) };
    match text.parse::<usize>() {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Ok(_) => Err(fault("/limit", FieldCode::OutOfRange, format!("must be 1 to {MAX_LIMIT}"))),
        Err(_) => Err(fault("/limit", FieldCode::WrongType, "must be an integer".to_owned())),
    }
}

/// Where the page before ended; `None` for the first page.
pub fn cursor<K: DeserializeOwned>(call: &Call) -> Result<Option<K>, Problem> {
    call.query("cursor").map(decode).transpose()
}

fn encode<K: Serialize>(key: &K) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

fn decode<K: DeserializeOwned>(text: &str) -> Result<K, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let key = bytes.filter(|bytes| !bytes.contains(&0)).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let detail = "is not one that this list gave out: start without a cursor";
    key.ok_or_else(|| fault("/cursor", FieldCode::Pattern, detail.to_owned()))
}

fn fault(pointer: &str, code: FieldCode, detail: String) -> Problem {
    Problem::invalid(vec![FieldError::new(pointer, code, detail)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_the_last_item() {
        let page = Page::of(vec!["c", "b", "a"], 2, None, |last| (*last).to_owned());
        assert_eq!(page.items, ["c", "b"]);
        assert_eq!(decode::<String>(&page.next_cursor.unwrap()).unwrap(), "b");
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        assert_eq!(Page::of(vec!["a"], 2, None, |last| (*last).to_owned()).next_cursor, None);
    }

    #[test]
    fn a_made_up_cursor_is_refused() {
        for text in ["", "%%%", "bm9uc2Vuc2U", "IlwwIg"] {
            assert!(decode::<String>(text).is_err(), "{text}");
        }
    }
}
