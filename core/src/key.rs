//! Store keys, made by their named constructors and nowhere else.
//!
//! | kind | form |
//! |---|---|
//! | entity | `v1:user.profile:42`, one segment an argument, in declared order |
//! | entity, long | `v1:user.profile:~9f86…`, a digest in place of the arguments |
//! | ad-hoc query | `v1:~query:~2c26…`, a digest of statement, lifetime, tags and arguments |
//!
//! Two different requests never share a key: segments are injective and free of `:` and `~` (see
//! `escape`), the only segment with a `~` is null's, which has nothing after it, no entity's name
//! begins with `~`, and what is digested is canonical (see `digest`).

use alloc::string::{String, ToString};
use core::fmt;

use crate::digest::{self, Canonical};
use crate::{Tag, escape};

/// Longest key that spells its arguments out. Keys are repeated in leases, tag indexes and logs, so
/// a digest is cheaper than the text from about here on; and with everything else that a name can
/// hold it keeps a key far below the contract's 512 bytes.
const PLAIN_BYTES_MAX: usize = 256;

/// Most arguments that a key spells out; a key with more would not be readable anyway.
const PLAIN_ARGUMENTS_MAX: usize = 8;

/// Longest namespace, in bytes.
pub(crate) const NAMESPACE_BYTES_MAX: usize = 32;

/// Longest entity name, in bytes; the host enforces it.
const ENTITY_BYTES_MAX: usize = 64;

/// The contract's limit.
const KEY_BYTES_MAX: usize = 512;

const _: () = assert!(PLAIN_BYTES_MAX <= KEY_BYTES_MAX);
const _: () = assert!(
    NAMESPACE_BYTES_MAX + ":".len() + ENTITY_BYTES_MAX + ":~".len() + digest::HEX_BYTES
        <= KEY_BYTES_MAX
);

/// A store key: at most 512 bytes of ASCII without control characters, spaces and braces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// The key of an entity's read with these values, in the order in which the entity declares
    /// its parameters.
    pub(crate) fn entity(namespace: &str, entity: &str, values: &[Option<&str>]) -> Self {
        let mut key = String::with_capacity(PLAIN_BYTES_MAX);
        key.push_str(namespace);
        key.push(':');
        key.push_str(entity);
        let name_bytes = key.len();
        if values.len() <= PLAIN_ARGUMENTS_MAX && spell_out(&mut key, values) {
            return Self(key);
        }
        key.truncate(name_bytes);
        key.push_str(":~");
        let form = Canonical::of("corral:key:entity:1").text(entity);
        values.iter().fold(form, |form, value| form.value(*value)).write_hex(&mut key);
        Self(key)
    }

    /// The key of an ad-hoc query. Its lifetime and its tags are part of the request: a value that
    /// is kept for longer, or that another tag removes, does not answer it. `tags` are sorted,
    /// `arguments` are sorted by name.
    pub(crate) fn query(
        namespace: &str,
        (sql, ttl_ms): (&str, u32),
        tags: &[Tag],
        arguments: &[(&str, Option<&str>)],
    ) -> Self {
        let mut key = String::from(namespace);
        key.push_str(":~query:~");
        let form = Canonical::of("corral:key:query:2").text(sql);
        // With their number before them, no tag can be taken for the name of an argument.
        let form = form.text(&ttl_ms.to_string()).text(&tags.len().to_string());
        let form = tags.iter().fold(form, |form, tag| form.text(tag.as_str()));
        arguments
            .iter()
            .fold(form, |form, (name, value)| form.text(name).value(*value))
            .write_hex(&mut key);
        Self(key)
    }

    /// The same key behind a prefix of its own: `prefix:key`.
    #[must_use]
    pub fn under(self, prefix: &str) -> Self {
        let mut key = String::from(prefix);
        key.push(':');
        key.push_str(&self.0);
        Self(key)
    }

    /// A key that a policy spells by itself. Nothing is checked here; the host refuses to act on a
    /// key that is not legal or that two reads share.
    #[must_use]
    pub fn spelled(text: String) -> Self {
        Self(text)
    }

    /// The key as the store knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Appends a segment for each value; `false` if the key became longer than a plain key may be.
fn spell_out(key: &mut String, values: &[Option<&str>]) -> bool {
    values.iter().all(|value| {
        key.push(':');
        escape::push_segment(key, *value);
        key.len() <= PLAIN_BYTES_MAX
    })
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
