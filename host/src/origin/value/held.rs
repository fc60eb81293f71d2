//! The canonical texts of values that a database holds.
//!
//! A value that a parameter can have has the parameter's text. The others (infinity, the year
//! -43) have texts of their own, which no parameter has.

use std::fmt::Write as _;

pub(crate) use super::canonical::{day, moment, push_item};
pub(crate) use super::json::held as document;

/// The text of a `float8`.
pub(crate) fn float8(number: f64) -> String {
    special(number).map_or_else(|| number.to_string(), str::to_owned)
}

/// The text of a `float4`.
pub(crate) fn float4(number: f32) -> String {
    special(number.into()).map_or_else(|| number.to_string(), str::to_owned)
}

/// The text of bytes.
pub(crate) fn bytea(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What `Display` writes in another way than Postgres; both zeros are one value.
fn special(number: f64) -> Option<&'static str> {
    match number {
        0.0 => Some("0"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ if number.is_nan() => Some("NaN"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_is_written_as_a_whole_or_decimal_number_of_the_same_value() {
        let texts = [
            (10.0, "10"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ];
        for (number, text) in texts {
            assert_eq!(float8(number), text);
        }
        assert_eq!(float4(0.1), "0.1");
    }

    #[test]
    fn bytes_are_pairs_of_digits() {
        assert_eq!(bytea(b"\x00\xff"), "\\x00ff");
    }
}
