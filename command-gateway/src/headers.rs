//! The request headers that the product gives a meaning: `Idempotency-Key`, `If-Match` (RFC 9110),
//! `Prefer` (RFC 7240), `Content-Type`.

use crate::problem::Problem;
use cpq_domain::command::IfMatch;
use cpq_domain::rejection::ErrorCode;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, IF_MATCH};
use std::time::Duration;

pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
pub const MAX_KEY_LENGTH: usize = 255;
/// How long a command's outcome is waited for where the client does not say.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(5);
/// The longest wait that a client may ask for.
pub const MAX_WAIT_SECONDS: u64 = 30;

/// The idempotency key of a command: 1 to 255 visible ASCII characters, sent once.
pub fn idempotency_key(headers: &HeaderMap) -> Result<String, Problem> {
    let refuse = |detail: &str| Err(Problem::new(ErrorCode::IdempotencyKeyRequired, detail));
    let mut sent = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = sent.next() else {
        return refuse("Send an Idempotency-Key: any text that is new for each command and the same for its retries.");
    };
    if sent.next().is_some() {
        return refuse("Send one Idempotency-Key, not several.");
    }
    let bytes = value.as_bytes();
    if !(1..=MAX_KEY_LENGTH).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_graphic) {
        return refuse("An Idempotency-Key is 1 to 255 visible ASCII characters, without spaces.");
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// The `If-Match` precondition; `None` where none was sent. Tags that are not strong revisions never match and
/// are left out.
pub fn if_match(headers: &HeaderMap) -> Option<IfMatch> {
    let mut revisions = Vec::new();
    let mut sent = false;
    for value in headers.get_all(IF_MATCH) {
        sent = true;
        for tag in value.to_str().unwrap_or_default().split(',').map(str::trim) {
            if tag == "*" {
                return Some(IfMatch::Any);
            }
            revisions.extend(revision(tag));
        }
    }
    sent.then_some(IfMatch::Revisions(revisions))
}

/// The revision that a strong entity tag names.
fn revision(tag: &str) -> Option<u32> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    let number: u32 = digits.parse().ok()?;
    // Only the form that is given out: no sign, no leading zero.
    (number.to_string() == digits).then_some(number)
}

/// How long the client wants to wait for an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    pub time: Duration,
    /// The preference that was honoured, for `Preference-Applied`.
    pub applied: Applied,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    Default,
    Seconds(u64),
    Async,
}

impl Applied {
    pub fn header(self) -> Option<String> {
        match self {
            Self::Default => None,
            Self::Seconds(seconds) => Some(format!("wait={seconds}")),
            Self::Async => Some("respond-async".to_owned()),
        }
    }
}

/// `Prefer: wait=N` (at most 30), `respond-async` (no wait, unless `wait` says how long before). What cannot be
/// read is no preference.
pub fn wait(headers: &HeaderMap) -> Wait {
    let (mut seconds, mut respond_async) = (None, false);
    for value in headers.get_all("prefer") {
        for preference in value.to_str().unwrap_or_default().split(',') {
            let token = preference.split(';').next().unwrap_or_default().trim();
            let (name, argument) = token.split_once('=').map_or((token, ""), |(n, a)| (n.trim(), a.trim()));
            match name.to_ascii_lowercase().as_str() {
                // The first of a kind counts.
                "wait" if seconds.is_none() => seconds = argument.trim_matches('"').parse::<u64>().ok(),
                "respond-async" => respond_async = true,
                _ => {}
            }
        }
    }
    match (seconds, respond_async) {
        (Some(seconds), _) => {
            let seconds = seconds.min(MAX_WAIT_SECONDS);
            Wait { time: Duration::from_secs(seconds), applied: Applied::Seconds(seconds) }
        }
        (None, true) => Wait { time: Duration::ZERO, applied: Applied::Async },
        (None, false) => Wait { time: DEFAULT_WAIT, applied: Applied::Default },
    }
}

/// Whether the body says that it is JSON in UTF-8.
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let mut parts = value.split(';').map(str::trim);
    let json = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    json && parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use rstest::rstest;

    fn headers(name: &str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[rstest]
    #[case(&[], None)]
    #[case(&["*"], Some(IfMatch::Any))]
    #[case(&["\"4\""], Some(IfMatch::Revisions(vec![4])))]
    #[case(&["\"4\", \"5\"", "\"6\""], Some(IfMatch::Revisions(vec![4, 5, 6])))]
    #[case::weak(&["W/\"4\""], Some(IfMatch::Revisions(vec![])))]
    #[case::unquoted(&["4"], Some(IfMatch::Revisions(vec![])))]
    #[case::leading_zero(&["\"04\""], Some(IfMatch::Revisions(vec![])))]
    #[case::signed(&["\"+4\""], Some(IfMatch::Revisions(vec![])))]
    fn only_strong_tags_that_are_revisions_can_match(#[case] sent: &[&str], #[case] expected: Option<IfMatch>) {
        assert_eq!(if_match(&headers("if-match", sent)), expected);
    }

    #[rstest]
    #[case(&[], 5, Applied::Default)]
    #[case(&["wait=10"], 10, Applied::Seconds(10))]
    #[case(&["wait=100"], 30, Applied::Seconds(30))]
    #[case(&["wait=0"], 0, Applied::Seconds(0))]
    #[case(&["respond-async"], 0, Applied::Async)]
    #[case(&["respond-async, wait=2"], 2, Applied::Seconds(2))]
    #[case(&["wait=soon"], 5, Applied::Default)]
    #[case(&["handling=lenient"], 5, Applied::Default)]
    fn a_preference_says_how_long_to_wait(#[case] sent: &[&str], #[case] seconds: u64, #[case] applied: Applied) {
        assert_eq!(wait(&headers("prefer", sent)), Wait { time: Duration::from_secs(seconds), applied });
    }

    #[rstest]
    #[case(&["k-1"], true)]
    #[case(&[], false)]
    #[case(&[""], false)]
    #[case(&["a b"], false)]
    #[case(&["a", "b"], false)]
    fn an_idempotency_key_is_visible_ascii_sent_once(#[case] sent: &[&str], #[case] good: bool) {
        assert_eq!(idempotency_key(&headers(IDEMPOTENCY_KEY, sent)).is_ok(), good);
    }

    #[test]
    fn an_idempotency_key_has_at_most_255_characters() {
        assert!(idempotency_key(&headers(IDEMPOTENCY_KEY, &[&"k".repeat(255)])).is_ok());
        assert!(idempotency_key(&headers(IDEMPOTENCY_KEY, &[&"k".repeat(256)])).is_err());
    }

    #[rstest]
    #[case("application/json", true)]
    #[case("Application/JSON; charset=UTF-8", true)]
    #[case("application/json; charset=latin1", false)]
    #[case("text/plain", false)]
    #[case("application/xml", false)]
    fn a_body_is_json_in_utf8(#[case] sent: &str, #[case] good: bool) {
        assert_eq!(is_json(&headers("content-type", &[sent])), good);
    }
}
