//! A stored value with its metadata: a short versioned binary header and then the body as JSON text.
//!
//! | offset | bytes | content (little-endian) |
//! |---|---|---|
//! | 0 | 2 | [`PREFIX`]: magic and version |
//! | 2 | 8 | `loaded_at_ms`; the `claim` script reads it here, right behind the prefix |
//! | 10 | 8 | `refresh_at_ms` |
//! | 18 | 8 | `fresh_until_ms` |
//! | 26 | 8 | `stale_until_ms` |
//! | 34 | 8 | `generation` |
//! | 42 | 4 | `cost_ms` |
//! | 46 | 16 | `etag` |
//! | 62 | 16 | `fingerprint` |
//! | 78 | 8 | `stamp.epoch` |
//! | 86 | 8 | `stamp.word` |
//! | 94 | 1 | flags: [`NO_ROW`], [`APART`], [`TAGGED`] |
//! | 95 | 8 | length of the body |
//! | 103 | 2 + 2 n | if [`TAGGED`]: the number of slots, and the slots |
//! | … | … | the body |

use bytes::{Buf, BufMut, Bytes};

use super::{Epoch, HashSlot};
use crate::name::Fingerprint;

/// Magic, then the version of the layout. The magic byte never begins UTF-8 text, so no JSON or plain string
/// that another program wrote under the name passes for an envelope.
pub(super) const PREFIX: [u8; 2] = [0xCB, 3];

/// Flag: the origin has no such row; the body is empty.
const NO_ROW: u8 = 1;

/// Flag: this is the header alone; the body lies under a name of its own, behind the 16 bytes of its `etag`.
const APART: u8 = 2;

/// Flag: the value's tags lie in the slots that follow the header.
const TAGGED: u8 = 4;

const HEADER_BYTES: usize = 103;

/// What was in force when a value's load began. A value is believed while its whole stamp is still in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The epoch of the node that granted the lease, mixed with those of the nodes that keep the value's
    /// range and its tags where these are other nodes.
    pub epoch: Epoch,
    /// One word for the floors; never 0.
    pub word: u64,
}

impl Stamp {
    /// The word of two floors.
    #[must_use]
    pub fn word(floors: [u64; 2]) -> u64 {
        floors.into_iter().fold(0, mixed).max(1)
    }
}

impl Epoch {
    /// This epoch together with another one.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(mixed(self.0, other.0))
    }
}

/// Mixes two numbers, by the finalizer of SplitMix64 (Steele, Lea and Flood 2014).
fn mixed(state: u64, number: u64) -> u64 {
    let mut mixed = state.wrapping_add(number).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A stored value. Times are the store's clock, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// When the value was loaded: its load began at this moment or later.
    pub loaded_at_ms: u64,
    /// From when on a hit refreshes the value in the background; never past `fresh_until_ms`.
    pub refresh_at_ms: u64,
    /// Until when the value is fresh.
    pub fresh_until_ms: u64,
    /// Until when the value is kept, and may be answered stale.
    pub stale_until_ms: u64,
    /// What the load cost.
    pub cost_ms: u32,
    /// The generation that decided the lifetime, as numbered by the host that filled the value.
    pub generation: u64,
    /// A digest of the body, for `ETag`; computed once, when the value is filled.
    pub etag: u128,
    /// The fingerprint of the read that the value answers.
    pub fingerprint: Fingerprint,
    /// What was in force when the value's load began.
    pub stamp: Stamp,
    /// The slots of the value's tags, whose nodes' epochs are part of the stamp; empty where one node has
    /// all slots.
    pub tag_slots: Vec<HashSlot>,
    /// The value as JSON text; `None` if the origin has no such row.
    pub body: Option<Bytes>,
}

/// Bytes that are no envelope of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an envelope of this version")]
pub struct Unreadable;

