//! Makes inputs from valid ones: bits that flip, parts that are missing, doubled or taken from
//! another sample, and numbers at their limits.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// Longer inputs test nothing that shorter ones do not.
const LONGEST: usize = 64 << 10;

/// Most changes of one input.
const MOST_CHANGES: u32 = 6;

/// What replaces a number.
const NUMBERS: [&str; 10] = [
    "0",
    "-1",
    "1",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e309",
    "00000000000000000000000000000000001",
];

/// Makes inputs.
pub struct Mutator {
    samples: Vec<Vec<u8>>,
    words: &'static [&'static str],
}

impl Mutator {
    /// Makes inputs from these valid ones, with these words of their language.
    #[must_use]
    pub fn new(samples: Vec<Vec<u8>>, words: &'static [&'static str]) -> Self {
        Self { samples, words }
    }

    /// The input of this number.
    #[must_use]
    pub fn input(&self, seed: u64, number: u64) -> Vec<u8> {
        // The random bits of neighbouring numbers have nothing in common.
        let mut rng = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bytes = self.samples.choose(&mut rng).cloned().unwrap_or_default();
        for _ in 0..rng.random_range(0..=MOST_CHANGES) {
            self.change(&mut bytes, &mut rng);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn change(&self, bytes: &mut Vec<u8>, rng: &mut StdRng) {
        let at = rng.random_range(0..=bytes.len());
        let end = (at + rng.random_range(0..=16)).min(bytes.len());
        match rng.random_range(0..9) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
            1 => bytes.insert(at, rng.random()),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let again = bytes[at..end].repeat(rng.random_range(1..=64));
                bytes.splice(at..at, again);
            }
            4 => {
                let word = self.words.choose(rng).copied().unwrap_or_default();
                bytes.splice(at..at, word.bytes());
            }
            5 => {
                let other = self.samples.choose(rng).map(Vec::as_slice).unwrap_or_default();
                let from = rng.random_range(0..=other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
            6 => bytes.truncate(at),
            _ => replace_number(bytes, at, rng),
        }
    }
}

/// Replaces the first number from `at` on.
fn replace_number(bytes: &mut Vec<u8>, at: usize, rng: &mut StdRng) {
    let Some(from) = bytes[at..].iter().position(u8::is_ascii_digit).map(|from| at + from) else {
        return;
    };
    let digits = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = NUMBERS.choose(rng).copied().unwrap_or_default();
    bytes.splice(from..from + digits, number.bytes());
}
