//! Digests over a canonical form.
//!
//! Every field goes in with its length before it, and the first field names what kind of thing is
//! digested. So the bytes can be read back in one way only: two different things have different
//! bytes, and no query can be made to look like an entity's read. SHA-256 (FIPS 180-4), because
//! arguments come from untrusted callers and a collision would give one caller another caller's
//! answer.

use alloc::string::String;

use sha2::{Digest, Sha256};

/// Length of a digest in lower-case hexadecimal.
pub(crate) const HEX_BYTES: usize = 64;

/// A canonical form that is being digested.
pub(crate) struct Canonical(Sha256);

impl Canonical {
    /// Begins the form of one kind of thing.
    pub(crate) fn of(domain: &str) -> Self {
        Self(Sha256::new()).text(domain)
    }

    /// Adds a text.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
        self
    }

    /// Adds a value, where `None` is null.
    pub(crate) fn value(mut self, value: Option<&str>) -> Self {
        self.0.update([u8::from(value.is_some())]);
        match value {
            Some(text) => self.text(text),
            None => self,
        }
    }

    /// Appends the digest in lower-case hexadecimal.
    pub(crate) fn write_hex(self, out: &mut String) {
        for byte in self.0.finalize() {
            for nibble in [byte >> 4, byte & 0xF] {
                out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
    }
}

#[cfg(test)]
mod tests;
