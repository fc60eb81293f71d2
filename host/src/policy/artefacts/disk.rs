//! Compiled components on disk.
//!
//! A policy is held in by its sandbox; compiled code is not. Who can write such a file decides what
//! this process does, so only what this user alone could have written is run: the folder and the file
//! are this user's, nobody else may enter or read them, and neither is a link. The file carries a digest
//! of its content against what a disk or a crash does to it, and the engine refuses what another version
//! or another processor compiled. Whatever is not as it should be is compiled anew, which costs a moment.

use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::Name;

/// Files that are kept: those of a few policies under two versions of the host.
const FILES: usize = 16;

/// Of a Python interpreter some 60 MB come out.
const FILE_BYTES: u64 = 512 << 20;

const DIGEST_BYTES: usize = 32;

/// A folder of this user's alone.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// What was compiled from the component of this name, if it can be trusted.
    pub(super) fn load(&self, engine: &Engine, name: &Name) -> Option<Component> {
        let path = self.file(engine, name);
        let artefact = match self.read(&path) {
            Ok(artefact) => artefact,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, %error, "a compiled policy is not used; compiling it anew");
                return None;
            }
        };
        deserialize(engine, &artefact)
            .inspect_err(|error| tracing::debug!(%error, "a compiled policy is another engine's"))
            .ok()
    }

    /// Writes it down. That it can't be costs the next start a moment and is no reason to fail.
    pub(super) fn keep(&self, engine: &Engine, name: &Name, compiled: &Component) {
        let path = self.file(engine, name);
        let kept = compiled.serialize().map_err(io::Error::other).and_then(|artefact| {
            self.write(&path, &artefact)?;
            self.sweep()
        });
        if let Err(error) = kept {
            let path = path.display();
            tracing::info!(%path, %error, "a compiled policy is not kept for the next start");
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        private(&fs::symlink_metadata(&self.path)?)?;
        let no_link = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(no_link).open(path)?;
        private(&file.metadata()?)?;
        let mut content = Vec::new();
        file.take(FILE_BYTES).read_to_end(&mut content)?;
        let artefact = content.get(DIGEST_BYTES..).unwrap_or_default();
        if content.get(..DIGEST_BYTES) != Some(&Sha256::digest(artefact)[..]) {
            return Err(io::Error::other("it is damaged"));
        }
        Ok(content.split_off(DIGEST_BYTES))
    }

    fn write(&self, path: &Path, artefact: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        private(&fs::symlink_metadata(&self.path)?)?;
        // Private from the beginning, and whole when it gets its name.
        let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
        file.write_all(&Sha256::digest(artefact))?;
        file.write_all(artefact)?;
        file.persist(path)?;
        Ok(())
    }

    /// Removes the oldest files beyond [`FILES`].
    fn sweep(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
        files.sort_unstable();
        let surplus = files.len().saturating_sub(FILES);
        files.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }

    /// Named by the component and by what compiled it.
    pub(super) fn file(&self, engine: &Engine, name: &Name) -> PathBuf {
        let mut compiler = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut compiler);
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        self.path.join(format!("{name}-{:016x}.cwasm", compiler.finish()))
    }
}

/// Whether it is this user's, and nobody else's to enter, read or write.
fn private(metadata: &Metadata) -> io::Result<()> {
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    let closed = metadata.mode() & 0o077 == 0;
    let kind = metadata.is_dir() || metadata.is_file();
    if ours && closed && kind {
        return Ok(());
    }
    let message =
        "others could have written it: it must be this user's, with no rights for anybody else";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

#[allow(unsafe_code, reason = "the engine can't see who compiled what it is handed")]
fn deserialize(engine: &Engine, artefact: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `read` lets nothing pass but what this user wrote, with `write`, from an engine's own
    // output, and what is undamaged; the engine compares its version and configuration itself.
    unsafe { Component::deserialize(engine, artefact) }
}
