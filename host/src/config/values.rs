//! From raw values to typed ones. Each function's error says what is wrong and what would be right.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use toml::de::{DeInteger, DeValue};

use super::Secret;
use super::document::suggestion;
use super::section::Raw;
use crate::name::Prefix;

/// The longest text that a problem repeats, in characters.
const SHOWN: usize = 60;

/// Digits in one duration. `humantime` panics at the end of its range, which eleven digits of its
/// largest unit, the year, can't reach.
const DURATION_DIGITS: usize = 11;

/// The bounds of a duration. With a `least` of zero, zero has a meaning and needs no unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct DurationBounds {
    pub(super) least: Duration,
    pub(super) most: Duration,
}

/// What a value is, with its article.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a datetime",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// A text as a problem repeats it: quoted, and not all of a long one.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

pub(super) fn text(raw: Raw<'_>) -> Result<String, String> {
    string(raw).map(str::to_owned)
}

/// What stands before every name in the store, such as `corral:`.
pub(super) fn prefix(raw: Raw<'_>) -> Result<Prefix, String> {
    const LONGEST: usize = 64;
    let text = string(raw)?;
    if text.len() > LONGEST || !text.ends_with(':') {
        return Err(format!(
            "{} is no prefix; write at most {LONGEST} characters with a colon at the end, such as \
             \"shop:\"",
            shown(text)
        ));
    }
    Prefix::try_new(text).map_err(|error| format!("{} is no prefix: {error}", shown(text)))
}

/// A bearer token: what a header can carry (RFC 6750 allows less), and not empty.
pub(super) fn token(raw: Raw<'_>) -> Result<Secret, String> {
    let token = string(raw)?;
    if token.is_empty() {
        return Err("an empty token; write one, or leave the key out".to_owned());
    }
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("not a token; write letters, digits and ASCII signs without spaces".to_owned());
    }
    Ok(Secret(token.to_owned()))
}

/// A URL with one of the schemes, given with what follows them: `redis://`, `sqlite:`. The problem
/// does not repeat the URL, which may hold a password.
pub(super) fn url(raw: Raw<'_>, schemes: &[&str]) -> Result<Secret, String> {
    let url = string(raw)?;
    let scheme = schemes.iter().find(|scheme| url.starts_with(**scheme));
    match scheme {
        Some(scheme) if url.len() > scheme.len() => Ok(Secret(url.to_owned())),
        Some(scheme) => Err(format!("nothing follows {scheme}; write a whole address")),
        None => Err(format!("not an address that works here; begin with {}", or(schemes))),
    }
}

pub(super) fn boolean(raw: Raw<'_>) -> Result<bool, String> {
    match raw {
        Raw::Toml(DeValue::Boolean(value)) => Ok(*value),
        Raw::Toml(other) => Err(format!("true or false is needed here, not {}", kind(other))),
        Raw::Text(text) => {
            text.parse().map_err(|_| format!("{} is neither true nor false", shown(text)))
        }
    }
}

pub(super) fn count(raw: Raw<'_>, range: RangeInclusive<usize>) -> Result<usize, String> {
    let digits = match raw {
        Raw::Toml(DeValue::Integer(integer)) => base_ten(integer),
        Raw::Toml(other) => return Err(format!("a number is needed here, not {}", kind(other))),
        Raw::Text(text) => text.to_owned(),
    };
    let count = digits.parse().ok().filter(|count| range.contains(count));
    let (least, most) = (range.start(), range.end());
    count.ok_or_else(|| {
        format!("{digits:.SHOWN$} is not valid; write a number from {least} to {most}")
    })
}

/// The units of sizes. Decimal units are left out: a size in `MB` mostly means `MiB`.
const UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A size in memory. Zero has a meaning and needs no unit.
pub(super) fn bytes(raw: Raw<'_>) -> Result<u64, String> {
    let text = match raw {
        Raw::Text(text) => text,
        Raw::Toml(DeValue::String(text)) => text.as_ref(),
        Raw::Toml(DeValue::Integer(digits)) if digits.as_str() == "0" => "0",
        Raw::Toml(DeValue::Integer(digits)) => {
            return Err(format!("{digits} has no unit; write \"{digits}MiB\" or \"{digits}B\""));
        }
        Raw::Toml(other) => {
            return Err(format!("a size is needed here, such as \"64MiB\", not {}", kind(other)));
        }
    };
    if text == "0" {
        return Ok(0);
    }
    let unit =
        UNITS.iter().rev().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let size = unit
        .and_then(|(digits, factor)| digits.trim_end().parse::<u64>().ok()?.checked_mul(*factor));
    size.ok_or_else(|| format!("{} is not a size; write \"64MiB\", \"512KiB\" or 0", shown(text)))
}

