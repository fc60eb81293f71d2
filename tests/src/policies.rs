//! The policies under `tests/policies`, built for WebAssembly by the host's own builder.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use corral_host::policy::build::{self, BuildError};

use crate::servers::build_dir;

/// A policy that was built.
#[derive(Debug, Clone)]
pub struct Artefact {
    /// The bytes that can be pushed: the component or, if the builder made none, the core module.
    pub bytes: Vec<u8>,
    /// Why the builder made no component of the module; `None` if it made one.
    pub refused: Option<String>,
}

/// Builds the crate in `tests/policies/{folder}`, for example `good/short-lived`. All crates there
/// share their dependencies, which compile once; then a policy takes a second or two.
///
/// # Errors
/// When it does not compile; the compiler's messages stand on standard error.
pub fn artefact(folder: &str) -> anyhow::Result<Artefact> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("policies");
    let directory = root.join(folder);
    match build::component(&directory) {
        Ok(built) => Ok(Artefact { bytes: built.bytes, refused: None }),
        Err(BuildError::Rejected(rejection)) => {
            let bytes = std::fs::read(module(folder)?)?;
            Ok(Artefact { bytes, refused: Some(rejection.to_string()) })
        }
        Err(error) => Err(error).context(folder.to_owned()),
    }
}

/// Builds a policy that makes a component.
///
/// # Errors
/// As [`artefact`], and when the builder refuses it.
pub fn component(folder: &str) -> anyhow::Result<Vec<u8>> {
    let Artefact { bytes, refused } = artefact(folder)?;
    ensure!(refused.is_none(), "{folder}: {}", refused.unwrap_or_default());
    Ok(bytes)
}

/// The same policy as another file: it has one more custom section, which changes nothing else.
#[must_use]
pub fn variant(component: &[u8], number: u32) -> Vec<u8> {
    const CUSTOM: u8 = 0;
    const NAME: &[u8; 7] = b"variant";
    let number = number.to_le_bytes();
    let mut bytes = component.to_vec();
    bytes.extend([CUSTOM, (1 + NAME.len() + number.len()) as u8, NAME.len() as u8]);
    bytes.extend(NAME);
    bytes.extend(number);
    bytes
}

/// The file that the compiler made.
fn module(folder: &str) -> anyhow::Result<PathBuf> {
    let profile = build_dir()?;
    let target = profile.parent().context("cargo's `target`")?;
    let name = folder.rsplit('/').next().unwrap_or(folder).replace('-', "_");
    Ok(target.join("wasm32-unknown-unknown/release").join(name).with_extension("wasm"))
}
