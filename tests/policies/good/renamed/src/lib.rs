//! The built-in policy with keys of another form.

use corral_core::{Key, Manifest, Policy, Read, Rules};

#[derive(Default)]
struct Renamed;

corral_core::export!(Policy<Renamed>);

impl Rules for Renamed {
    fn manifest() -> Manifest {
        corral_core::manifest!()
    }

    fn key(&self, _: &Read<'_>, key: Key) -> Key {
        key.under("renamed")
    }
}
