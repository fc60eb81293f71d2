//! JSON documents: keys sorted, no white space, numbers in one spelling.
//!
//! Numbers are treated as text, since a 20-digit identifier inside a document must not lose digits
//! on its way through a binary float.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::Decimal;

/// Levels of nesting that are followed: what `serde_json` itself follows, so that no document
/// exhausts the stack.
const DEPTH_LIMIT: usize = 128;

/// Reads a number inside a document; `None` if it has too many digits.
type Numbers = fn(&str) -> Option<Decimal>;

/// The canonical text of a document. The error says what is wrong, to follow a colon.
pub(super) fn canonical(text: &str) -> Result<String, String> {
    document(text, Decimal::parse)
}

/// The same for a document that the database holds; `None` if this host can't read it, as when it
/// is nested too deeply.
pub(crate) fn held(text: &str) -> Option<String> {
    document(text, Decimal::parse_held).ok()
}

fn document(text: &str, numbers: Numbers) -> Result<String, String> {
    let mut canonical = String::with_capacity(text.len());
    let document: &RawValue =
        serde_json::from_str(text).map_err(|error| format!("it is no JSON ({error})"))?;
    write(document.get(), numbers, DEPTH_LIMIT, &mut canonical)?;
    Ok(canonical)
}

/// A text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn write(token: &str, numbers: Numbers, depth: usize, out: &mut String) -> Result<(), String> {
    let token = token.trim();
    let inner = || depth.checked_sub(1).ok_or_else(|| "it is nested too deeply".to_owned());
    match token.bytes().next() {
        Some(b'{') => write_object(token, numbers, inner()?, out),
        Some(b'[') => write_array(token, numbers, inner()?, out),
        Some(b'"') => write_string(&parsed::<String>(token)?, out),
        Some(b't' | b'f' | b'n') => {
            out.push_str(token);
            Ok(())
        }
        Some(_) | None => {
            let number = numbers(token)
                .ok_or("it holds a number of more than 1000 digits; write that as a string")?;
            out.push_str(&number.to_string());
            Ok(())
        }
    }
}

fn write_object(
    token: &str,
    numbers: Numbers,
    depth: usize,
    out: &mut String,
) -> Result<(), String> {
    out.push('{');
    for (index, (key, value)) in parsed::<BTreeMap<String, &RawValue>>(token)?.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(key, out)?;
        out.push(':');
        write(value.get(), numbers, depth, out)?;
    }
    out.push('}');
    Ok(())
}

fn write_array(
    token: &str,
    numbers: Numbers,
    depth: usize,
    out: &mut String,
) -> Result<(), String> {
    out.push('[');
    for (index, value) in parsed::<Vec<&RawValue>>(token)?.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(value.get(), numbers, depth, out)?;
    }
    out.push(']');
    Ok(())
}

fn write_string(text: &str, out: &mut String) -> Result<(), String> {
    if text.contains('\0') {
        return Err("it holds the character U+0000, which Postgres can't store".to_owned());
    }
    out.push_str(&quoted(text));
    Ok(())
}

fn parsed<'a, T: serde::Deserialize<'a>>(token: &'a str) -> Result<T, String> {
    serde_json::from_str(token).map_err(|error| format!("it is no JSON ({error})"))
}
