//! The scalars of Avro's binary encoding: zig-zag numbers, byte strings, and decimals between their unscaled
//! two's complement bytes and their plain text.

/// Digits that a decimal of ours may have; 38 digits and a sign fit `i128`.
pub const MAX_PRECISION: u32 = 38;
/// Bytes of the longest zig-zag encoded `i64`.
const MAX_VARINT_BYTES: usize = 10;
/// Bytes of the longest decimal that is read.
const MAX_DECIMAL_BYTES: usize = 16;

/// How many digits after the point a decimal shows. The wire has one scale for all, so the text's own scale
/// must follow from what the value is; where it does not (what somebody typed in), the field is a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalText {
    /// The minor units of the nearest `currency` field above, as money is kept.
    Money,
    /// Two, as computed percentages are kept.
    Percent,
    /// No trailing zeros, as quantities are kept.
    Shortest,
}

impl DecimalText {
    /// The attribute of a decimal's schema that says it. Avro readers ignore attributes they do not know.
    pub const ATTRIBUTE: &'static str = "cpqText";

    /// The form of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "MONEY" => Some(Self::Money),
            "PERCENT" => Some(Self::Percent),
            "SHORTEST" => Some(Self::Shortest),
            _ => None,
        }
    }
}

/// Appends a zig-zag variable-length number.
pub fn write_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push((rest as u8) | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends length and bytes.
pub fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

/// Bytes that are being read, from the front. Every way past the end is an error.
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub fn byte(&mut self) -> Result<u8, String> {
        let (first, rest) = self.rest.split_first().ok_or("the bytes end too early")?;
        self.rest = rest;
        Ok(*first)
    }

    pub fn long(&mut self) -> Result<i64, String> {
        let mut value = 0_u64;
        for index in 0..MAX_VARINT_BYTES {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if index == MAX_VARINT_BYTES - 1 && bits > 1 {
                break;
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(((value >> 1) as i64) ^ -((value & 1) as i64));
            }
        }
        Err("a number is longer than 64 bits".to_owned())
    }

    /// Length, then as many bytes, none of them copied.
    pub fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = self.long()?;
        match usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length)) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(format!("a length of {length} where {} bytes are left", self.rest.len())),
        }
    }

    pub fn text(&mut self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|error| format!("a string is not UTF-8: {error}"))
    }

    /// The unscaled value of a decimal of at most `precision` digits.
    pub fn decimal(&mut self, precision: u32) -> Result<i128, String> {
        let bytes = self.bytes()?;
        let Some(first) = bytes.first() else { return Err("a decimal has no bytes".to_owned()) };
        if bytes.len() > MAX_DECIMAL_BYTES {
            return Err(format!("a decimal of {} bytes; at most {MAX_DECIMAL_BYTES} are read", bytes.len()));
        }
        let sign = if first & 0x80 == 0 { 0 } else { -1 };
        let value = bytes.iter().fold(sign, |value, byte| (value << 8) | i128::from(*byte));
        if value.unsigned_abs() >= 10_u128.pow(precision) {
            return Err(format!("a decimal has more than {precision} digits"));
        }
        Ok(value)
    }
}

/// Appends a decimal in the fewest bytes of two's complement, as Avro's specification asks.
pub fn write_decimal(out: &mut Vec<u8>, unscaled: i128) {
    let bytes = unscaled.to_be_bytes();
    let sign = if unscaled < 0 { 0xff } else { 0x00 };
    // A leading byte that only repeats the sign can go, as long as the next one shows the same sign.
    let surplus = bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[1] ^ sign) & 0x80 == 0).count();
    write_bytes(out, &bytes[surplus..]);
}

/// The unscaled value of a plain decimal's text.
pub fn parse_decimal(text: &str, precision: u32, scale: u32) -> Result<i128, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) {
        return Err(format!("'{text}' is not a plain decimal"));
    }
    let fraction = fraction.trim_end_matches('0');
    let missing = u32::try_from(fraction.len()).ok().and_then(|length| scale.checked_sub(length));
    let missing = missing.ok_or_else(|| format!("'{text}' has more than {scale} decimals"))?;
    let limit = 10_i128.pow(precision);
    let mut unscaled = 0_i128;
    for byte in whole.bytes().chain(fraction.bytes()) {
        unscaled = unscaled * 10 + i128::from(byte - b'0');
        if unscaled >= limit {
            break;
        }
    }
    match unscaled.checked_mul(10_i128.pow(missing)) {
        Some(value) if value < limit => Ok(if text.starts_with('-') { -value } else { value }),
        _ => Err(format!("'{text}' has more than {} digits before the point", precision - scale)),
    }
}

/// The plain text of an unscaled value with at least `min_decimals` and as many more as it needs.
pub fn decimal_text(unscaled: i128, scale: u32, min_decimals: u32) -> String {
    let scale = scale as usize;
    let mut digits = unscaled.unsigned_abs().to_string();
    if digits.len() <= scale {
        digits.insert_str(0, &"0".repeat(scale + 1 - digits.len()));
    }
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let shortest = fraction.trim_end_matches('0').len();
    let decimals = shortest.max(min_decimals as usize);
    let sign = if unscaled < 0 { "-" } else { "" };
    match decimals {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{:0<decimals$}", &fraction[..shortest]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("499.00", 2, "499.00")]
    #[case("0", 2, "0.00")]
    #[case("-0.5", 0, "-0.5")]
    #[case("1200", 0, "1200")]
    #[case("0.000001", 2, "0.000001")]
    #[case("12.340", 3, "12.340")]
    #[case("9999999999999.999999", 2, "9999999999999.999999")]
    fn a_decimal_shows_the_decimals_that_its_kind_has(#[case] text: &str, #[case] least: u32, #[case] shown: &str) {
        let mut out = Vec::new();
        write_decimal(&mut out, parse_decimal(text, 19, 6).unwrap());
        assert_eq!(decimal_text(Input::new(&out).decimal(19).unwrap(), 6, least), shown);
    }

    #[rstest]
    #[case("10000000000000")]
    #[case("0.0000001")]
    #[case("99999999999999999999999999999999999999999999999999")]
    #[case("1e3")]
    #[case("")]
    #[case("1.")]
    #[case("--1")]
    fn what_does_not_fit_is_refused(#[case] text: &str) {
        assert!(parse_decimal(text, 19, 6).is_err());
    }

    proptest! {
        #[test]
        fn any_long_comes_back(value: i64) {
            let mut out = Vec::new();
            write_long(&mut out, value);
            prop_assert_eq!(Input::new(&out).long(), Ok(value));
        }

        #[test]
        fn any_decimal_comes_back_in_the_fewest_bytes(value in -(10_i128.pow(38) - 1)..10_i128.pow(38)) {
            let mut out = Vec::new();
            write_decimal(&mut out, value);
            prop_assert_eq!(Input::new(&out).decimal(38), Ok(value));
            let redundant = out.len() > 2
                && ((out[1] == 0 && out[2] & 0x80 == 0) || (out[1] == 0xff && out[2] & 0x80 != 0));
            prop_assert!(!redundant);
        }
    }
}
