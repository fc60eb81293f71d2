//! Reads a JSON object (RFC 8259).
//!
//! Small on purpose: every byte of this crate is compiled anew with each exchange of a policy, and
//! a general library's reader would be half of the component. Settings are texts and numbers; a
//! nested value is checked and skipped. Numbers stay as they were written, so that a message can
//! quote them and no rounding is done twice.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Deepest nesting: the stack of a component is small.
const DEPTH_MAX: u32 = 32;

/// Most digits that are read of a fraction: below 2^53 and over at most 22 tens, one division rounds
/// correctly (W. D. Clinger, "How to Read Floating Point Numbers Accurately", 1990).
const DIGITS_MAX: usize = 15;

/// Largest exponent that is read as it is, since reading takes a step for each ten. A number beyond
/// it is larger than any setting, or too small to have an effect.
const TENS_MAX: u32 = 300;

/// A field's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum JsonValue<'t> {
    /// A text.
    Text(String),
    /// A number, as it was written.
    Number(&'t str),
    /// `null`, `true`, `false`, a list or an object, as it was written.
    Other(&'t str),
}

/// The fields of the object that `text` is, in their order.
///
/// # Errors
/// What was expected, and where.
pub(crate) fn object(text: &str) -> Result<Vec<(String, JsonValue<'_>)>, String> {
    let mut reader = JsonReader { text, at: 0 };
    let mut fields = Vec::new();
    reader.space();
    reader.fields(0, &mut |name, value| fields.push((name, value)))?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.expected("the end"));
    }
    Ok(fields)
}

impl JsonValue<'_> {
    /// A whole number without a sign, a point or an exponent.
    pub(crate) fn whole(&self) -> Option<u32> {
        self.number()?.parse().ok()
    }

    /// A number without a sign, with at most 15 digits before the point. Decimals after the 15th
    /// digit are left out.
    pub(crate) fn fraction(&self) -> Option<f64> {
        let number = self.number()?;
        let parts = number.split_once('e').or_else(|| number.split_once('E'));
        let (number, exponent) = parts.unwrap_or((number, "0"));
        let (exponent, is_small) = match exponent.strip_prefix('-') {
            Some(exponent) => (exponent, true),
            None => (exponent, false),
        };
        let tens = exponent.parse::<u32>().map_or(TENS_MAX, |tens| tens.min(TENS_MAX));
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let room = DIGITS_MAX.checked_sub(whole.len())?;
        let decimals = decimals.get(..room).unwrap_or(decimals);
        let mut digits = 0_u64;
        for byte in whole.bytes().chain(decimals.bytes()) {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            digits = digits * 10 + digit;
        }
        let (mut above, mut below) = (1.0_f64, 1.0_f64);
        for _ in decimals.bytes() {
            below *= 10.0;
        }
        let scale = if is_small { &mut below } else { &mut above };
        for _ in 0..tens {
            *scale *= 10.0;
        }
        Some(digits as f64 * above / below)
    }

    fn number(&self) -> Option<&str> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(_) | Self::Other(_) => None,
        }
    }
}

/// As an error message quotes the value.
impl fmt::Display for JsonValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "the text `{text}`"),
            Self::Number(written) | Self::Other(written) => f.write_str(written),
        }
    }
}

struct JsonReader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> JsonReader<'t> {
    fn value(&mut self, depth: u32) -> Result<JsonValue<'t>, String> {
        if depth > DEPTH_MAX {
            return Err(format!("nests deeper than {DEPTH_MAX} at byte {}", self.at));
        }
        self.space();
        let began = self.at;
        match self.peek() {
            Some(b'"') => return self.string().map(JsonValue::Text),
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                return Ok(JsonValue::Number(self.since(began)));
            }
            Some(b'{') => self.fields(depth, &mut |_, _| ())?,
            Some(b'[') => self.items(depth)?,
            Some(_) | None => self.word()?,
        }
        Ok(JsonValue::Other(self.since(began)))
    }

    fn fields(
        &mut self,
        depth: u32,
        field: &mut dyn FnMut(String, JsonValue<'t>),
    ) -> Result<(), String> {
        self.take(b'{', "`{`")?;
        self.space();
        let mut first = true;
        while !self.skip(b"}") {
            if !first {
                self.take(b',', "`,` or `}`")?;
                self.space();
            }
            first = false;
            let name = self.string()?;
            self.space();
            self.take(b':', "`:`")?;
            let value = self.value(depth + 1)?;
            field(name, value);
            self.space();
        }
        Ok(())
    }

    fn items(&mut self, depth: u32) -> Result<(), String> {
        self.take(b'[', "`[`")?;
        self.space();
        let mut first = true;
        while !self.skip(b"]") {
            if !first {
                self.take(b',', "`,` or `]`")?;
            }
            first = false;
            self.value(depth + 1)?;
            self.space();
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, String> {
        self.take(b'"', "a name or text in quotes")?;
        let mut text = String::new();
        let mut began = self.at;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    text.push_str(self.since(began));
                    text.push(self.escape()?);
                    began = self.at;
                }
                Some(0..=0x1F) | None => return Err(self.expected("`\"`")),
                Some(_) => self.at += 1,
            }
        }
        text.push_str(self.since(began));
        self.at += 1;
        Ok(text)
    }

    /// `\n` and its like, `\u00e9`, and the pairs that stand for characters of more than 16 bits.
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

    fn number(&mut self) -> Result<(), String> {
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
        Ok(())
    }

    fn digits(&mut self) -> Result<(), String> {
        if !self.skip(b"0123456789") {
            return Err(self.expected("a digit"));
        }
        while self.skip(b"0123456789") {}
        Ok(())
    }

    fn word(&mut self) -> Result<(), String> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let word = ["null", "true", "false"].into_iter().find(|word| rest.starts_with(word));
        self.at += word.ok_or_else(|| self.expected("a value"))?.len();
        Ok(())
    }

    fn space(&mut self) {
        while self.skip(b" \t\n\r") {}
    }

    /// Skips one byte if it is among these, and tells whether it did.
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
mod tests;
