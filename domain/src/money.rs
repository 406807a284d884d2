//! Decimal amounts as they are kept and shown: money with its currency's minor units (ISO 4217),
//! quantities without trailing zeros, both plain decimal strings in JSON, both at most numeric(19,6).

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// Digits before the point that numeric(19,6) can hold.
pub const MAX_INTEGER_DIGITS: u32 = 13;
/// Digits after the point that numeric(19,6) can hold.
pub const MAX_SCALE: u32 = 6;

/// Whether a value fits numeric(19,6) without loss.
pub fn fits(value: Decimal) -> bool {
    value.normalize().scale() <= MAX_SCALE && value.abs().trunc() < Decimal::from(10_i64.pow(MAX_INTEGER_DIGITS))
}

/// A plain decimal: digits, an optional leading minus, an optional fraction. No exponent, no plus, no
/// grouping, no bare point; at most 40 characters.
pub fn parse_plain(text: &str) -> Option<Decimal> {
    const MAX_LENGTH: usize = 40;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let numeric = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if text.len() > MAX_LENGTH || !numeric(whole) || !fraction.is_none_or(numeric) {
        return None;
    }
    Decimal::from_str_exact(text).ok()
}

/// An amount of money. Its scale is kept as given: money is rounded to the currency's minor units where
/// it is made, and shows exactly those digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Amount(pub Decimal);

/// A number of units of a line. Shown without trailing zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity(pub Decimal);

/// A percentage: `"16.64"` is 16.64 %. Kept as given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Percent(pub Decimal);

macro_rules! decimal {
    ($name:ident, $show:expr) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let show: fn(Decimal) -> Decimal = $show;
                fmt::Display::fmt(&show(self.0), f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::from_str(&text).map_err(D::Error::custom)
            }
        }
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                parse_plain(text).map(Self).ok_or_else(|| format!("'{text}' is not a plain decimal"))
            }
        }
        impl From<Decimal> for $name {
            fn from(value: Decimal) -> Self {
                Self(value)
            }
        }
    };
}
decimal!(Amount, |value| value);
decimal!(Quantity, |value| value.normalize());
decimal!(Percent, |value| value);

/// An ISO 4217 alphabetic code with its minor units, which [`Currency::parse`] knows to exist.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency {
    code: [u8; 3],
    minor_units: u8,
}

impl Currency {
    /// The currency of that code; `None` if ISO 4217 does not list it or gives it no minor units (XAU, XXX).
    pub fn parse(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        let listed = |codes: &str| codes.split_ascii_whitespace().any(|known| known == code);
        let minor_units = match () {
            () if listed(TWO) => 2,
            () if listed(ZERO) => 0,
            () if listed(THREE) => 3,
            () if listed(FOUR) => 4,
            () => return None,
        };
        Some(Self { code: bytes, minor_units })
    }
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).unwrap_or_default()
    }
    pub fn minor_units(&self) -> u32 {
        u32::from(self.minor_units)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("'{text}' is not an ISO 4217 currency with minor units")))
    }
}

// ISO 4217 list one (2024-06-25, amendments 176 and 177), by minor units.
const ZERO: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
const THREE: &str = "BHD IQD JOD KWD LYD OMR TND";
const FOUR: &str = "CLF UYW";
const TWO: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD \
    CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ \
    GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT \
    MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD \
    SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED \
    VES WST XAD XCD XCG YER ZAR ZMW ZWG";

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("JPY", Some(0))]
    #[case("USD", Some(2))]
    #[case("KWD", Some(3))]
    #[case("CLF", Some(4))]
    #[case("XAU", None)]
    #[case("usd", None)]
    #[case("EURO", None)]
    fn a_currency_has_the_minor_units_of_iso_4217(#[case] code: &str, #[case] units: Option<u32>) {
        assert_eq!(Currency::parse(code).map(|c| c.minor_units()), units);
    }

    #[rstest]
    #[case("1", true)]
    #[case("-0.5", true)]
    #[case("1e3", false)]
    #[case("+1", false)]
    #[case(".5", false)]
    #[case("1.", false)]
    #[case("1_000", false)]
    #[case(" 1", false)]
    #[case("", false)]
    #[case("٣", false)]
    fn a_decimal_on_the_wire_is_plain(#[case] text: &str, #[case] plain: bool) {
        assert_eq!(parse_plain(text).is_some(), plain, "{text}");
    }

    #[rstest]
    #[case("9999999999999.999999", true)]
    #[case("10000000000000", false)]
    #[case("0.0000001", false)]
    #[case("0.1000000", true)]
    fn a_value_fits_numeric_19_6(#[case] text: &str, #[case] yes: bool) {
        assert_eq!(fits(parse_plain(text).unwrap()), yes);
    }

    #[test]
    fn money_keeps_its_minor_units_and_quantity_drops_trailing_zeros() {
        assert_eq!(Amount::from_str("499.00").unwrap().to_string(), "499.00");
        assert_eq!(Quantity::from_str("2.500").unwrap().to_string(), "2.5");
    }
}
