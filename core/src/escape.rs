//! How a value is written inside a name.
//!
//! The text that [`push_segment`] writes is one *segment*: it holds safe bytes and `%XX` alone, or
//! it is [`NULL`]. So a segment contains none of the bytes that names are put together with (`:`,
//! `~`), none that the store reserves (`{`, `}`, space, control characters), and two values never
//! have the same segment.

use alloc::string::String;

/// How null is written. Not a safe byte, so no text is ever written like this.
pub(crate) const NULL: char = '~';

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Whether a byte stands for itself: what identifiers, numbers, dates and mail addresses are made
/// of, so that the usual key reads like the usual argument.
pub(crate) fn is_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'+' | b'-')
}

/// Appends a value as every key and tag spells it; `None` is null and becomes `~`. Letters, digits
/// and `. _ @ + -` stand for themselves, every other byte of the UTF-8 text becomes `%XX`.
pub fn push_segment(out: &mut String, value: Option<&str>) {
    match value {
        Some(text) => escape(out, text),
        None => out.push(NULL),
    }
}

fn escape(out: &mut String, text: &str) {
    // Nearly every value is safe as a whole, and copied in one piece.
    if text.bytes().all(is_safe) {
        return out.push_str(text);
    }
    for byte in text.bytes() {
        if is_safe(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(hex_digit(byte >> 4));
            out.push(hex_digit(byte & 0xF));
        }
    }
}

fn hex_digit(nibble: u8) -> char {
    char::from(HEX[usize::from(nibble & 0xF)])
}

#[cfg(test)]
mod tests;
