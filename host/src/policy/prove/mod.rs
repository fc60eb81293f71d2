//! The checks that a candidate passes before it decides, and the comparisons with the policy in
//! force.

pub mod compare;
pub mod gate;
pub mod shadow;
pub mod suite;

/// A lifetime of ad-hoc queries that candidates are asked about, in ms. The contract allows no query to ask
/// for 0.
const USUAL_TTL_MS: u32 = 1_000;

/// Another such lifetime.
const OTHER_TTL_MS: u32 = 2_000;
