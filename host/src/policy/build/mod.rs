//! From a policy's project to a component: `corral policy build`, in Rust, JavaScript and Python.
//!
//! The same sources of a crate and the same compiler give the same bytes, whatever directory they
//! lie in. So a component that is checked in can be proven to be current: it carries a stamp that
//! names its sources and its compiler.

mod compile;
mod interpreted;
mod language;
mod new;
mod source;
mod toolchain;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use language::Language;
pub use new::{NewError, new};

use super::sections;
use crate::policy::prove::gate::{self, Rejection};

/// The contract that this host speaks.
const CONTRACT: &str = include_str!("../../../../wit/policy.wit");

/// The custom section that says what a component was built from, as JSON.
const STAMP_SECTION: &str = "corral:build";

/// What a component was built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildStamp {
    /// The compiler's name and version, as it prints them.
    #[serde(rename = "rustc")]
    pub compiler: String,
    /// SHA-256 over the project's sources and the contract, in hexadecimal.
    pub source: String,
}

/// A component that was built and is not written yet.
#[derive(Debug, Clone)]
pub struct BuiltComponent {
    /// The component.
    pub bytes: Vec<u8>,
    /// What it was built from.
    pub stamp: BuildStamp,
    /// The language of its project.
    pub language: Language,
}

/// A component that was built and written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Built {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// SHA-256 of the file, in hexadecimal.
    pub digest: String,
    /// What it was built from.
    #[serde(flatten)]
    pub stamp: BuildStamp,
    /// Its language.
    #[serde(skip)]
    pub language: Language,
}

/// Why no component was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder holds no project in any of the languages.
    #[error(
        "{0} is no policy's project: it has no Cargo.toml (Rust), package.json (JavaScript) or \
         app.py (Python); `corral policy new NAME --lang rust` makes one"
    )]
    NotAProject(PathBuf),
    /// No compiler here can make WebAssembly.
    #[error(
        "the target wasm32-unknown-unknown is missing; run \
         `rustup target add wasm32-unknown-unknown`, or, where rustup can't fetch it, \
         `tests/prepare`, which installs Debian's toolchain for it: {0}"
    )]
    NoTarget(String),
    /// A tool is not there.
    #[error("{tool} {remedy}")]
    Missing {
        /// The tool.
        tool: String,
        /// How to get it.
        remedy: &'static str,
    },
    /// A tool could not be started.
    #[error("{tool} could not be started: {error}")]
    Tool {
        /// The tool.
        tool: String,
        /// Why.
        error: io::Error,
    },
    /// The compiler's messages stand on standard error.
    #[error("{0} failed")]
    Failed(String),
    /// The crate has no library.
    #[error("the build made no WebAssembly file: does the crate have a library?")]
    NoArtefact,
    /// What was built can't be made into a component.
    #[error("the crate does not make a policy: {0}")]
    Rejected(#[from] Rejection),
    /// What was built can't be read as WebAssembly.
    #[error("the compiler's output can't be read: {0}")]
    Output(String),
    /// The project lacks support code, and the support code can't be written.
    #[error(transparent)]
    Support(#[from] NewError),
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// By what a component was found to be current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// It was built again, and the bytes are the same.
    Bytes,
    /// Its stamp names the sources as they are. It was not built again, since it is not made of a
    /// crate, or since the compiler at hand is another one.
    Sources {
        /// The compiler that built it.
        compiler: String,
    },
}

/// Why a component that is checked in is not the one that its sources make.
#[derive(Debug, thiserror::Error)]
pub enum Stale {
    /// The component can't be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// The component.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The component carries no stamp.
    #[error("it does not say what it was built from; build it with `corral policy build`")]
    Unstamped,
    /// The sources have changed since the component was built.
    #[error(
        "its sources have changed: it was built from {built}, now they are {now}; \
         build it again with `corral policy build`"
    )]
    Source {
        /// The digest in the stamp.
        built: String,
        /// The digest of the sources.
        now: String,
    },
    /// The sources and the compiler are those of the stamp, but they make other bytes.
    #[error(
        "its sources, with the compiler that built it, make another file ({now}, not {built}): a \
         dependency, the profile or the file itself was changed"
    )]
    Bytes {
        /// SHA-256 of the component.
        built: String,
        /// SHA-256 of what the sources make now.
        now: String,
    },
    /// Its sources can't be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Builds the policy in `directory`. Writes the support code that the project lacks, and fetches the
