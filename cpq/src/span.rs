//! Spans of time as people write them on a command line (`90s`, `15m`, `1h`, `7d`, `-5m`) and read them.

/// The longest span: about ten years. What is longer is a slip of the keyboard.
pub const MAX_SECONDS: i64 = 10 * 366 * 24 * 3600;

/// A number of seconds, perhaps negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(i64);

impl Span {
    pub fn seconds(self) -> i64 {
        self.0
    }
}

/// Reads a whole number with a unit; a number alone is seconds.
pub fn parse_span(text: &str) -> Result<Span, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        other => return Err(format!("'{other}' is no unit; write s, m, h or d, as in 90s or -5m")),
    };
    let number: i64 =
        number.parse().map_err(|_| format!("'{text}' is no span of time; write one like 90s, 1h or -5m"))?;
    match number.checked_mul(unit) {
        Some(seconds) if seconds.abs() <= MAX_SECONDS => Ok(Span(seconds)),
        _ => Err(format!("'{text}' is too long; the most is ten years")),
    }
}

/// An age as people read it: its two largest units.
pub fn shown(seconds: f64) -> String {
    let whole = seconds.max(0.0) as i64;
    match whole {
        0..60 => format!("{:.1}s", seconds.max(0.0)),
        60..3600 => format!("{}m {}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h {}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d {}h", whole / 86_400, whole % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("90", 90)]
    #[case("90s", 90)]
    #[case("15m", 900)]
    #[case("1h", 3600)]
    #[case("7d", 604_800)]
    #[case("-5m", -300)]
    #[case("0s", 0)]
    fn a_span_is_a_number_and_a_unit(#[case] text: &str, #[case] seconds: i64) {
        assert_eq!(parse_span(text), Ok(Span(seconds)));
    }

    #[rstest]
    #[case("")]
    #[case("h")]
    #[case("1.5h")]
    #[case("1h30m")]
    #[case("1w")]
    #[case("99999d")]
    #[case("9223372036854775807d")]
    fn anything_else_is_refused(#[case] text: &str) {
        assert!(parse_span(text).is_err());
    }

    #[rstest]
    #[case(-1.0, "0.0s")]
    #[case(1.25, "1.2s")]
    #[case(61.0, "1m 1s")]
    #[case(7_260.0, "2h 1m")]
    #[case(90_000.0, "1d 1h")]
    fn an_age_shows_its_two_largest_units(#[case] seconds: f64, #[case] expected: &str) {
        assert_eq!(shown(seconds), expected);
    }
}
