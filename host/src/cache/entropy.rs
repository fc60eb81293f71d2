//! The source of randomness: for leases' tokens, and for the bits that a policy draws from.
//!
//! The source is a part of the cache like store and origin, so that a simulation can hand in a
//! generator of its own and repeat a run bit for bit.

/// A source of random bits.
pub trait Entropy: Send + Sync {
    /// 128 unpredictable bits: a lease's token is a right to write.
    fn bits(&self) -> u128;
}

/// The thread's generator, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn bits(&self) -> u128 {
        rand::random()
    }
}