/// compiler of an interpreted language into the project if it is not there. Takes as long as the
/// compiler does; its messages go to standard error. The gate is not asked about its decisions.
///
/// # Errors
/// [`BuildError`] says what is missing or what failed.
pub fn component(directory: &Path) -> Result<BuiltComponent, BuildError> {
    let language = language(directory)?;
    new::complete(language, directory)?;
    let (bytes, stamp) = make(language, directory)?;
    Ok(BuiltComponent { bytes, stamp, language })
}

impl BuiltComponent {
    /// Writes the component of the project in `directory` to `out`, or to `policy.wasm` in
    /// `directory`, as one step: a host that watches the file sees the old component or this one.
    ///
    /// # Errors
    /// [`BuildError::File`]; then nothing is written.
    pub fn write(self, directory: &Path, out: Option<&Path>) -> Result<Built, BuildError> {
        let Self { bytes, stamp, language } = self;
        let path = out.map_or_else(|| directory.join("policy.wasm"), Path::to_owned);
        replace(&path, &bytes).map_err(|error| BuildError::File { path: path.clone(), error })?;
        let digest = gate::digest(&bytes);
        Ok(Built { path, bytes: bytes.len(), digest, stamp, language })
    }
}

/// Checks that `component` is what the project in `directory` makes, as far as that can be compared
/// here. Writes nothing but what the compiler keeps.
///
/// # Errors
/// [`Stale`] says in what way the component is not current.
pub fn check_current(directory: &Path, component: &Path) -> Result<Compared, Stale> {
    let bytes = fs::read(component)
        .map_err(|error| Stale::Unreadable { path: component.to_owned(), error })?;
    let stamp = stamp_of(&bytes).ok_or(Stale::Unstamped)?;
    let language = language(directory)?;
    let now = source::digest(language, directory)?;
    if stamp.source != now {
        return Err(Stale::Source { built: stamp.source, now });
    }
    let same_compiler = toolchain::find(directory)
        .and_then(|toolchain| toolchain.version())
        .is_ok_and(|version| version == stamp.compiler);
    if language != Language::Rust || !same_compiler {
        return Ok(Compared::Sources { compiler: stamp.compiler });
    }
    let (again, _) = make(language, directory)?;
    let [built, now] = [&bytes, &again].map(|bytes| gate::digest(bytes));
    if built == now { Ok(Compared::Bytes) } else { Err(Stale::Bytes { built, now }) }
}

/// What a component says it was built from; `None` if it carries no stamp.
#[must_use]
pub fn stamp_of(component: &[u8]) -> Option<BuildStamp> {
    serde_json::from_slice(sections::find(component, STAMP_SECTION)?).ok()
}

fn language(directory: &Path) -> Result<Language, BuildError> {
    Language::of(directory).ok_or_else(|| BuildError::NotAProject(directory.to_owned()))
}

fn make(language: Language, directory: &Path) -> Result<(Vec<u8>, BuildStamp), BuildError> {
    let (mut component, compiler) = match language {
        Language::Rust => rust(directory)?,
        Language::JavaScript => {
            let compiler = interpreted::javascript(directory)?;
            (interpreted::compile_javascript(directory, &compiler)?, compiler.version)
        }
        Language::Python => {
            let compiler = interpreted::python(directory)?;
            (interpreted::compile_python(directory, &compiler)?, compiler.version)
        }
    };
    // Only now has a package manager written down what it installed.
    let stamp = BuildStamp { compiler, source: source::digest(language, directory)? };
    let json = serde_json::to_vec(&stamp).map_err(|error| unreadable(&error))?;
    sections::append(&mut component, STAMP_SECTION, &json);
    Ok((component, stamp))
}

fn rust(directory: &Path) -> Result<(Vec<u8>, String), BuildError> {
    let toolchain = toolchain::find(directory)?;
    let compiler = toolchain.version()?;
    let module = compile::compile(directory, &toolchain)?;
    let module = sections::without_names(&module).map_err(|error| unreadable(&error))?;
    Ok((gate::encode(&module)?, compiler))
}

fn unreadable(error: &dyn std::fmt::Display) -> BuildError {
    BuildError::Output(error.to_string())
}

/// Replaces a file as one step: a reader sees the old content or the new one, never a part.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let mut file = tempfile::Builder::new().prefix(".policy").tempfile_in(directory)?;
    file.write_all(content)?;
    readable(file.as_file())?;
    file.persist(path)?;
    Ok(())
}

/// Temporary files are readable by their owner alone, but a component is not a secret.
#[cfg(unix)]
fn readable(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &fs::File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