impl Envelope {
    /// The bytes to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = self.body.as_deref().unwrap_or_default();
        let mut bytes = self.header(if self.body.is_none() { NO_ROW } else { 0 });
        bytes.extend_from_slice(body);
        bytes
    }

    /// The bytes to store for a large value: the header, and the body behind its `etag`.
    pub(super) fn encode_apart(&self) -> (Vec<u8>, Vec<u8>) {
        let body = self.body.as_deref().unwrap_or_default();
        let mut apart = Vec::with_capacity(size_of::<u128>() + body.len());
        apart.put_u128_le(self.etag);
        apart.extend_from_slice(body);
        (self.header(APART), apart)
    }

    fn header(&self, flags: u8) -> Vec<u8> {
        let body = self.body.as_deref().unwrap_or_default();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.put_slice(&PREFIX);
        bytes.put_u64_le(self.loaded_at_ms);
        bytes.put_u64_le(self.refresh_at_ms);
        bytes.put_u64_le(self.fresh_until_ms);
        bytes.put_u64_le(self.stale_until_ms);
        bytes.put_u64_le(self.generation);
        bytes.put_u32_le(self.cost_ms);
        bytes.put_u128_le(self.etag);
        bytes.put_u128_le(self.fingerprint.0);
        bytes.put_u64_le(self.stamp.epoch.0);
        bytes.put_u64_le(self.stamp.word);
        let tagged = if self.tag_slots.is_empty() { 0 } else { TAGGED };
        bytes.put_u8(flags | tagged);
        bytes.put_u64_le(body.len() as u64);
        if tagged != 0 {
            // A value has far fewer tags than there are slots.
            bytes.put_u16_le(u16::try_from(self.tag_slots.len()).unwrap_or(u16::MAX));
            self.tag_slots.iter().for_each(|slot| bytes.put_u16_le(slot.number()));
        }
        bytes
    }

    /// Reads what [`Envelope::encode`] wrote. The body shares `bytes`.
    ///
    /// # Errors
    /// [`Unreadable`] if the bytes are of another version, cut short, written by another program, or if the
    /// body lies apart.
    pub fn decode(bytes: Bytes) -> Result<Self, Unreadable> {
        match Stored::read(bytes)? {
            Stored::Whole(envelope) => Ok(envelope),
            Stored::Apart(_) => Err(Unreadable),
        }
    }
}

/// Takes the slots of a value's tags from the bytes behind the header; `None` if they are cut short.
fn take_slots(bytes: &mut Bytes) -> Option<Vec<HashSlot>> {
    let count = bytes.try_get_u16_le().ok()?;
    (0..count).map(|_| HashSlot::try_new(bytes.try_get_u16_le().ok()?)).collect()
}

/// What is stored under a name.
#[derive(Debug)]
pub(super) enum Stored {
    /// The envelope with its body.
    Whole(Envelope),
    /// The header alone: the body lies apart.
    Apart(Header),
}

/// An envelope without its body, which is read next.
#[derive(Debug)]
pub(super) struct Header {
    envelope: Envelope,
    body_bytes: u64,
}

impl Header {
    /// The envelope with the body that lay apart; `None` if the body belongs to another header, for example
    /// to one that was filled since.
    pub(super) fn with(self, mut apart: Bytes) -> Option<Envelope> {
        let etag = apart.try_get_u128_le().ok()?;
        let is_its_own = etag == self.envelope.etag && apart.len() as u64 == self.body_bytes;
        is_its_own.then_some(Envelope { body: Some(apart), ..self.envelope })
    }
}

