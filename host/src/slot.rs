//! Slots, by which a Redis Cluster divides names among its nodes, and the ranges into which Corral divides
//! the slots.

use std::sync::LazyLock;

/// The slots of a cluster.
pub const SLOTS: u16 = 1 << 14;

/// The ranges of a cluster, each of equally many slots.
pub const RANGES: u8 = 64;

/// The slot of a name: CRC16 (XMODEM) of the name, or of what its braces hold, as Redis Cluster defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HashSlot(pub(crate) u16);

impl HashSlot {
    /// The slot of a key of the server.
    #[must_use]
    pub fn of(key: &str) -> Self {
        let braced = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        let hashed = braced.map(|(inside, _)| inside).filter(|inside| !inside.is_empty());
        Self(crc16(hashed.unwrap_or(key)) % SLOTS)
    }

    /// The slot of this number; `None` if there is no such slot.
    #[must_use]
    pub fn try_new(number: u16) -> Option<Self> {
        (number < SLOTS).then_some(Self(number))
    }

    /// The slot's number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

/// A range of slots: what must be known before its values are believed lies at names of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RangeId(u8);

impl RangeId {
    /// The only range of a single node.
    pub const FIRST: Self = Self(0);

    /// The range's place among all ranges.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.into()
    }

    /// The text that stands in the braces of the range's names: the smallest number whose slot lies in the
    /// range, so that the names are found on the range's node, whatever the map.
    fn anchor(self) -> &'static str {
        static ANCHORS: LazyLock<Vec<String>> = LazyLock::new(|| {
            let anchor = |range| {
                let mut numbers = (0_u32..).map(|number| number.to_string());
                let is_within = |text: &String| Layout::Slots.range_of(HashSlot::of(text)) == range;
                numbers.find(is_within).unwrap_or_default()
            };
            (0..RANGES).map(|range| anchor(RangeId(range))).collect()
        });
        &ANCHORS[self.index()]
    }
}

/// How names are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One node has all of them, as one range.
    Single,
    /// A cluster divides them by slots; [`RANGES`] ranges.
    Slots,
}

impl Layout {
    /// The range in which a slot lies.
    #[must_use]
    pub fn range_of(self, slot: HashSlot) -> RangeId {
        match self {
            Self::Single => RangeId::FIRST,
            #[expect(clippy::cast_possible_truncation, reason = "there are 64 ranges")]
            Self::Slots => RangeId((slot.0 / (SLOTS / u16::from(RANGES))) as u8),
        }
    }

    /// All ranges.
    pub fn ranges(self) -> impl Iterator<Item = RangeId> {
        let count = match self {
            Self::Single => 1,
            Self::Slots => RANGES,
        };
        (0..count).map(RangeId)
    }

    /// What the braces of a range's names hold.
    pub(crate) fn anchor(self, range: RangeId) -> &'static str {
        match self {
            Self::Single => "0",
            Self::Slots => range.anchor(),
        }
    }

    /// The slot of a range's names.
    #[must_use]
    pub fn anchor_slot(self, range: RangeId) -> HashSlot {
        HashSlot::of(self.anchor(range))
    }
}

/// CRC16 with the polynomial 0x1021, from 0, by a table of bytes.
fn crc16(text: &str) -> u16 {
    const TABLE: [u16; 256] = {
        let (mut table, mut byte) = ([0; 256], 0);
        while byte < 256 {
            let (mut crc, mut bit) = ((byte as u16) << 8, 0);
            while bit < 8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    text.bytes().fold(0, |crc, byte| {
        let [high, _low] = crc.to_be_bytes();
        (crc << 8) ^ TABLE[usize::from(high ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // The check value of CRC16/XMODEM, and the slots that `CLUSTER KEYSLOT` of Redis 7.0 answers.
        assert_eq!(crc16("123456789"), 0x31c3);
        for (key, slot) in [("foo", 12182), ("{user1000}.following", 3443), ("foo{}{bar}", 8363)] {
            assert_eq!(HashSlot::of(key), HashSlot(slot), "{key}");
        }
        assert_eq!(HashSlot::of("foo{{bar}}zap"), HashSlot::of("{bar"));
    }

    #[test]
    fn each_range_has_equally_many_slots_and_an_anchor_of_its_own() {
        let mut slots = [0; RANGES as usize];
        for slot in 0..SLOTS {
            slots[Layout::Slots.range_of(HashSlot(slot)).index()] += 1;
        }
        assert_eq!(slots, [256; RANGES as usize]);
        for range in Layout::Slots.ranges() {
            let slot = Layout::Slots.anchor_slot(range);
            assert_eq!(Layout::Slots.range_of(slot), range);
            assert_eq!(HashSlot::of(&format!("corral:1:range:{{{}}}", range.anchor())), slot);
        }
    }

    #[test]
    fn a_single_node_is_one_range() {
        assert!(Layout::Single.ranges().eq([RangeId::FIRST]));
        assert_eq!(Layout::Single.range_of(HashSlot(SLOTS - 1)), RangeId::FIRST);
    }
}
