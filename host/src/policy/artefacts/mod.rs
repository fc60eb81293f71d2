//! What components were compiled to, so that an exchange with a known one compiles nothing: the last
//! few in memory, and those of a watched file beside it, for the next start.

mod disk;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use disk::Folder;

/// How many are kept: an operator goes back and forth between a few.
const KEPT: usize = 8;

/// Together the components behind them have at most so many bytes: two of a Python interpreter's.
const KEPT_BYTES: usize = 48 << 20;

/// SHA-256 of a component.
type Name = [u8; 32];

/// Compiled components by the digest of what they were compiled from.
#[derive(Default)]
pub(super) struct Artefacts {
    /// The last one used first.
    memory: Mutex<VecDeque<Kept>>,
    folder: Option<Folder>,
}

struct Kept {
    name: Name,
    bytes: usize,
    compiled: Component,
}

impl Artefacts {
    /// Keeps them in `folder` too, which is made when something is first kept there.
    pub(super) fn beside(folder: &Path) -> Self {
        Self { memory: Mutex::default(), folder: Some(Folder::new(folder)) }
    }

    /// The compiled component: at hand, or compiled now and kept.
    pub(super) fn compile(&self, engine: &Engine, component: &[u8]) -> wasmtime::Result<Component> {
        let name: Name = Sha256::digest(component).into();
        if let Some(compiled) = self.recall(&name) {
            return Ok(compiled);
        }
        let stored = self.folder.as_ref().and_then(|folder| folder.load(engine, &name));
        let compiled = match stored {
            Some(compiled) => compiled,
            None => {
                let compiled = Component::from_binary(engine, component)?;
                if let Some(folder) = &self.folder {
                    folder.keep(engine, &name, &compiled);
                }
                compiled
            }
        };
        self.remember(Kept { name, bytes: component.len(), compiled: compiled.clone() });
        Ok(compiled)
    }

    fn recall(&self, name: &Name) -> Option<Component> {
        let mut memory = self.memory();
        let at = memory.iter().position(|kept| kept.name == *name)?;
        let kept = memory.remove(at)?;
        let compiled = kept.compiled.clone();
        memory.push_front(kept);
        Some(compiled)
    }

    fn remember(&self, kept: Kept) {
        let mut memory = self.memory();
        memory.push_front(kept);
        let mut bytes = 0;
        let within = memory.iter().take(KEPT).take_while(|kept| {
            bytes += kept.bytes;
            bytes <= KEPT_BYTES
        });
        let within = within.count();
        memory.truncate(within);
    }

    /// Nothing in it is left half done by a panic.
    fn memory(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
