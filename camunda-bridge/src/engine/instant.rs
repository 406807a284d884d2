//! The engine's instants, `2026-11-23T05:27:01.384+0000`: almost RFC 3339, but without the offset's colon.

use serde::{Deserialize, Deserializer, de::Error as _};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

const FORMAT: &[BorrowedFormatItem<'static>] = format_description!(
    "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3][offset_hour sign:mandatory][offset_minute]"
);

pub(super) fn format(instant: OffsetDateTime) -> Result<String, time::error::Format> {
    instant.to_offset(UtcOffset::UTC).format(FORMAT)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OffsetDateTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    OffsetDateTime::parse(&text, FORMAT).map_err(|error| D::Error::custom(format!("'{text}': {error}")))
}

pub(super) mod option {
    use super::*;

    pub(in crate::engine) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<OffsetDateTime>, D::Error> {
        let text = Option::<String>::deserialize(d)?;
        let parse =
            |text: String| OffsetDateTime::parse(&text, FORMAT).map_err(|e| D::Error::custom(format!("'{text}': {e}")));
        text.map(parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn an_instant_reads_and_writes_as_the_engine_does() {
        let text = "2026-11-23T05:27:01.384+0000";
        assert_eq!(format(datetime!(2026-11-23 06:27:01.384 +1)).unwrap(), text);
        let read = deserialize(serde_json::json!("2026-11-23T06:27:01.384+0100")).unwrap();
        assert_eq!(read, datetime!(2026-11-23 05:27:01.384 UTC));
    }
}
