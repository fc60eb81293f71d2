//! Names that are fit for the store: what a policy or a user calls a key or a tag, checked once.

use std::fmt::{self, Write as _};

/// A store key that passed the guard: 1 to 512 bytes, no control character, space, `{` or `}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(std::sync::Arc<str>);

/// A tag that passed the guard; the limits of a [`Key`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(std::sync::Arc<str>);

/// Longest key and tag, in bytes.
pub const NAME_LIMIT: usize = 512;

/// A name that can't be a key or a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Empty.
    #[error("it is empty")]
    Empty,
    /// Over [`NAME_LIMIT`].
    #[error("it has {0} bytes, {NAME_LIMIT} are allowed")]
    TooLong(usize),
    /// A character that the store's key layout reserves.
    #[error("it has {character:?} at byte {at}")]
    Character {
        /// Which.
        character: char,
        /// Where.
        at: usize,
    },
}

fn check_name(name: &str) -> Result<(), InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Empty);
    }
    if name.len() > NAME_LIMIT {
        return Err(InvalidName::TooLong(name.len()));
    }
    match name.char_indices().find(|(_, c)| c.is_control() || matches!(c, ' ' | '{' | '}')) {
        Some((at, character)) => Err(InvalidName::Character { character, at }),
        None => Ok(()),
    }
}

macro_rules! checked_name {
    ($name:ident) => {
        impl $name {
            /// Checks a name that a policy or a user gave.
            ///
            /// # Errors
            /// [`InvalidName`] says what is wrong with it.
            pub fn try_new(name: &str) -> Result<Self, InvalidName> {
                check_name(name).map(|()| Self(name.into()))
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
checked_name!(Key);

/// A key as a string of RFC 8941.
struct Quoted<'a>(&'a Key);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.0.as_str();
        f.write_char('"')?;
        if key.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
            f.write_str(key)?;
            return f.write_char('"');
        }
        for character in key.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                ' '..='~' => f.write_char(character)?,
                _ => f.write_char('?')?,
            }
        }
        f.write_char('"')
    }
}

impl Key {
    /// As a string of RFC 8941: ASCII in quotes, with `"` and `\` escaped. A key has no control
    /// characters; other characters than ASCII are left to the reader of the key's own escaping.
    pub fn quoted(&self) -> impl fmt::Display {
        Quoted(self)
    }

    /// What no key comes before, for ranges over ordered maps.
    pub(crate) fn least() -> Self {
        Self("".into())
    }
}

checked_name!(Tag);
