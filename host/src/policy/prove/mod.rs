//! The checks that a candidate passes before it decides, and the comparisons with the policy in
//! force.

pub mod compare;
pub mod gate;
pub mod shadow;
pub mod suite;
