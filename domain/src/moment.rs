//! Instants: always UTC, always microseconds, RFC 3339 in JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use time::{Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// An instant in UTC with microsecond resolution: what Postgres `timestamptz` and Avro
/// `timestamp-micros` can hold, so that no value changes on its way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(OffsetDateTime);

impl Moment {
    /// The instant, in UTC, cut to microseconds.
    pub fn new(at: OffsetDateTime) -> Self {
        let at = at.to_offset(UtcOffset::UTC);
        let micros = at.microsecond();
        Self(at.replace_microsecond(micros).unwrap_or(at))
    }
    /// Reads an RFC 3339 instant with any offset (RFC 3339 section 5.6).
    pub fn parse(text: &str) -> Option<Self> {
        OffsetDateTime::parse(text, &Rfc3339).ok().map(Self::new)
    }
    pub fn from_unix_micros(micros: i64) -> Option<Self> {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).ok().map(Self)
    }
    pub fn unix_micros(self) -> i64 {
        // i64 microseconds reach ±292,000 years, `time` ±9,999.
        (self.0.unix_timestamp_nanos() / 1_000) as i64
    }
    pub fn year(self) -> i32 {
        self.0.year()
    }
    /// `self + days`, or the far end of time where that overflows.
    pub fn plus_days(self, days: i64) -> Self {
        Self(self.0.saturating_add(Duration::days(days)))
    }
    pub fn plus_hours(self, hours: i64) -> Self {
        Self(self.0.saturating_add(Duration::hours(hours)))
    }
    pub fn into_inner(self) -> OffsetDateTime {
        self.0
    }
}

impl From<OffsetDateTime> for Moment {
    fn from(at: OffsetDateTime) -> Self {
        Self::new(at)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.format(&Rfc3339).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}
impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("'{text}' is not an RFC 3339 instant")))
    }
}

/// Whether `at` lies in the half-open interval `from ≤ at < to`.
pub fn within(at: Moment, from: Option<Moment>, to: Option<Moment>) -> bool {
    from.is_none_or(|from| from <= at) && to.is_none_or(|to| at < to)
}
