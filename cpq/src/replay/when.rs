//! Points in time as people write them on a command line.

use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime, Time};

/// Reads a date, which is its midnight UTC, or an RFC 3339 time.
pub fn when(text: &str) -> Result<OffsetDateTime, String> {
    let day = || Date::parse(text, time::macros::format_description!("[year]-[month]-[day]"));
    OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| day().map(|day| day.with_time(Time::MIDNIGHT).assume_utc()))
        .map_err(|_| "expected a date (2026-11-01, midnight UTC) or an RFC 3339 time".to_owned())
}

#[cfg(test)]
mod tests {
    use super::when;
    use rstest::rstest;

    #[rstest]
    #[case("2026-11-01", Some("2026-11-01 0:00:00.0 +00:00:00"))]
    #[case("2026-11-01T08:00:00+01:00", Some("2026-11-01 8:00:00.0 +01:00:00"))]
    #[case("yesterday", None)]
    #[case("2026-13-01", None)]
    fn a_time_is_a_date_or_rfc_3339(#[case] text: &str, #[case] time: Option<&str>) {
        assert_eq!(when(text).ok().map(|at| at.to_string()).as_deref(), time);
    }
}
