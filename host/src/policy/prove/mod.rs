//! What a candidate passes before it decides, and what tells it apart from the policy in force.

pub mod compare;
pub mod gate;
pub mod shadow;
pub mod suite;
