//! Names that are fit for the store: keys and tags, which a policy or a user gives and which are checked
//! once, and what the host makes of them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::slot::HashSlot;

/// A store key that passed the guard: 1 to 512 bytes, no control character, space, `{` or `}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreKey(std::sync::Arc<str>);

/// A tag that passed the guard; the limits of a [`StoreKey`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreTag(std::sync::Arc<str>);

/// Longest key and tag, in bytes.
pub const NAME_LIMIT: usize = 512;

/// A name that can't be a key or a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The name is empty.
    #[error("it is empty")]
    Empty,
    /// The name has more than [`NAME_LIMIT`] bytes.
    #[error("it has {0} bytes, {NAME_LIMIT} are allowed")]
    TooLong(usize),
    /// The name has a character that the store's key layout reserves.
    #[error("it has {character:?} at byte {at}")]
    Character {
        /// The first such character.
        character: char,
        /// Its position, in bytes.
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
            /// [`InvalidName`] says what is wrong with the name.
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
checked_name!(StoreKey);

impl StoreKey {
    /// The key as it stands between the quotes of a string of RFC 8941: ASCII, with `"` and `\` escaped. A
    /// key has no control characters; every character beyond ASCII becomes a `?`.
    #[must_use]
    pub fn escaped(&self) -> Cow<'_, str> {
        let key = self.as_str();
        if key.bytes().all(|byte| PLAIN[usize::from(byte)]) {
            return Cow::Borrowed(key);
        }
        let mut text = String::with_capacity(key.len() + 8);
        for character in key.chars() {
            match character {
                '"' | '\\' => text.extend(['\\', character]),
                ' '..='~' => text.push(character),
                _ => text.push('?'),
            }
        }
        Cow::Owned(text)
    }
}

/// Whether a byte stands for itself in a string of RFC 8941; a table, since every answer has a key.
const PLAIN: [bool; 256] = {
    let (mut plain, mut byte) = ([false; 256], b' ');
    while byte <= b'~' {
        plain[byte as usize] = !matches!(byte, b'"' | b'\\');
        byte += 1;
    }
    plain
};

checked_name!(StoreTag);

impl StoreTag {
    /// The slot of the tag's index and mark.
    #[must_use]
    pub fn slot(&self) -> HashSlot {
        HashSlot::of(self.as_str())
    }
}

/// The number of the layout of what is stored. It is part of every name, so that hosts of two formats
/// never read each other's values.
pub const FORMAT: u32 = 1;

/// The prefix of every name and channel of one deployment: `corral:1:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(Arc<str>);

impl Prefix {
    /// The prefix made of an operator's text (`corral:`) and the format's number.
    ///
    /// # Errors
    /// [`InvalidName`] if no key can begin with the text.
    pub fn try_new(text: &str) -> Result<Self, InvalidName> {
        check_name(text)?;
        Ok(Self(format!("{text}{FORMAT}:").into()))
    }

    /// The prefix, with the format's number.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Prefix {
    /// `corral:`
    fn default() -> Self {
        Self(format!("corral:{FORMAT}:").into())
    }
}

/// What distinguishes two definitions of one entity: eight characters, which are part of the names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Arc<str>);

impl Digest {
    /// Five bits a character: 40 bits distinguish the definitions of one entity. If two definitions ever have
    /// the same digest, fingerprints still keep their values apart.
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

    /// The digest of these texts. Each is hashed after its length, so that two different lists are hashed
    /// differently.
    #[must_use]
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let hash = hashed(texts);
        let bits = hash.iter().take(5).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        let character = |at: u32| char::from(Self::ALPHABET[(bits >> (5 * at) & 31) as usize]);
        Self((0..8).rev().map(character).collect::<String>().into())
    }

    /// A digest that was read from the store; `None` if the text is none.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let legal = text.len() == 8 && text.bytes().all(|byte| Self::ALPHABET.contains(&byte));
        legal.then(|| Self(text.into()))
    }

    /// The eight characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 over texts, each after its length.
