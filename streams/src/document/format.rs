//! How amounts, instants and terms read in a proposal. Refuses what is not a decimal or an instant rather than
//! print it.

use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use super::render::RenderError;

/// Digits of a group in an amount.
const GROUP: usize = 3;

/// `12 March 2027, 16:30 UTC`.
const INSTANT: &[BorrowedFormatItem<'_>] =
    format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");

/// A decimal in plain notation with its whole part in groups: `29950.56` → `29,950.56`.
pub(super) fn decimal(field: &'static str, value: &str) -> Result<String, RenderError> {
    let bad = || RenderError::NotADecimal { field, value: value.to_owned() };
    let (sign, digits) = value.strip_prefix('-').map_or(("", value), |rest| ("-", rest));
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, Some(fraction)),
        Some(_) => return Err(bad()),
        None => (digits, None),
    };
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !fraction.is_none_or(is_number) {
        return Err(bad());
    }
    let mut grouped = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(GROUP) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if let Some(fraction) = fraction {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    Ok(grouped)
}

/// An RFC 3339 instant as a person reads it, in UTC.
pub(super) fn instant(field: &'static str, value: &str) -> Result<String, RenderError> {
    let bad = || RenderError::NotAnInstant { field, value: value.to_owned() };
    let parsed = OffsetDateTime::parse(value, &Rfc3339).map_err(|_| bad())?;
    parsed.to_offset(UtcOffset::UTC).format(INSTANT).map_err(|_| bad())
}

/// `1 month`, `36 months`.
pub(super) fn months(count: u32) -> String {
    if count == 1 { "1 month".to_owned() } else { format!("{count} months") }
}

/// A code as words: `SALES_MANAGER` → `Sales manager`.
pub(super) fn words(code: &str) -> String {
    let lower = code.to_lowercase().replace('_', " ");
    let mut letters = lower.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0", "0")]
    #[case("999.00", "999.00")]
    #[case("1000", "1,000")]
    #[case("-29950.56", "-29,950.56")]
    #[case("1234567.125", "1,234,567.125")]
    fn amounts_are_grouped_and_keep_their_digits(#[case] raw: &str, #[case] shown: &str) {
        assert_eq!(decimal("amount", raw).unwrap(), shown);
    }

    #[rstest]
    #[case("")]
    #[case("1e5")]
    #[case("1.")]
    #[case(".5")]
    #[case("--1")]
    #[case("NaN")]
    fn what_is_no_plain_decimal_is_refused(#[case] raw: &str) {
        assert!(matches!(decimal("amount", raw), Err(RenderError::NotADecimal { .. })));
    }

    #[test]
    fn instants_read_in_utc_whatever_their_offset() {
        assert_eq!(instant("validUntil", "2027-03-01T01:30:00+02:00").unwrap(), "28 February 2027, 23:30 UTC");
    }
}
