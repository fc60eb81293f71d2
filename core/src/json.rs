//! Reads JSON (RFC 8259) into values that borrow from the text.
//!
//! Small on purpose: every byte of this crate is compiled anew with each exchange of a policy, and
//! a general library's reader would be half of the component. It keeps what settings need: numbers
//! stay as they were written, so that a message can quote them and no rounding is done twice.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Deepest nesting: settings need five levels, and the stack of a component is small.
const DEPTH_MAX: u32 = 32;

/// Most digits of a fraction: below 2^53 with at most 22 of them behind the point, one division
/// rounds correctly (W. D. Clinger, "How to Read Floating Point Numbers Accurately", 1990).
const DIGITS_MAX: usize = 15;

/// A value and its text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Value<'t> {
    text: &'t str,
    kind: Kind<'t>,
}

/// The fields of an object, sorted by name. A list will do: the host writes what there is much of,
/// the entities, in this order, so that each goes to the end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object<'t>(Vec<(Cow<'t, str>, Value<'t>)>);

#[derive(Debug, Clone, PartialEq)]
enum Kind<'t> {
    /// `null`, `true`, `false`: nothing here asks which.
    Word,
    Number,
    Text(Cow<'t, str>),
    List(Vec<Value<'t>>),
    Object(Object<'t>),
}

/// Reads a whole text.
///
/// # Errors
/// What was expected, and where.
pub(crate) fn parse(text: &str) -> Result<Value<'_>, String> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.expected("the end"));
    }
    Ok(value)
}

impl<'t> Value<'t> {
    pub(crate) fn object(&self) -> Option<&Object<'t>> {
        match &self.kind {
            Kind::Object(fields) => Some(fields),
            Kind::Word | Kind::Number | Kind::Text(_) | Kind::List(_) => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            Kind::Word | Kind::Number | Kind::Text(_) | Kind::Object(_) => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            Kind::Word | Kind::Number | Kind::List(_) | Kind::Object(_) => None,
        }
    }

    /// A whole number without a sign, a point or an exponent.
    pub(crate) fn whole(&self) -> Option<u32> {
        matches!(self.kind, Kind::Number).then(|| self.text.parse().ok()).flatten()
    }

    /// A number without a sign or an exponent, of at most 15 digits.
    pub(crate) fn fraction(&self) -> Option<f64> {
        if !matches!(self.kind, Kind::Number) {
            return None;
        }
        let (whole, decimals) = self.text.split_once('.').unwrap_or((self.text, ""));
        if whole.len() + decimals.len() > DIGITS_MAX {
            return None;
        }
        let (mut digits, mut scale) = (0_u64, 1_u64);
        for byte in whole.bytes().chain(decimals.bytes()) {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            digits = digits * 10 + digit;
        }
        for _ in decimals.bytes() {
            scale *= 10;
        }
        Some(digits as f64 / scale as f64)
    }
}

impl<'t> Object<'t> {
    pub(crate) fn get(&self, name: &str) -> Option<&Value<'t>> {
        let index = self.find(name).ok()?;
        self.0.get(index).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value<'t>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// Where the field stands or, with an error, where it would.
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_ref().cmp(name))
    }
}

