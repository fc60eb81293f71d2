//! The digest of a crate's sources.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::BuildError;

/// A policy built for another contract is stale, wherever its crate keeps its copy of it.
const CONTRACT: &str = include_str!("../../../../wit/policy.wit");

/// SHA-256 over `Cargo.toml`, everything under `src` and `wit`, and the host's contract, in
/// hexadecimal. Names and lengths are part of it.
pub(super) fn digest(directory: &Path) -> Result<String, BuildError> {
    let manifest = directory.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(BuildError::NotACrate(directory.to_owned()));
    }
    let mut files = vec![manifest];
    for folder in ["src", "wit"] {
        collect(&directory.join(folder), &mut files)?;
    }
    let mut digest = Sha256::new();
    let mut add = |name: &str, content: &[u8]| {
        for part in [name.as_bytes(), content] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
    };
    add("contract", CONTRACT.as_bytes());
    let mut named: Vec<(String, PathBuf)> =
        files.into_iter().map(|path| (relative(directory, &path), path)).collect();
    named.sort();
    for (name, path) in named {
        let content = fs::read(&path).map_err(|error| BuildError::File { path, error })?;
        add(&name, &content);
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The path as the digest knows it: the same on every system.
fn relative(directory: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(directory).unwrap_or(path);
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), BuildError> {
    if !folder.is_dir() {
        return Ok(());
    }
    let failed = |error| BuildError::File { path: folder.to_owned(), error };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
