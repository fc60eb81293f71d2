//! Tags: names that many keys share and by which they are invalidated together.

use alloc::string::String;
use core::fmt;

use crate::digest::{self, Canonical};
use crate::push_segment;

/// Longest tag that is kept as it was rendered. Tags are members of names in the store and travel
/// with every invalidation, so long ones are shortened well below the contract's 512 bytes.
const PLAIN_BYTES_MAX: usize = 192;

/// How much of a shortened tag stays readable: as much as makes it one byte longer than any plain
/// tag, so that the two are never equal. (Where the cut would split a character, which only a
/// template's literal text can hold, a shortened tag is as short as a plain one and differs by its
/// digest.)
const KEPT_BYTES: usize = PLAIN_BYTES_MAX + 1 - "~".len() - digest::HEX_BYTES;

/// A tag: at most 512 bytes of text without control characters, spaces and braces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// The tag that a template rendered: `text` as it is or, if it is longer than 192 bytes, its
    /// beginning and a digest. The tag depends on the text alone, so a read and a write give the
    /// same tag even if their templates differ in the names of their parameters.
    ///
    /// `text` is a template's literal text with each value in its place as [`push_segment`] spells
    /// it; nothing is checked here.
    ///
    /// [`push_segment`]: crate::push_segment
    #[must_use]
    pub fn rendered(mut text: String) -> Self {
        if text.len() > PLAIN_BYTES_MAX {
            let digest = Canonical::of("corral:tag:1").text(&text);
            text.truncate(text.floor_char_boundary(KEPT_BYTES));
            text.push('~');
            digest.write_hex(&mut text);
        }
        Self(text)
    }

    /// The tag `name:value`, with the value as every key and tag spells it.
    #[must_use]
    pub fn with(name: &str, value: Option<&str>) -> Self {
        let mut text = String::from(name);
        text.push(':');
        push_segment(&mut text, value);
        Self::rendered(text)
    }

    /// A tag that a caller chose; the host has checked it.
    pub(crate) fn given(text: &str) -> Self {
        Self(String::from(text))
    }

    /// The tag as the store knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
