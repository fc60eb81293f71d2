//! From any spelling of a value to its canonical text.
//!
//! The text is that of the value and not of its type: the numbers 10, 10.00 and 1e1 are `10` as
//! `int8`, as `numeric` and as `float8`. A `float4` has its own shortest digits, so 0.1 is `0.1`
//! there too although no other type holds that very number.

use std::num::ParseIntError;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike, Utc};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Decimal, Element, InvalidValue, ParamType, json, refused};

/// The canonical text of what `text` spells as a `ty`.
pub(super) fn of_text(ty: ParamType, text: &str) -> Result<String, InvalidValue> {
    let trimmed = trimmed(text);
    match ty {
        ParamType::Text => plain(text),
        ParamType::Bool => boolean(trimmed),
        ParamType::Int2 => integer(ty, trimmed, i16::MIN.into(), i16::MAX.into()),
        ParamType::Int4 => integer(ty, trimmed, i32::MIN.into(), i32::MAX.into()),
        ParamType::Int8 => integer(ty, trimmed, i64::MIN, i64::MAX),
        ParamType::Float4 => float4(trimmed),
        ParamType::Float8 => float8(trimmed),
        ParamType::Numeric => numeric(trimmed),
        ParamType::Uuid => uuid(trimmed),
        ParamType::Date => date(trimmed),
        ParamType::Timestamp => timestamp(trimmed),
        ParamType::TimestampTz => timestamptz(trimmed),
        ParamType::Json | ParamType::Jsonb => {
            json::canonical(text).map_err(|reason| refused(ty, text, &reason))
        }
        ParamType::Bytea => bytea(trimmed),
        ParamType::Array(element) => array(element, text),
    }
}

/// The text without white space around it. Most texts have none, and two bytes show that sooner
/// than `trim` does.
fn trimmed(text: &str) -> &str {
    match text.as_bytes() {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim(),
    }
}

/// The canonical text of an array of elements' canonical texts.
pub(super) fn array_of<I>(element: Element, items: I) -> Result<String, InvalidValue>
where
    I: Iterator<Item = Result<Option<String>, InvalidValue>>,
{
    let mut text = String::from("[");
    for (index, item) in items.enumerate() {
        let item = item.map_err(|error| {
            InvalidValue(format!("element {position}: {error}", position = index + 1))
        })?;
        if index > 0 {
            text.push(',');
        }
        push_item(&mut text, element, item.as_deref());
    }
    text.push(']');
    Ok(text)
}

/// Appends an element's canonical text as an array's text has it; `None` is SQL's null.
pub(crate) fn push_item(text: &mut String, element: Element, item: Option<&str>) {
    match item {
        Some(bare) if element.is_bare_in_json() => text.push_str(bare),
        Some(quoted) => text.push_str(&json::quoted(quoted)),
        None => text.push_str("null"),
    }
}

/// The elements of an array's text, as their own texts; `None` for SQL's null.
///
/// # Errors
/// The text is no JSON array.
pub(crate) fn elements(array: &str) -> Result<Vec<Option<String>>, serde_json::Error> {
    let tokens: Vec<&RawValue> = serde_json::from_str(array)?;
    tokens.iter().map(|token| element_text(token.get())).collect()
}

/// The bytes of a `bytea`'s text, `\x…`.
///
/// # Errors
/// The text is no hexadecimal digits.
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>, ParseIntError> {
    let digits = text.strip_prefix("\\x").unwrap_or(text);
    let byte = |start: usize| u8::from_str_radix(&digits[start..start + 2], 16);
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn element_text(token: &str) -> Result<Option<String>, serde_json::Error> {
    match token {
        "null" => Ok(None),
        quoted if quoted.starts_with('"') => serde_json::from_str(quoted).map(Some),
        bare => Ok(Some(bare.to_owned())),
    }
}

fn array(element: Element, text: &str) -> Result<String, InvalidValue> {
    let ty = ParamType::Array(element);
    let expected = "write a JSON array, such as [1,2] or [\"a\",null]";
    let tokens: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|_| refused(ty, text, expected))?;
    let item = |token: &&RawValue| {
        let token = token.get();
        if element == Element::Text && token != "null" && !token.starts_with('"') {
            return Err(refused(element.scalar(), token, "write a JSON string"));
        }
        let text = element_text(token).map_err(|_| refused(ty, text, expected))?;
        text.map(|text| of_text(element.scalar(), &text)).transpose()
    };
    array_of(element, tokens.iter().map(item))
}

fn plain(text: &str) -> Result<String, InvalidValue> {
    if text.contains('\0') {
        let expected = "it holds the character U+0000, which Postgres can't store";
        return Err(refused(ParamType::Text, text, expected));
    }
    Ok(text.to_owned())
}

fn boolean(text: &str) -> Result<String, InvalidValue> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok("true".to_owned()),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok("false".to_owned()),
        _ => Err(refused(ParamType::Bool, text, "write true or false")),
    }
}

fn integer(ty: ParamType, text: &str, least: i64, most: i64) -> Result<String, InvalidValue> {
    match text.parse::<i64>() {
        Ok(number) if (least..=most).contains(&number) => {
            Ok(itoa::Buffer::new().format(number).to_owned())
        }
        Ok(_) | Err(_) => {
            let expected = format!("write a whole number from {least} to {most}");
            Err(refused(ty, text, &expected))
        }
    }
}

