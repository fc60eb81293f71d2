//! Components that were compiled before: in memory, and on a *shelf*, which is a set of files
//! beside a watched file or in a folder of their own.
//!
//! A file on the shelf is native code, which runs unchecked in this process. So a file is believed
//! only if no user but this process's own, or root, can have written it: the file is opened first,
//! and the opened file must be a regular one that belongs to that user and has mode 0600. A program
//! that can make such a file runs as that user already, and gains nothing by it. The folder need
//! not be trusted: its owner may remove or exchange files, but can't make a file that belongs to
//! this process's user. The digests in a file detect accidents (a file that is cut short, renamed,
//! or of another component), not attacks. Wasmtime compares version, configuration and processor
//! once more. A component without a file that fits is compiled anew, so a failure here only costs
//! time.

#[cfg(unix)]
mod shelf;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wasmtime::component::Component;

#[cfg(unix)]
pub(in crate::policy) use shelf::Shelf;

/// SHA-256 of a component.
pub(in crate::policy) type ComponentDigest = [u8; 32];

/// Most components that are remembered: those that operators go back and forth between.
const KEPT: usize = 8;

/// Most bytes of these together, as components; native code takes several times as much. Two are
/// always kept.
const KEPT_BYTES: usize = 32 << 20;
const ALWAYS_KEPT: usize = 2;

/// Compiled components by digest, the one that was used last in front.
#[derive(Default)]
pub(in crate::policy) struct Compiled {
    kept: Mutex<VecDeque<KnownCode>>,
}

struct KnownCode {
    digest: ComponentDigest,
    component: Component,
    bytes: usize,
}

impl Compiled {
    pub(in crate::policy) fn get(&self, digest: &ComponentDigest) -> Option<Component> {
        let mut kept = self.lock();
        let at = kept.iter().position(|entry| entry.digest == *digest)?;
        let entry = kept.remove(at)?;
        let component = entry.component.clone();
        kept.push_front(entry);
        Some(component)
    }

    pub(in crate::policy) fn insert(
        &self,
        digest: ComponentDigest,
        component: &Component,
        bytes: usize,
    ) {
        let mut kept = self.lock();
        kept.retain(|entry| entry.digest != digest);
        kept.push_front(KnownCode { digest, component: component.clone(), bytes });
        while kept.len() > KEPT || (kept.len() > ALWAYS_KEPT && weight(&kept) > KEPT_BYTES) {
            kept.pop_back();
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<KnownCode>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(kept: &VecDeque<KnownCode>) -> usize {
    kept.iter().map(|entry| entry.bytes).sum()
}

/// Owners of files can't be told apart on this system, so nothing is kept in files.
#[cfg(not(unix))]
pub(in crate::policy) struct Shelf;

#[cfg(not(unix))]
impl Shelf {
    pub(in crate::policy) fn beside(
        _file: &std::path::Path,
        _engine: &wasmtime::Engine,
    ) -> Option<Self> {
        None
    }

    pub(in crate::policy) fn within(
        _folder: &std::path::Path,
        _engine: &wasmtime::Engine,
    ) -> Option<Self> {
        None
    }

    pub(in crate::policy) fn take(
        &self,
        _engine: &wasmtime::Engine,
        _digest: &ComponentDigest,
    ) -> Option<Component> {
        None
    }

    pub(in crate::policy) fn put(&self, _digest: &ComponentDigest, _component: &Component) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{Wat, engine};

    #[test]
    fn what_is_known_is_not_compiled_again_and_the_number_is_bounded() {
        let compiled = Compiled::default();
        let component = engine().compile(&Wat::default().component()).unwrap();
        for at in 0..=KEPT as u8 {
            compiled.insert([at; 32], &component, 1);
        }
        assert!(compiled.get(&[0; 32]).is_none(), "the one that was used longest ago");
        assert!(compiled.get(&[1; 32]).is_some());
        compiled.insert([77; 32], &component, 1);
        assert!(compiled.get(&[1; 32]).is_some(), "it was used");
        assert!(compiled.get(&[2; 32]).is_none());
    }

    #[test]
    fn large_components_make_room_but_two_stay() {
        let compiled = Compiled::default();
        let component = engine().compile(&Wat::default().component()).unwrap();
        for at in 0..3 {
            compiled.insert([at; 32], &component, KEPT_BYTES);
        }
        let known = [0, 1, 2].map(|at| compiled.get(&[at; 32]).is_some());
        assert_eq!(known, [false, true, true]);
    }
}
