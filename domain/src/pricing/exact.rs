//! Exact decimal arithmetic: nothing here rounds unless it says so, however many digits there are.

use crate::money::MAX_INTEGER_DIGITS;
use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, RoundingMode, Signed, ToPrimitive};
use rust_decimal::Decimal;
use std::str::FromStr;

/// The same value.
pub fn big(value: Decimal) -> BigDecimal {
    BigDecimal::new(BigInt::from(value.mantissa()), i64::from(value.scale()))
}

/// Plain notation without trailing zeros.
pub fn plain(value: &BigDecimal) -> String {
    value.normalized().to_plain_string()
}

/// Reads plain notation of any length.
pub fn read(text: &str) -> Option<BigDecimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let numeric = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if numeric(whole) && numeric(fraction) { BigDecimal::from_str(text).ok() } else { None }
}

/// `value` percent of `amount`.
pub fn percent_of(amount: &BigDecimal, value: &BigDecimal) -> BigDecimal {
    let (digits, scale) = (amount * value).into_bigint_and_scale();
    BigDecimal::new(digits, scale + 2)
}

/// Rounds half away from zero.
pub fn round(value: &BigDecimal, decimals: u32) -> BigDecimal {
    value.with_scale_round(i64::from(decimals), RoundingMode::HalfUp)
}

/// A value of at most that many decimals, with exactly that many; `None` if it does not fit numeric(19,6).
pub fn kept(value: &BigDecimal, decimals: u32) -> Option<Decimal> {
    let scaled = value.with_scale_round(i64::from(decimals), RoundingMode::HalfUp);
    let digits = scaled.into_bigint_and_scale().0.to_i128()?;
    let limit = 10_i128.checked_pow(MAX_INTEGER_DIGITS + decimals)?;
    (digits.abs() < limit).then(|| Decimal::from_i128_with_scale(digits, decimals))
}

/// `part / whole` in percent, with two decimals, rounded half away from zero; `None` if it does not fit
/// numeric(19,6) or `whole` is 0.
pub fn ratio_percent(part: &BigDecimal, whole: &BigDecimal) -> Option<Decimal> {
    const DECIMALS: u32 = 2;
    // Hundredths of a percent as one integer division, so that no intermediate quotient is rounded.
    let scale = part.fractional_digit_count().max(whole.fractional_digit_count()).max(0);
    let units = |value: &BigDecimal| value.with_scale(scale).into_bigint_and_scale().0;
    let (part, whole): (BigInt, BigInt) = (units(part) * 10_000, units(whole));
    if whole == BigInt::ZERO {
        return None;
    }
    let negative = part.is_negative() != whole.is_negative();
    let (part, whole) = (part.abs(), whole.abs());
    let rounded: BigInt = (&part * 2 + &whole) / (&whole * 2);
    let rounded = if negative { -rounded } else { rounded };
    kept(&BigDecimal::new(rounded, i64::from(DECIMALS)), DECIMALS)
}
