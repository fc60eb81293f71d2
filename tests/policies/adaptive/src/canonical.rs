//! Texts in the one form that names are made of, on every host and in every language.

use sha2::{Digest as _, Sha256};

/// A value inside a name: safe bytes and `%XX` alone, or `~` for null, so no two share one.
pub fn segment(value: Option<&str>) -> String {
    let Some(text) = value else { return "~".into() };
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"._@+-".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

/// SHA-256 over fields with their lengths before them: moving text between fields changes it.
pub struct Digest(Sha256);

impl Digest {
    pub fn of(domain: &str) -> Self {
        Self(Sha256::new()).text(domain)
    }

    pub fn text(mut self, text: &str) -> Self {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
        self
    }

    pub fn value(mut self, value: Option<&str>) -> Self {
        self.0.update([u8::from(value.is_some())]);
        match value {
            Some(text) => self.text(text),
            None => self,
        }
    }

    pub fn hex(self) -> String {
        self.0
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}
