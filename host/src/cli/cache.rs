//! Where commands keep what they have compiled.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use super::Failed;
use crate::policy::{Engine, Limits};

/// An engine with these limits. It finds what another command of the same user compiled a short while ago,
/// and leaves what it compiles: a policy with an interpreter takes many seconds.
pub(super) fn engine(limits: Limits) -> Result<Engine, Failed> {
    let engine = Engine::new(limits)?;
    Ok(match cache_folder() {
        Some(folder) => engine.keeping_in(&folder),
        None => engine,
    })
}

/// The folder in which this system wants a service, or else a user's program, to keep what can be
/// made again: systemd's `CacheDirectory=`, and the XDG base directories.
pub(super) fn cache_folder() -> Option<PathBuf> {
    // systemd names several folders like a search path does.
    let first = |names: OsString| env::split_paths(&names).next();
    let absolute = |name| env::var_os(name).and_then(first).filter(|path| path.is_absolute());
    let of_user = || absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    absolute("CACHE_DIRECTORY").or_else(|| Some(of_user()?.join("corral")))
}
