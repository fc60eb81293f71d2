//! The built-in policy with a quarter of each lifetime.

use corral_core::{Kept, LoadReport, Manifest, Policy, Rules};

#[derive(Default)]
struct ShortLived;

corral_core::export!(Policy<ShortLived>);

impl Rules for ShortLived {
    fn manifest() -> Manifest {
        corral_core::manifest!()
    }

    fn ttl_ms(&self, kept: &Kept<'_>, _: &LoadReport) -> u32 {
        kept.terms.ttl_ms.div_ceil(4)
    }
}