const FINITE: &str = "write a finite number in its range, such as 1.5 or 2e10";

fn float4(text: &str) -> Result<String, InvalidValue> {
    match text.parse::<f32>() {
        Ok(0.0) if is_zero(text) => Ok("0".to_owned()),
        Ok(number) if number.is_finite() && number != 0.0 => Ok(number.to_string()),
        Ok(_) | Err(_) => Err(refused(ParamType::Float4, text, FINITE)),
    }
}

fn float8(text: &str) -> Result<String, InvalidValue> {
    match text.parse::<f64>() {
        Ok(0.0) if is_zero(text) => Ok("0".to_owned()),
        Ok(number) if number.is_finite() && number != 0.0 => Ok(number.to_string()),
        Ok(_) | Err(_) => Err(refused(ParamType::Float8, text, FINITE)),
    }
}

/// Whether the number is zero as written, and not only rounded to zero.
fn is_zero(number: &str) -> bool {
    let mantissa = number.split(['e', 'E']).next().unwrap_or(number);
    !mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

fn numeric(text: &str) -> Result<String, InvalidValue> {
    let expected = "write a decimal number, such as -12.34, of at most 1000 digits on either side of the point";
    Decimal::parse(text)
        .map(|number| number.to_string())
        .ok_or_else(|| refused(ParamType::Numeric, text, expected))
}

fn uuid(text: &str) -> Result<String, InvalidValue> {
    let expected = "write 32 hexadecimal digits, such as 6f1c9a52-0d5e-4f5b-8a3e-2b7f6f0c1d2e";
    Uuid::parse_str(text)
        .map(|uuid| uuid.hyphenated().to_string())
        .map_err(|_| refused(ParamType::Uuid, text, expected))
}

fn date(text: &str) -> Result<String, InvalidValue> {
    let expected = "write a day from 0001-01-01 to 9999-12-31";
    let refused = || refused(ParamType::Date, text, expected);
    match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(date) => day(&date).ok_or_else(refused),
        Err(_) => Err(refused()),
    }
}

/// The text of a day; `None` if its year is not one of 1 to 9999, which ISO 8601 writes with four
/// digits.
pub(crate) fn day(date: &NaiveDate) -> Option<String> {
    (1..=9999).contains(&date.year()).then(|| date.format("%Y-%m-%d").to_string())
}

/// The text of a moment without a zone, to the microsecond; `None` as for [`day`].
pub(crate) fn moment(time: &NaiveDateTime) -> Option<String> {
    day(&time.date()).map(|day| format!("{day}T{}", time.format("%H:%M:%S%.6f")))
}

fn timestamp(text: &str) -> Result<String, InvalidValue> {
    let expected = "write date and time without a zone, such as 2024-05-01T12:00:00.123456";
    let refused = || refused(ParamType::Timestamp, text, expected);
    let iso = with_separator(text);
    let time = NaiveDateTime::parse_from_str(&iso, "%Y-%m-%dT%H:%M:%S%.f")
        .or_else(|_| NaiveDateTime::parse_from_str(&iso, "%Y-%m-%dT%H:%M"))
        .map_err(|_| refused())?;
    moment(&time).filter(|_| is_whole_micros(&time, text)).ok_or_else(refused)
}

fn timestamptz(text: &str) -> Result<String, InvalidValue> {
    let expected = "write date, time and offset, such as 2024-05-01T12:00:00.123456Z or \
                    2024-05-01T14:00:00+02:00 (in a URL, + is written %2B)";
    let refused = || refused(ParamType::TimestampTz, text, expected);
    let mut iso = with_separator(text);
    if iso.ends_with(['Z', 'z']) {
        iso.truncate(iso.len() - 1);
        iso.push_str("+00:00");
    }
    let time = DateTime::parse_from_str(&iso, "%Y-%m-%dT%H:%M:%S%.f%#z").map_err(|_| refused())?;
    let utc = time.with_timezone(&Utc).naive_utc();
    let moment = moment(&utc).filter(|_| is_whole_micros(&utc, text)).ok_or_else(refused)?;
    Ok(format!("{moment}Z"))
}

/// SQL writes a space between date and time where ISO 8601 has a `T`.
fn with_separator(text: &str) -> String {
    let after_date = text.get(..10).zip(text.get(11..));
    match after_date {
        Some((date, time)) if matches!(text.as_bytes()[10], b' ' | b't') => {
            format!("{date}T{time}")
        }
        Some(_) | None => text.to_owned(),
    }
}

/// Postgres keeps microseconds and has no leap seconds; anything finer would be rounded there, and
/// the key would name another moment than the statement.
fn is_whole_micros(time: &NaiveDateTime, text: &str) -> bool {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let is_leap_second = time.nanosecond() >= 1_000_000_000;
    !is_leap_second && fraction[..digits].trim_end_matches('0').len() <= 6
}

fn bytea(text: &str) -> Result<String, InvalidValue> {
    let digits = text.strip_prefix("\\x").or_else(|| text.strip_prefix("\\X"));
    match digits {
        Some(hex) if hex.len() % 2 == 0 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(format!("\\x{}", hex.to_ascii_lowercase()))
        }
        Some(_) | None => {
            Err(refused(ParamType::Bytea, text, "write \\x and pairs of hexadecimal digits"))
        }
    }
}
