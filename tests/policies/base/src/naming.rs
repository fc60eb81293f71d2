//! Keys and tags, in the default policy's form: segments that are injective and free of what names
//! are put together with, and a digest in place of what is too long.

use alloc::string::{String, ToString};

use sha2::{Digest, Sha256};

use crate::Query;

const KEY_PLAIN_BYTES: usize = 256;
const KEY_PLAIN_ARGUMENTS: usize = 8;
const TAG_PLAIN_BYTES: usize = 192;
const HEX_BYTES: usize = 64;

pub(crate) fn key(namespace: &str, entity: &str, values: &[Option<&str>]) -> String {
    let mut key = String::from(namespace);
    key.push(':');
    key.push_str(entity);
    let name_bytes = key.len();
    let plain = values.len() <= KEY_PLAIN_ARGUMENTS
        && values.iter().all(|value| {
            key.push(':');
            segment(&mut key, *value);
            key.len() <= KEY_PLAIN_BYTES
        });
    if !plain {
        key.truncate(name_bytes);
        key.push_str(":~");
        let form = Canonical::of("corral:key:entity:1").text(entity);
        values.iter().fold(form, |form, value| form.value(*value)).write_hex(&mut key);
    }
    key
}

/// Of an ad-hoc query, with its arguments sorted by name.
pub(crate) fn query_key(
    namespace: &str,
    query: &Query,
    tags: &[String],
    sorted: &[(&str, Option<&str>)],
) -> String {
    let mut key = String::from(namespace);
    key.push_str(":~query:~");
    let form = Canonical::of("corral:key:query:2").text(&query.sql);
    let form = form.text(&query.ttl_ms.to_string()).text(&tags.len().to_string());
    let form = tags.iter().fold(form, |form, tag| form.text(tag));
    let arguments = sorted.iter();
    arguments.fold(form, |form, (name, value)| form.text(name).value(*value)).write_hex(&mut key);
    key
}

/// A tag that a template rendered.
pub(crate) fn tag(mut text: String) -> String {
    if text.len() > TAG_PLAIN_BYTES {
        let digest = Canonical::of("corral:tag:1").text(&text);
        text.truncate(TAG_PLAIN_BYTES + 1 - "~".len() - HEX_BYTES);
        text.push('~');
        digest.write_hex(&mut text);
    }
    text
}

/// Appends a value; null is `~`, which no text is written as.
pub(crate) fn segment(out: &mut String, value: Option<&str>) {
    let Some(text) = value else {
        out.push('~');
        return;
    };
    let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble & 0xF)]);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'+' | b'-') {
            out.push(char::from(byte));
        } else {
            out.extend(['%', digit(byte >> 4), digit(byte)]);
        }
    }
}

/// A canonical form that is being digested: every field with its length before it.
struct Canonical(Sha256);

impl Canonical {
    fn of(domain: &str) -> Self {
        Self(Sha256::new()).text(domain)
    }

    fn text(mut self, text: &str) -> Self {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
        self
    }

    fn value(mut self, value: Option<&str>) -> Self {
        self.0.update([u8::from(value.is_some())]);
        match value {
            Some(text) => self.text(text),
            None => self,
        }
    }

    fn write_hex(self, out: &mut String) {
        for byte in self.0.finalize() {
            for nibble in [byte >> 4, byte & 0xF] {
                out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
    }
}
