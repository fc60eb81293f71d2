//! A new policy's project: `corral policy new`.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{CONTRACT, Language};

/// The name in the templates, which the policy's name replaces.
const PLACEHOLDER: &str = "my-policy";

/// Longest name: it stands in every response's header.
const NAME_BYTES_MAX: usize = 64;

/// Why no project was written.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name does not suit a policy, a crate or a package.
    #[error(
        "{0:?} can't be a policy's name: it begins with a lower-case letter and goes on with \
         lower-case letters, digits and `-`, at most 64 in all"
    )]
    Name(String),
    /// The folder exists and is not empty.
    #[error("{0} exists and is not empty; choose another name, or another folder with --path")]
    Exists(PathBuf),
    /// A file could not be written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A file of a project: its path in it, and its content.
type ProjectFile = (&'static str, &'static str);

macro_rules! files {
    ($from:literal, $to:literal: $($path:literal),+ $(,)?) => {
        &[$((concat!($to, $path), include_str!(concat!("../../../../", $from, $path)))),+]
    };
}

const RUST: &[ProjectFile] = files!("host/templates/rust/", "":
    "Cargo.toml", "README.md", "gitignore", "src/lib.rs", "src/tests.rs",
);

/// The built-in policy's own source, without its tests and without the file that makes it a
/// component.
const RUST_SUPPORT: &[ProjectFile] = files!("core/", "corral-core/":
    "src/component.rs", "src/contract.rs", "src/contract/change.rs", "src/contract/entity.rs",
    "src/contract/flight.rs", "src/contract/read.rs", "src/digest.rs", "src/distinct.rs",
    "src/escape.rs", "src/export.rs", "src/flight.rs", "src/invalidation.rs", "src/json.rs",
    "src/key.rs", "src/lib.rs", "src/lifetime.rs", "src/naming.rs", "src/policy.rs",
    "src/rules.rs", "src/settings.rs", "src/tag.rs",
);

const RUST_MARK: &str = "// Support code of Corral: `corral policy new` writes it. Don't edit it; \
                         override a decision in\n// src/lib.rs of the policy.\n\n";

const RUST_SUPPORT_MANIFEST: &[ProjectFile] = files!("host/templates/rust/", "":
    "corral-core/Cargo.toml",
);

const JAVASCRIPT: &[ProjectFile] = files!("host/templates/js/", "":
    "README.md", "gitignore", "package.json", "policy.js", "policy.test.js",
);

const JAVASCRIPT_SUPPORT: &[ProjectFile] = files!("host/templates/js/", "":
    "corral/flight.js", "corral/invalidation.js", "corral/lifetime.js", "corral/naming.js",
    "corral/policy.js", "corral/settings.js", "corral/sha256.js", "corral/signs.js",
    "corral/spelling.js",
);

const PYTHON: &[ProjectFile] = files!("host/templates/python/", "":
    "README.md", "app.py", "gitignore", "requirements.txt", "test_policy.py",
);

const PYTHON_SUPPORT: &[ProjectFile] = files!("host/templates/python/", "":
    "corral/__init__.py", "corral/canonical.py", "corral/decisions.py", "corral/flight.py",
    "corral/invalidation.py", "corral/lifetime.py", "corral/naming.py", "corral/policy.py",
    "corral/settings.py",
);

/// Writes a small, complete policy project into `directory`, which must not exist or be empty. It
/// decides as the built-in policy does, under its own name.
///
/// # Errors
/// [`NewError`] says what is in the way.
pub fn new(name: &str, language: Language, directory: &Path) -> Result<(), NewError> {
    if !is_name(name) {
        return Err(NewError::Name(name.to_owned()));
    }
    let taken = fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some());
    if taken || directory.is_file() {
        return Err(NewError::Exists(directory.to_owned()));
    }
    for (path, content) in own(language) {
        // Named `.gitignore`, the template would hide files of this repository.
        let path = if *path == "gitignore" { ".gitignore" } else { path };
        write(&directory.join(path), &content.replace(PLACEHOLDER, name))?;
    }
    for (path, content) in support(language) {
        write(&directory.join(path), &marked(path, content))?;
    }
    Ok(())
}

/// Writes the support code and the contract that a project lacks. Files that are there stay as they
/// are. A crate that does not take `corral-core` from its own folder lacks nothing.
///
/// # Errors
/// [`NewError::File`].
pub(super) fn complete(language: Language, directory: &Path) -> Result<(), NewError> {
    if language == Language::Rust && !has_own_core(directory) {
        return Ok(());
    }
    for (name, content) in support(language) {
        let path = directory.join(name);
        if !path.exists() {
            write(&path, &marked(name, content))?;
        }
    }
    Ok(())
}

/// Whether the crate takes `corral-core` from the folder into which support code is written.
fn has_own_core(directory: &Path) -> bool {
    // A manifest that can't be read names no dependency here; cargo says what is wrong with it.
    let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap_or_default();
    let manifest: Value = toml::from_str(&manifest).unwrap_or_default();
    let path = manifest["dependencies"]["corral-core"]["path"].as_str();
    path.is_some_and(|path| directory.join(path) == directory.join("corral-core"))
}

/// The files that the author edits.
fn own(language: Language) -> &'static [ProjectFile] {
    match language {
        Language::Rust => RUST,
        Language::JavaScript => JAVASCRIPT,
        Language::Python => PYTHON,
    }
}

/// The files that the author does not edit.
fn support(language: Language) -> impl Iterator<Item = &'static ProjectFile> {
    let code: [&[ProjectFile]; 2] = match language {
        Language::Rust => [RUST_SUPPORT_MANIFEST, RUST_SUPPORT],
        Language::JavaScript => [JAVASCRIPT_SUPPORT, &[]],
        Language::Python => [PYTHON_SUPPORT, &[]],
    };
    const WIT: &[ProjectFile] = &[("wit/policy.wit", CONTRACT)];
    code.into_iter().chain([WIT]).flatten()
}

/// The content with the mark of support code. Only the built-in policy's source needs it; the other
/// files carry the mark themselves.
fn marked<'c>(path: &str, content: &'c str) -> Cow<'c, str> {
    if path.ends_with(".rs") { Cow::Owned(format!("{RUST_MARK}{content}")) } else { content.into() }
}

fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= NAME_BYTES_MAX
        && name.bytes().all(legal)
        && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
}

fn write(path: &Path, content: &str) -> Result<(), NewError> {
    let failed = |error| NewError::File { path: path.to_owned(), error };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, content).map_err(failed)
}

#[cfg(test)]
mod tests;