/// A size within `range`.
pub(super) fn size(raw: Raw<'_>, range: RangeInclusive<u64>) -> Result<u64, String> {
    let size = bytes(raw)?;
    if range.contains(&size) {
        return Ok(size);
    }
    let spell = |size: u64| {
        let unit = UNITS.iter().rev().find(|(_, unit)| size >= *unit && size.is_multiple_of(*unit));
        unit.map_or_else(|| size.to_string(), |(name, unit)| format!("{}{name}", size / unit))
    };
    let (least, most) = (spell(*range.start()), spell(*range.end()));
    Err(format!("{} is not valid; write a size from \"{least}\" to \"{most}\"", spell(size)))
}

pub(super) fn address(raw: Raw<'_>) -> Result<SocketAddr, String> {
    let text = string(raw)?;
    text.parse().map_err(|_| {
        format!("{} is not an IP address with a port; write \"127.0.0.1:7070\"", shown(text))
    })
}

/// One of a few words.
pub(super) fn choice<T: Copy>(raw: Raw<'_>, choices: &[(&str, T)]) -> Result<T, String> {
    let text = string(raw)?;
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
    let hint = match suggestion(text, choices.iter().map(|(word, _)| *word)) {
        Some(word) => format!("; did you mean {word:?}?"),
        None => String::new(),
    };
    Err(format!("{} is not valid; write {}{hint}", shown(text), or(&words)))
}

/// A duration in whole milliseconds, in which the contract counts.
pub(super) fn duration(raw: Raw<'_>, bounds: DurationBounds) -> Result<Duration, String> {
    let (duration, written) = match raw {
        Raw::Text(text) => (parsed_duration(text)?, shown(text)),
        Raw::Toml(DeValue::String(text)) => (parsed_duration(text)?, shown(text)),
        Raw::Toml(DeValue::Integer(digits)) if digits.as_str() == "0" => {
            (Duration::ZERO, "0".to_owned())
        }
        Raw::Toml(DeValue::Integer(digits)) => return Err(without_unit(digits, digits)),
        Raw::Toml(DeValue::Float(digits)) => return Err(without_unit(digits, digits)),
        Raw::Toml(other) => {
            return Err(format!("a duration is needed here, such as \"5m\", not {}", kind(other)));
        }
    };
    let spell = humantime::format_duration;
    if duration < bounds.least {
        return Err(format!("{written} is too short; write at least \"{}\"", spell(bounds.least)));
    }
    if duration > bounds.most {
        return Err(format!("{written} is too long; write at most \"{}\"", spell(bounds.most)));
    }
    if duration.subsec_nanos() % 1_000_000 != 0 {
        return Err(format!("{written} is finer than a millisecond; write whole ones"));
    }
    Ok(duration)
}

fn parsed_duration(text: &str) -> Result<Duration, String> {
    if f64::from_str(text).is_ok_and(|number| number != 0.0 && number.is_finite()) {
        return Err(without_unit(shown(text), text));
    }
    duration_text(text).ok_or_else(|| {
        format!("{} is not a duration; write \"5m\", \"300ms\" or \"1h30m\"", shown(text))
    })
}

/// A duration as an operator writes it. Every duration from outside is parsed here, because
/// `humantime` alone panics at the end of its range.
pub(crate) fn duration_text(text: &str) -> Option<Duration> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    (digits <= DURATION_DIGITS).then(|| humantime::parse_duration(text).ok()).flatten()
}

fn without_unit(written: impl fmt::Display, digits: impl fmt::Display) -> String {
    format!("{written} has no unit; write \"{digits}s\" or \"{digits}ms\"")
}

fn string<'a>(raw: Raw<'a>) -> Result<&'a str, String> {
    match raw {
        Raw::Text(text) => Ok(text),
        Raw::Toml(DeValue::String(text)) => Ok(text.as_ref()),
        Raw::Toml(other) => Err(format!("a string is needed here, not {}", kind(other))),
    }
}

fn base_ten(integer: &DeInteger<'_>) -> String {
    let value = i128::from_str_radix(integer.as_str(), integer.radix());
    value.map_or_else(|_| integer.to_string(), |value| value.to_string())
}

/// `a, b or c`
fn or<S: AsRef<str>>(words: &[S]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
