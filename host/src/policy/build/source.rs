//! The digest of a project's sources.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{BuildError, CONTRACT, Language};

/// SHA-256 over what a component is made from and the host's contract, in hexadecimal: a policy
/// built for another contract is stale, wherever its project keeps its copy of the contract. A
/// crate is made from `Cargo.toml` and everything under `src`, `corral-core` and `wit`; another
/// project from its sources, its list of dependencies, and `wit`. The digest includes names and
/// lengths.
pub(super) fn digest(language: Language, directory: &Path) -> Result<String, BuildError> {
    let mut files = Vec::new();
    match language {
        Language::Rust => {
            files.push(directory.join("Cargo.toml"));
            for folder in ["src", "corral-core", "wit"] {
                collect(&directory.join(folder), &|_| true, &mut files)?;
            }
        }
        Language::JavaScript => {
            collect(directory, &|path| has_extension(path, &["js", "json", "wit"]), &mut files)?;
        }
        Language::Python => {
            collect(directory, &|path| has_extension(path, &["py", "txt", "wit"]), &mut files)?;
        }
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

/// What compilers and package managers put beside the sources.
const GENERATED: [&str; 4] = ["node_modules", "bindings", "__pycache__", "target"];

/// The path as the digest knows it: the same on every system.
fn relative(directory: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(directory).unwrap_or(path);
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| extensions.contains(&extension))
}

fn is_generated(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with('.') || GENERATED.contains(&name)
}

fn collect(
    folder: &Path,
    wanted: &impl Fn(&Path) -> bool,
    files: &mut Vec<PathBuf>,
) -> Result<(), BuildError> {
    if !folder.is_dir() {
        return Ok(());
    }
    let failed = |error| BuildError::File { path: folder.to_owned(), error };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() && !is_generated(&path) {
            collect(&path, wanted, files)?;
        } else if path.is_file() && wanted(&path) {
            files.push(path);
        }
    }
    Ok(())
}
