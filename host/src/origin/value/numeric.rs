//! Decimal numbers of any length, as Postgres' `numeric` knows them.

use std::fmt;

/// Digits allowed on either side of the point of a parameter: what Postgres lets a column declare.
const DECLARED_DIGITS: i64 = 1000;

/// Digits on either side that a value of the database may have: what Postgres can hold.
const HELD_DIGITS: i64 = 131_072;

/// A decimal number: `digits` × 10^-`scale`. Equal numbers are equal, however they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    /// ASCII digits without zeros at either end; empty for zero.
    digits: String,
    /// Digits after the point; negative when zeros stand between the digits and the point.
    scale: i64,
}

impl Decimal {
    /// Parses `-12.340`, `.5`, `1e3`. `None` if the text is no number, or has more digits than a
    /// parameter may have.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::parse_within(text, DECLARED_DIGITS)
    }

    /// The same for a number that the database holds, which may be longer.
    pub(crate) fn parse_held(text: &str) -> Option<Self> {
        Self::parse_within(text, HELD_DIGITS)
    }

    /// A number that the database holds: these ASCII digits × 10^-`scale`. `None` if it is longer
    /// than what Postgres can hold.
    pub(crate) fn held(negative: bool, digits: &str, scale: i64) -> Option<Self> {
        Self::normal(negative, digits, scale, HELD_DIGITS)
    }

    fn parse_within(text: &str, limit: i64) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, i64::from(exponent.parse::<i32>().ok()?)),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction)
        {
            return None;
        }
        let scale = i64::try_from(fraction.len()).ok()? - exponent;
        Self::normal(negative, &format!("{whole}{fraction}"), scale, limit)
    }

    /// How many digits carry information.
    pub(crate) fn significant_digits(&self) -> usize {
        self.digits.len()
    }

    /// Its value as an integer, if it is one that fits.
    #[cfg(feature = "sqlite")]
    pub(crate) fn to_i64(&self) -> Option<i64> {
        if self.scale > 0 { None } else { self.to_string().parse().ok() }
    }

    fn normal(negative: bool, digits: &str, scale: i64, limit: i64) -> Option<Self> {
        let digits = digits.trim_start_matches('0');
        let trimmed = digits.trim_end_matches('0');
        if trimmed.is_empty() {
            return Some(Self { negative: false, digits: String::new(), scale: 0 });
        }
        let scale = scale - i64::try_from(digits.len() - trimmed.len()).ok()?;
        let before_point = i64::try_from(trimmed.len()).ok()? - scale;
        if scale > limit || before_point > limit {
            return None;
        }
        Some(Self { negative, digits: trimmed.to_owned(), scale })
    }
}

/// Plain notation without needless zeros: `-12.34`, `0.5`, `1000`.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        if self.negative {
            f.write_str("-")?;
        }
        let Ok(scale) = usize::try_from(self.scale) else {
            let zeros = usize::try_from(self.scale.unsigned_abs()).map_err(|_| fmt::Error)?;
            return write!(f, "{}{}", self.digits, "0".repeat(zeros));
        };
        match self.digits.len().checked_sub(scale) {
            Some(point) if scale == 0 => f.write_str(&self.digits[..point]),
            Some(point) if point > 0 => {
                write!(f, "{}.{}", &self.digits[..point], &self.digits[point..])
            }
            Some(_) | None => {
                write!(f, "0.{}{}", "0".repeat(scale - self.digits.len()), self.digits)
            }
        }
    }
}
