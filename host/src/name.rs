//! Names that are fit for the store: what a policy or a user calls a key or a tag, checked once.

use std::fmt;

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

impl Key {
    /// Writes it as a string of RFC 8941: ASCII in quotes, with `"` and `\` escaped. A key has no control
    /// characters; other characters than ASCII are left to the reader of the key's own escaping.
    pub fn push_quoted(&self, text: &mut String) {
        text.push('"');
        let key = self.as_str();
        if key.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
            text.push_str(key);
        } else {
            for character in key.chars() {
                match character {
                    '"' | '\\' => text.extend(['\\', character]),
                    ' '..='~' => text.push(character),
                    _ => text.push('?'),
                }
            }
        }
        text.push('"');
    }

    /// What no key comes before, for ranges over ordered maps.
    pub(crate) fn least() -> Self {
        Self("".into())
    }
}

checked_name!(Tag);