pub(crate) fn hashed<'a>(texts: impl IntoIterator<Item = &'a str>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

/// What the host calls a key in the store: prefix, format, the entity's digest, key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    text: Arc<str>,
    slot: HashSlot,
}

impl Name {
    fn of(text: Arc<str>) -> Self {
        let slot = HashSlot::of(&text);
        Self { text, slot }
    }

    /// The name of `key` under a definition of its entity.
    #[must_use]
    pub fn new(prefix: &Prefix, digest: &Digest, key: &StoreKey) -> Self {
        Self::of(format!("{}{digest}:{key}", prefix.0).into())
    }

    /// A name that was read from the store; `None` if it does not belong to this deployment.
    #[must_use]
    pub fn read(prefix: &Prefix, text: &str) -> Option<Self> {
        let (digest, key) = text.strip_prefix(&*prefix.0)?.split_once(':')?;
        let ours = Digest::read(digest).is_some() && StoreKey::try_new(key).is_ok();
        ours.then(|| Self::of(text.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The slot of the name, of its lease and of its body.
    #[must_use]
    pub fn slot(&self) -> HashSlot {
        self.slot
    }

    /// The first name in order, for ranges over ordered maps.
    pub(crate) fn least() -> Self {
        Self::of("".into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What ties a stored value to its read: 32 bits for the database, and 96 bits of a SHA-256 over the
/// definition and the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    const READ_BITS: u32 = 96;

    /// The fingerprint of a read without its database, from the first bits of a hash.
    #[must_use]
    pub fn of_read(bits: u128) -> Self {
        Self(bits >> (u128::BITS - Self::READ_BITS))
    }

    /// The fingerprint of the same read in this database.
    #[must_use]
    pub fn in_database(self, database: u32) -> Self {
        Self(u128::from(database) << Self::READ_BITS | self.0)
    }

    /// Whether both fingerprints belong to one database.
    #[must_use]
    pub fn is_of_the_database_of(self, other: Self) -> bool {
        self.0 >> Self::READ_BITS == other.0 >> Self::READ_BITS
    }
}

/// The identity of a policy for naming: its component and its own settings. Policies of one identity give
/// every read the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyId(u64);

impl PolicyId {
    /// The identity of a component (its digest) with its own settings.
    #[must_use]
    pub fn of(component: &str, settings: &str) -> Self {
        let hash = hashed([component, settings]);
        Self(hash.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
    }

    /// An identity that was read from the store; `None` if the text is none.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16).map(Self)
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Where a read's value lies, and what ties the value to the read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The name.
    pub name: Name,
    /// The fingerprint.
    pub fingerprint: Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_prefix_format_digest_and_key_and_is_read_back() {
        let (prefix, digest) = (Prefix::default(), Digest::of(["user", "SELECT 1"]));
        let name = Name::new(&prefix, &digest, &StoreKey::try_new("v1:user:42").unwrap());
        assert_eq!(name.as_str(), format!("corral:1:{digest}:v1:user:42"));
        assert_eq!(Name::read(&prefix, name.as_str()), Some(name.clone()));
        assert_eq!(Name::read(&Prefix::try_new("shop:").unwrap(), name.as_str()), None);
        assert_eq!(Name::read(&prefix, "corral:1:short:v1:user:42"), None);
    }

    #[test]
    fn two_lists_of_texts_have_one_digest_only_if_they_are_equal() {
        assert_eq!(Digest::of(["a", "b"]), Digest::of(["a", "b"]));
        assert_ne!(Digest::of(["ab", ""]), Digest::of(["a", "b"]));
        assert_eq!(Digest::of([]).as_str().len(), 8);
    }

    #[test]
    fn a_prefix_with_braces_is_refused() {
        assert!(Prefix::try_new("{a}:").is_err());
    }
}
