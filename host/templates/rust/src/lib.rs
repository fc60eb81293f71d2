//! my-policy: a caching policy for Corral. It decides as the built-in policy does, except for the
//! decisions here. `corral_core::Rules` lists the decisions that can be overridden.

use corral_core::{Kept, LoadReport, Manifest, Policy, Rules};

/// The rules of this policy.
#[derive(Debug, Default)]
pub struct MyPolicy;

/// A load that takes less is cheap.
const CHEAP_MS: u32 = 10;

impl Rules for MyPolicy {
    fn manifest() -> Manifest {
        corral_core::manifest!()
    }

    /// A value that is cheap to load lives for half of its `ttl`: it is fresher, and costs little.
    fn ttl_ms(&self, kept: &Kept<'_>, load: &LoadReport) -> u32 {
        if load.cost_ms < CHEAP_MS {
            kept.terms.ttl_ms.div_ceil(2)
        } else {
            kept.terms.ttl_ms
        }
    }
}

corral_core::export!(Policy<MyPolicy>);

#[cfg(test)]
mod tests;
