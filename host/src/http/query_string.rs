//! Query strings (`application/x-www-form-urlencoded`), read strictly: bytes that are no UTF-8 are
//! refused by the name of their parameter. A reader that puts U+FFFD in their place makes one value
//! of all of them, and one key.

use std::borrow::Cow;

use crate::service::{InvalidArgument, RequestError};

/// Names and values, in the order in which they stand.
pub(super) type Pairs<'q> = Vec<(Cow<'q, str>, Cow<'q, str>)>;

/// As many parameters as most reads have.
const USUAL: usize = 4;

/// The parameters of a query string.
pub(super) fn pairs(query: &str) -> Result<Pairs<'_>, RequestError> {
    let (mut pairs, mut rest) = (Pairs::with_capacity(USUAL), query);
    while !rest.is_empty() {
        let pair;
        (pair, rest) = cut(rest, b'&');
        if !pair.is_empty() {
            let (name, value) = cut(pair, b'=');
            let named = decoded(name).ok_or_else(|| not_text(name, "its name"))?;
            let value = decoded(value).ok_or_else(|| not_text(&named, "its value"))?;
            pairs.push((named, value));
        }
    }
    Ok(pairs)
}

/// What stands before the first of these bytes, and what behind it. Of texts so short a plain loop is
/// the fastest search.
fn cut(text: &str, at: u8) -> (&str, &str) {
    match text.bytes().position(|byte| byte == at) {
        Some(place) => (&text[..place], &text[place + 1..]),
        None => (text, ""),
    }
}

fn not_text(name: &str, what: &str) -> RequestError {
    let problem = format!("{what} is no text: its bytes are no UTF-8");
    RequestError::Arguments(vec![InvalidArgument::new(name, problem)])
}

/// `None` if it is no UTF-8. A `%` without two digits after it stands for itself, as browsers have it.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    // Most have nothing to decode.
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, after) = match (first, after) {
            (b'+', after) => (b' ', after),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                (None, _) | (_, None) => (b'%', &rest[1..]),
            },
            (byte, after) => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn digit(hexadecimal: u8) -> Option<u8> {
    let digit = char::from(hexadecimal).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_text_is_read_as_the_url_standard_reads_it() {
        for query in [
            "",
            "&",
            "id=1",
            "id",
            "id=",
            "=",
            "=1",
            "a=1&b=2",
            "a=1&&b==2&",
            "ä=ö&a=1;2",
            "a%20b=+&c=%2B%26%3D",
            "a=%zz&b=%4&c=%&d=%%41",
            "%C3%A4=%e2%82%ac",
            "a=%EF%BF%BD%00",
        ] {
            let expected: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
            assert_eq!(pairs(query).unwrap(), expected, "{query}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused_by_the_name_of_its_parameter() {
        for (query, parameter) in [
            ("id=%FF", "id"),
            ("a=1&name=%E2%82&b=2", "name"),
            ("name=%C0%80", "name"),
            ("na%20me=%ED%A0%80", "na me"),
            ("n%FFme=1", "n%FFme"),
        ] {
            let Err(RequestError::Arguments(problems)) = pairs(query) else {
                panic!("{query} is taken")
            };
            assert_eq!(problems[0].parameter, parameter, "{query}");
        }
    }
}