/// As it was written.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn value(&mut self, depth: u32) -> Result<Value<'t>, String> {
        if depth > DEPTH_MAX {
            return Err(format!("nests deeper than {DEPTH_MAX} at byte {}", self.at));
        }
        self.space();
        let began = self.at;
        let kind = match self.peek() {
            Some(b'{') => Kind::Object(self.fields(depth)?),
            Some(b'[') => Kind::List(self.items(depth)?),
            Some(b'"') => Kind::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) | None => self.word()?,
        };
        Ok(Value { text: self.since(began), kind })
    }

    fn fields(&mut self, depth: u32) -> Result<Object<'t>, String> {
        let mut fields = Object(Vec::new());
        self.take(b'{', "`{`")?;
        self.space();
        while self.peek() != Some(b'}') {
            if !fields.0.is_empty() {
                self.take(b',', "`,` or `}`")?;
                self.space();
            }
            let at = self.at;
            let name = self.string()?;
            self.space();
            self.take(b':', "`:`")?;
            let value = self.value(depth + 1)?;
            match fields.find(&name) {
                Ok(_) => return Err(format!("has the name `{name}` a second time at byte {at}")),
                Err(index) => fields.0.insert(index, (name, value)),
            }
            self.space();
        }
        self.at += 1;
        Ok(fields)
    }

    fn items(&mut self, depth: u32) -> Result<Vec<Value<'t>>, String> {
        let mut items = Vec::new();
        self.take(b'[', "`[`")?;
        self.space();
        while self.peek() != Some(b']') {
            if !items.is_empty() {
                self.take(b',', "`,` or `]`")?;
            }
            items.push(self.value(depth + 1)?);
            self.space();
        }
        self.at += 1;
        Ok(items)
    }

    fn string(&mut self) -> Result<Cow<'t, str>, String> {
        self.take(b'"', "a name or text in quotes")?;
        let mut began = self.at;
        let mut unescaped = String::new();
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    unescaped.push_str(self.since(began));
                    unescaped.push(self.escape()?);
                    began = self.at;
                }
                Some(0..=0x1F) | None => return Err(self.expected("`\"`")),
                Some(_) => self.at += 1,
            }
        }
        let rest = self.since(began);
        self.at += 1;
        if unescaped.is_empty() {
            return Ok(Cow::Borrowed(rest));
        }
        unescaped.push_str(rest);
        Ok(Cow::Owned(unescaped))
    }

    /// `\n` and its like, `\u00e9`, and the pairs that stand for what needs more than 16 bits.
    fn escape(&mut self) -> Result<char, String> {
        const ESCAPES: [(u8, char); 8] = [
            (b'"', '"'),
            (b'\\', '\\'),
            (b'/', '/'),
            (b'b', '\u{8}'),
            (b'f', '\u{c}'),
            (b'n', '\n'),
            (b'r', '\r'),
            (b't', '\t'),
        ];
        self.at += 1;
        let letter = self.peek();
        if let Some((_, meant)) = ESCAPES.iter().find(|(escape, _)| Some(*escape) == letter) {
            self.at += 1;
            return Ok(*meant);
        }
        let mut code = self.unit()?;
        if let high @ 0xD800..=0xDBFF = code {
            self.take(b'\\', "the second half of a pair")?;
            let low = self.unit()?;
            let low = low.checked_sub(0xDC00).filter(|low| *low < 0x400);
            let low = low.ok_or_else(|| self.expected("the second half of a pair"))?;
            code = 0x10000 + ((high - 0xD800) << 10) + low;
        }
        char::from_u32(code).ok_or_else(|| self.expected("a character"))
    }

    fn unit(&mut self) -> Result<u32, String> {
        self.take(b'u', "an escape")?;
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<Kind<'t>, String> {
        self.skip(b"-");
        let began = self.at;
        self.digits()?;
        if self.at > began + 1 && self.text.as_bytes().get(began) == Some(&b'0') {
            self.at = began;
            return Err(self.expected("a number without leading zeros"));
        }
        if self.skip(b".") {
            self.digits()?;
        }
        if self.skip(b"eE") {
            self.skip(b"+-");
            self.digits()?;
        }
        Ok(Kind::Number)
    }

    fn digits(&mut self) -> Result<(), String> {
        if !self.skip(b"0123456789") {
            return Err(self.expected("a digit"));
        }
        while self.skip(b"0123456789") {}
        Ok(())
    }

    fn word(&mut self) -> Result<Kind<'t>, String> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let word = ["null", "true", "false"].into_iter().find(|word| rest.starts_with(word));
        self.at += word.ok_or_else(|| self.expected("a value"))?.len();
        Ok(Kind::Word)
    }

    fn space(&mut self) {
        while self.skip(b" \t\n\r") {}
    }

    /// Skips one byte of these.
    fn skip(&mut self, of: &[u8]) -> bool {
        let found = self.peek().is_some_and(|byte| of.contains(&byte));
        self.at += usize::from(found);
        found
    }

    fn take(&mut self, byte: u8, what: &str) -> Result<(), String> {
        if self.skip(&[byte]) { Ok(()) } else { Err(self.expected(what)) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn since(&self, began: usize) -> &'t str {
        self.text.get(began..self.at).unwrap_or_default()
    }

    fn expected(&self, what: &str) -> String {
        format!("lacks {what} at byte {}", self.at)
    }
}

#[cfg(test)]
#[path = "json/tests.rs"]
mod tests;