impl Stored {
    /// Reads the bytes under a name.
    pub(super) fn read(bytes: Bytes) -> Result<Self, Unreadable> {
        let mut header = bytes.get(..HEADER_BYTES).ok_or(Unreadable)?;
        if !header.starts_with(&PREFIX) {
            return Err(Unreadable);
        }
        header.advance(PREFIX.len());
        let mut envelope = Envelope {
            loaded_at_ms: header.get_u64_le(),
            refresh_at_ms: header.get_u64_le(),
            fresh_until_ms: header.get_u64_le(),
            stale_until_ms: header.get_u64_le(),
            generation: header.get_u64_le(),
            cost_ms: header.get_u32_le(),
            etag: header.get_u128_le(),
            fingerprint: Fingerprint(header.get_u128_le()),
            stamp: Stamp { epoch: Epoch(header.get_u64_le()), word: header.get_u64_le() },
            tag_slots: Vec::new(),
            body: None,
        };
        let flags = header.get_u8();
        let body_bytes = header.get_u64_le();
        let mut body = bytes;
        body.advance(HEADER_BYTES);
        if flags & TAGGED != 0 {
            envelope.tag_slots = take_slots(&mut body).ok_or(Unreadable)?;
        }
        let flags = flags & !TAGGED;
        if flags == APART && body.is_empty() {
            return Ok(Self::Apart(Header { envelope, body_bytes }));
        }
        if body.len() as u64 != body_bytes {
            return Err(Unreadable);
        }
        envelope.body = match flags {
            0 => Some(body),
            NO_ROW if body.is_empty() => None,
            _ => return Err(Unreadable),
        };
        Ok(Self::Whole(envelope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FLAGS_AT: usize = 94;

    fn any_envelope() -> impl Strategy<Value = Envelope> {
        let times = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
        let body = prop::option::of(prop::collection::vec(any::<u8>(), 0..200));
        let rest = (any::<u32>(), any::<u128>(), any::<u64>());
        let slots = prop::collection::vec(0..crate::store::SLOTS, 0..5);
        let belief = (any::<u128>(), any::<u64>(), any::<u64>(), slots);
        let parts = (times, rest, belief, body);
        parts.prop_map(|(times, (cost_ms, etag, generation), belief, body)| Envelope {
            loaded_at_ms: times.0,
            refresh_at_ms: times.1,
            fresh_until_ms: times.2,
            stale_until_ms: times.3,
            cost_ms,
            etag,
            generation,
            fingerprint: Fingerprint(belief.0),
            stamp: Stamp { epoch: Epoch(belief.1), word: belief.2 },
            tag_slots: belief.3.into_iter().filter_map(HashSlot::try_new).collect(),
            body: body.map(Bytes::from),
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(envelope in any_envelope()) {
            prop_assert_eq!(Envelope::decode(envelope.encode().into()), Ok(envelope));
        }

        #[test]
        fn every_truncation_is_unreadable(envelope in any_envelope()) {
            let bytes = Bytes::from(envelope.encode());
            for end in 0..bytes.len() {
                prop_assert_eq!(Envelope::decode(bytes.slice(..end)), Err(Unreadable));
            }
        }

        #[test]
        fn something_behind_the_body_is_unreadable(envelope in any_envelope(), extra: u8) {
            let mut bytes = envelope.encode();
            bytes.push(extra);
            prop_assert_eq!(Envelope::decode(bytes.into()), Err(Unreadable));
        }

        #[test]
        fn another_magic_version_or_flag_is_unreadable(
            envelope in any_envelope(),
            at in prop::sample::select(vec![0, 1, FLAGS_AT]),
            flip in 2_u8..,
        ) {
            let mut bytes = envelope.encode();
            bytes[at] ^= flip;
            prop_assert_eq!(Envelope::decode(bytes.into()), Err(Unreadable));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Envelope::decode(bytes.into());
        }
    }

    #[test]
    fn the_load_time_stands_right_behind_the_prefix() {
        let envelope = Envelope {
            loaded_at_ms: 0x0102_0304_0506_0708,
            refresh_at_ms: 0,
            fresh_until_ms: 0,
            stale_until_ms: 0,
            cost_ms: 0,
            etag: 0,
            generation: 0,
            fingerprint: Fingerprint(0),
            stamp: Stamp { epoch: Epoch(0), word: 0 },
            tag_slots: vec![],
            body: None,
        };
        assert_eq!(envelope.encode()[2..10], [8, 7, 6, 5, 4, 3, 2, 1]);
    }

    proptest! {
        #[test]
        fn a_body_that_lies_apart_is_put_back_and_no_other_is(envelope in any_envelope()) {
            let Some(body) = envelope.body.clone() else { return Ok(()) };
            let (header, apart) = envelope.encode_apart();
            let read = || match Stored::read(Bytes::from(header.clone())) {
                Ok(Stored::Apart(header)) => header,
                other => panic!("{other:?}"),
            };
            let other = Envelope { etag: envelope.etag ^ 1, ..envelope.clone() }.encode_apart().1;
            prop_assert_eq!(read().with(Bytes::from(other)), None);
            prop_assert_eq!(read().with(body), None);
            prop_assert_eq!(read().with(Bytes::from(apart)), Some(envelope));
        }
    }

    #[test]
    fn the_body_is_not_copied() {
        let envelope = Envelope {
            loaded_at_ms: 1,
            refresh_at_ms: 2,
            fresh_until_ms: 3,
            stale_until_ms: 4,
            cost_ms: 5,
            etag: 7,
            generation: 6,
            fingerprint: Fingerprint(8),
            stamp: Stamp { epoch: Epoch(9), word: 10 },
            tag_slots: vec![],
            body: Some(Bytes::from_static(b"{}")),
        };
        let bytes = Bytes::from(envelope.encode());
        let body = Envelope::decode(bytes.clone()).unwrap().body.unwrap();
        assert_eq!(body.as_ptr(), bytes[HEADER_BYTES..].as_ptr());
    }
}
