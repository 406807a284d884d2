//! The instants at which windows begin and end, and at which quotes are priced: on them, and just beside them.
//! Each is written in a zone of its own.

use crate::dice::Dice;
use time::macros::datetime;
use time::{Duration, OffsetDateTime, UtcOffset};

/// When quotes are configured; what counts for sell windows.
pub const CONFIGURED_AT: OffsetDateTime = datetime!(2026-05-20 10:00 UTC);
/// Since when everything may be sold that may be sold now.
pub const LONG_AGO: OffsetDateTime = datetime!(2025-01-01 00:00 UTC);

/// Instants where prices and adjustments begin and end.
const EDGES: [OffsetDateTime; 7] = [
    datetime!(2026-03-01 00:00 UTC),
    datetime!(2026-03-29 02:00 +1),
    datetime!(2026-06-01 12:34:56.789012 UTC),
    datetime!(2026-07-01 00:00 -9:30),
    datetime!(2026-07-01 00:00 +14),
    datetime!(2026-12-31 23:59:59.999999 UTC),
    datetime!(2028-02-29 15:30 +5:45),
];
/// Zones in minutes east of Greenwich.
const ZONES: [i32; 6] = [0, 120, -480, 345, -570, 840];

/// How a window lies: since when, until when.
pub fn window(dice: &mut Dice) -> (OffsetDateTime, Option<OffsetDateTime>) {
    let from = if dice.chance(45) { LONG_AGO } else { edge(dice) };
    let to = edge(dice);
    (from, (dice.chance(45) && from < to).then_some(to))
}

pub fn edge(dice: &mut Dice) -> OffsetDateTime {
    dice.pick(&EDGES)
}

/// When a quote is priced.
pub fn pricing_date(dice: &mut Dice) -> OffsetDateTime {
    let edge = edge(dice);
    match dice.between(0, 9) {
        0..=4 => edge,
        5 => edge - Duration::MICROSECOND,
        6 => edge + Duration::MICROSECOND,
        _ => edge + Duration::seconds(dice.between(-40_000_000, 40_000_000)),
    }
}

pub fn is_edge(at: OffsetDateTime) -> bool {
    EDGES.contains(&at)
}

/// RFC 3339, in some zone.
pub fn written(dice: &mut Dice, at: OffsetDateTime) -> String {
    let zone = dice.pick(&ZONES);
    let local = at.to_offset(UtcOffset::from_whole_seconds(zone * 60).unwrap());
    let (date, time) = (local.date(), local.time());
    let fraction = match time.microsecond() {
        0 => String::new(),
        micros => format!(".{micros:06}"),
    };
    let offset = match zone {
        0 => "Z".to_owned(),
        _ => format!("{}{:02}:{:02}", if zone < 0 { '-' } else { '+' }, zone.abs() / 60, zone.abs() % 60),
    };
    format!("{date}T{:02}:{:02}:{:02}{fraction}{offset}", time.hour(), time.minute(), time.second())
}
