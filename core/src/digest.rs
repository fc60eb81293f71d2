//! Digests over a canonical form.
//!
//! Every field goes in with its length before it, and the first field names what kind of thing is
//! digested. So the bytes can be read back in one way only: two different things have different
//! bytes, and no query can be made to look like an entity's read. SHA-256 (FIPS 180-4), because the
//! arguments come from strangers and a collision would show one of them another one's answer.

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
mod tests {
    use super::*;

    #[test]
    fn moving_text_between_fields_changes_the_digest() {
        let ab_c = hex(Canonical::of("t").text("ab").text("c"));
        let a_bc = hex(Canonical::of("t").text("a").text("bc"));
        assert_ne!(ab_c, a_bc);
        assert_ne!(hex(Canonical::of("t").value(None)), hex(Canonical::of("t").value(Some(""))));
        assert_ne!(hex(Canonical::of("t").text("u")), hex(Canonical::of("tu")));
    }

    #[test]
    fn the_digest_is_sha_256_of_the_form() {
        // printf '\x01\0\0\0\0\0\0\0t' | sha256sum
        let expected = "0356cf916b28f80ef924c43c6d82dbb4fabb8f39026e841e5d77270d8c493162";
        assert_eq!(hex(Canonical::of("t")), expected);
        assert_eq!(expected.len(), HEX_BYTES);
    }

    fn hex(form: Canonical) -> String {
        let mut out = String::new();
        form.write_hex(&mut out);
        out
    }
}
