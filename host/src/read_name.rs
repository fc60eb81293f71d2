//! The name of a read inside a process: its entity and its parameters' values in one run of bytes, so that
//! what is remembered of the read is found with one hash and one comparison.

use sha2::{Digest as _, Sha256};

/// The length that stands for a null value; no value is so long.
const NULL: u32 = u32::MAX;

/// The size of a length.
const LENGTH: usize = size_of::<u32>();

/// The name of a read. Two reads have the same name exactly if they are of the same entity with the same
/// values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReadName(Box<[u8]>);

impl ReadName {
    /// The name of a read. The values are canonical and in the order of the entity's parameters; `None`
    /// stands for SQL's null.
    #[must_use]
    pub fn new<'a>(entity: &str, values: impl Iterator<Item = Option<&'a str>> + Clone) -> Self {
        let texts = values.clone().map(|value| LENGTH + value.map_or(0, str::len));
        let mut bytes = Vec::with_capacity(LENGTH + entity.len() + texts.sum::<usize>());
        push(&mut bytes, Some(entity));
        for value in values {
            push(&mut bytes, value);
        }
        Self(bytes.into_boxed_slice())
    }

    /// The entity and the values; `None` for a name that [`ReadName::new`] did not make.
    pub(crate) fn parts(&self) -> Option<(&str, Vec<Option<&str>>)> {
        let mut rest = &*self.0;
        let entity = pop(&mut rest)??;
        let mut values = Vec::new();
        while !rest.is_empty() {
            values.push(pop(&mut rest)?);
        }
        Some((entity, values))
    }

    /// SHA-256 over a seed and the name.
    pub(crate) fn hashed(&self, seed: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(seed).chain_update(&self.0).finalize().into()
    }

    /// The name's bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }
}

fn push(bytes: &mut Vec<u8>, text: Option<&str>) {
    let length = text.map_or(NULL, |text| u32::try_from(text.len()).unwrap_or(NULL - 1));
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
}

/// Takes the next text; `None` if the bytes end within a text, `Some(None)` for SQL's null.
fn pop<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a str>> {
    let (length, after) = rest.split_first_chunk()?;
    *rest = after;
    match u32::from_le_bytes(*length) {
        NULL => Some(None),
        length => {
            let (text, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            *rest = after;
            Some(Some(std::str::from_utf8(text).ok()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_that_look_alike_have_names_of_their_own() {
        let reads: [(&str, &[Option<&str>]); 7] = [
            ("user", &[]),
            ("user", &[None]),
            ("user", &[Some("")]),
            ("user", &[Some("a"), Some("b")]),
            ("user", &[Some("ab"), Some("")]),
            ("user", &[None, None]),
            ("usera", &[Some("b")]),
        ];
        let name = |(entity, values): (&str, &[Option<&str>])| {
            ReadName::new(entity, values.iter().copied())
        };
        for (at, read) in reads.into_iter().enumerate() {
            assert_eq!(name(read).parts(), Some((read.0, read.1.to_vec())));
            for other in &reads[..at] {
                assert_ne!(name(read), name(*other));
            }
        }
    }
}
