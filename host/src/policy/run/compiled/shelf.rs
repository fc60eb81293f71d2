//! The shelf: compiled components in files, beside a watched file or in a folder of their own.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use super::ComponentDigest;

/// Only the file's owner reads and writes it.
const MODE: u32 = 0o600;

/// Most files of one watched file: as many as are remembered in memory.
const FILES: usize = super::KEPT;

/// Most bytes of a file: native code of the largest component that the host takes.
const CODE_LIMIT: u64 = 1 << 30;

const SUFFIX: &str = ".cwasm";

/// The files beside one watched file, whose names begin with the watched file's name. Each holds
/// the digests of the component and of the code, and then the code.
pub(in crate::policy) struct Shelf {
    folder: PathBuf,
    /// `.policy.wasm.`
    prefix: String,
    /// What native code depends on: version, configuration, processor.
    engine: u64,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is not a regular file of this process's user")]
    Foreign,
    #[error("its mode is {0:o}, not 600")]
    Mode(u32),
    #[error("it is not whole, or of another component")]
    Content,
    #[error("it can't be used: {0}")]
    Code(String),
}

impl Shelf {
    pub(in crate::policy) fn beside(file: &Path, engine: &wasmtime::Engine) -> Option<Self> {
        let file = std::path::absolute(file).ok()?;
        let name = file.file_name()?.to_str()?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let folder = file.parent()?.to_owned();
        Some(Self { folder, prefix: format!(".{name}."), engine: hasher.finish() })
    }

    /// Files in a folder of their own; `None` if the folder can't be made.
    pub(in crate::policy) fn within(folder: &Path, engine: &wasmtime::Engine) -> Option<Self> {
        if let Err(error) = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder) {
            tracing::debug!(path = %folder.display(), %error, "compiled policies are not kept");
            return None;
        }
        Self::beside(&folder.join("policy"), engine)
    }

    /// What was compiled of this component before; `None` if there is no file of it that fits.
    pub(in crate::policy) fn take(
        &self,
        engine: &wasmtime::Engine,
        digest: &ComponentDigest,
    ) -> Option<Component> {
        let path = self.path(digest);
        let found = read(&path).and_then(|bytes| load(engine, digest, &bytes));
        match found {
            Ok(component) => Some(component),
            Err(Unfit::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(unfit) => {
                let path = path.display();
                tracing::warn!(%path, %unfit, "a compiled policy is not used; it is compiled anew");
                None
            }
        }
    }

    /// Writes what was compiled, in place of a file that is there.
    pub(in crate::policy) fn put(&self, digest: &ComponentDigest, component: &Component) {
        let kept = component.serialize().map_err(|error| Unfit::Code(format!("{error:#}")));
        let kept = kept.and_then(|code| Ok(self.write(digest, &code)?));
        if let Err(error) = kept {
            let path = self.folder.display();
            tracing::debug!(%path, %error, "a compiled policy is not kept");
        }
        self.tidy(digest);
    }

    /// Writes the file as a whole or not at all, and never readable by others: temporary files have
    /// mode 0600.
    fn write(&self, digest: &ComponentDigest, code: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(&self.prefix).tempfile_in(&self.folder)?;
        file.write_all(digest)?;
        file.write_all(&Sha256::digest(code))?;
        file.write_all(code)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(MODE))?;
        file.persist(self.path(digest)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes the oldest files beyond the limit.
    fn tidy(&self, newest: &ComponentDigest) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let ours = |name: &str| name.starts_with(&self.prefix) && name.ends_with(SUFFIX);
        let entries = entries.filter_map(Result::ok);
        let mut files: Vec<(SystemTime, PathBuf)> = entries
            .filter(|entry| entry.file_name().to_str().is_some_and(ours))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .filter(|(_, path)| *path != self.path(newest))
            .collect();
        files.sort();
        for (_, path) in files.iter().take((files.len() + 1).saturating_sub(FILES)) {
            // Another host beside the same watched file may have removed it first.
            let _removed = fs::remove_file(path);
        }
    }

    fn path(&self, digest: &ComponentDigest) -> PathBuf {
        let short: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{}{short}-{:016x}{SUFFIX}", self.prefix, self.engine))
    }
}

/// The content of a file, if only this process's user or root can have written it.
fn read(path: &Path) -> Result<Vec<u8>, Unfit> {
    // The checks apply to the file that was opened, so its name may change meanwhile. A link could
    // lead to a file of the same user with another purpose, and opening a pipe would wait for its
    // writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::LOOP) => return Err(Unfit::Foreign),
        Err(error) => return Err(io::Error::from(error).into()),
    };
    check(&file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(CODE_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check(metadata: &fs::Metadata) -> Result<(), Unfit> {
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.is_file() || Some(metadata.uid()) != own_uid() {
        return Err(Unfit::Foreign);
    }
    if mode != MODE {
        return Err(Unfit::Mode(mode));
    }
    Ok(())
}

/// The user that owns the files that this process makes.
fn own_uid() -> Option<u32> {
    static UID: OnceLock<Option<u32>> = OnceLock::new();
    *UID.get_or_init(|| Some(tempfile::tempfile().ok()?.metadata().ok()?.uid()))
}

#[expect(unsafe_code, reason = "wasmtime can't prove that native code is what it compiled")]
fn load(
    engine: &wasmtime::Engine,
    digest: &ComponentDigest,
    bytes: &[u8],
) -> Result<Component, Unfit> {
    let (component, rest) = bytes.split_first_chunk::<32>().ok_or(Unfit::Content)?;
    let (sum, code) = rest.split_first_chunk::<32>().ok_or(Unfit::Content)?;
    if component != digest || Sha256::digest(code)[..] != sum[..] {
        return Err(Unfit::Content);
    }
    // SAFETY: `bytes` come from `read`, so only this process's user or root can have written them,
    // and the digest says that they are whole: they are what `Component::serialize` gave. Wasmtime
    // itself checks that they are for this engine.
    let component = unsafe { Component::deserialize(engine, code) };
    component.map_err(|error| Unfit::Code(format!("{error:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{Wat, engine};
    use wasmtime::Engine;

    #[test]
    fn what_was_compiled_is_found_again() {
        let scene = Scene::new();
        assert!(scene.take().is_none(), "the control: nothing is there yet");
        scene.put();
        assert!(scene.take().is_some());
        let mode = fs::metadata(scene.path()).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, MODE);
    }

    #[test]
    fn a_folder_is_made_for_its_owner_alone_and_where_none_can_be_nothing_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let engine = engine();
        let folder = home.path().join("cache/corral");
        let shelf = Shelf::within(&folder, engine.wasmtime()).unwrap();
        let mode = fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700);
        let component = engine.compile(&Wat::default().component()).unwrap();
        shelf.put(&[7; 32], &component);
        let again = Shelf::within(&folder, engine.wasmtime()).unwrap();
        assert!(again.take(engine.wasmtime(), &[7; 32]).is_some());
        assert!(again.take(engine.wasmtime(), &[8; 32]).is_none());
        fs::write(home.path().join("file"), "").unwrap();
        assert!(Shelf::within(&home.path().join("file/corral"), engine.wasmtime()).is_none());
    }

    #[test]
    fn a_file_cut_short_or_changed_is_not_used() {
        let scene = Scene::new();
        scene.put();
        let whole = fs::read(scene.path()).unwrap();
        for length in [0, 31, 63, 64, whole.len() / 2, whole.len() - 1] {
            scene.overwrite(&whole[..length]);
            assert!(scene.take().is_none(), "{length} bytes of {}", whole.len());
        }
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        scene.overwrite(&changed);
        assert!(scene.take().is_none());
        scene.overwrite(&whole);
        assert!(scene.take().is_some(), "the control");
    }

    #[test]
    fn a_link_is_not_followed() {
        let scene = Scene::new();
        scene.put();
        let elsewhere = scene.path().with_extension("elsewhere");
        fs::rename(scene.path(), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, scene.path()).unwrap();
        assert!(scene.take().is_none());
        fs::rename(&elsewhere, scene.path()).unwrap();
        assert!(scene.take().is_some(), "the control");
    }

    #[test]
    fn a_file_that_others_may_have_written_is_not_used() {
        let scene = Scene::new();
        scene.put();
        for mode in [0o660, 0o606, 0o644, 0o700, 0o4600] {
            fs::set_permissions(scene.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert!(scene.take().is_none(), "{mode:o}");
        }
        fs::set_permissions(scene.path(), fs::Permissions::from_mode(MODE)).unwrap();
        assert!(scene.take().is_some(), "the control");
    }

    #[test]
    fn a_file_of_another_user_is_not_used() {
        let scene = Scene::new();
        scene.put();
        // Only root may give files away.
        if std::os::unix::fs::chown(scene.path(), Some(65_534), None).is_ok() {
            assert!(scene.take().is_none());
        }
    }

    #[test]
    fn what_is_no_regular_file_is_not_used() {
        let scene = Scene::new();
        fs::create_dir(scene.path()).unwrap();
        fs::set_permissions(scene.path(), fs::Permissions::from_mode(MODE)).unwrap();
        assert!(scene.take().is_none());
    }

    #[test]
    fn code_of_another_engine_is_not_used() {
        let mut scene = Scene::new();
        scene.put();
        let other = Engine::new(wasmtime::Config::new().wasm_component_model(true)).unwrap();
        let shelf = Shelf::beside(&scene.folder.path().join("policy.wasm"), &other).unwrap();
        assert_ne!(shelf.path(&scene.digest), scene.path(), "it has another name");
        fs::rename(scene.path(), shelf.path(&scene.digest)).unwrap();
        scene.shelf = shelf;
        assert!(scene.shelf.take(&other, &scene.digest).is_none());
        assert!(scene.take().is_some(), "the control: its own engine would take it");
    }

    #[test]
    fn the_files_of_one_watched_file_are_bounded() {
        let scene = Scene::new();
        fs::write(scene.folder.path().join("other.cwasm"), "not ours").unwrap();
        for at in 0..2 * FILES as u8 {
            scene.shelf.put(&[at; 32], &scene.component);
        }
        let names: Vec<_> = fs::read_dir(scene.folder.path()).unwrap().collect();
        assert_eq!(names.len(), FILES + 1);
        assert!(scene.shelf.path(&[2 * FILES as u8 - 1; 32]).exists(), "the newest");
        assert!(scene.folder.path().join("other.cwasm").exists());
    }

    #[test]
    fn a_folder_that_does_not_exist_is_no_failure() {
        let scene = Scene::new();
        let shelf = Shelf::beside(Path::new("/nowhere/at/all.wasm"), &scene.engine).unwrap();
        shelf.put(&scene.digest, &scene.component);
        assert!(shelf.take(&scene.engine, &scene.digest).is_none());
    }

    struct Scene {
        folder: tempfile::TempDir,
        engine: Engine,
        component: Component,
        digest: ComponentDigest,
        shelf: Shelf,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let engine = engine().wasmtime().clone();
            let bytes = Wat::default().component();
            let component = Component::from_binary(&engine, &bytes).unwrap();
            let shelf = Shelf::beside(&folder.path().join("policy.wasm"), &engine).unwrap();
            Self { folder, engine, component, digest: Sha256::digest(&bytes).into(), shelf }
        }

        fn put(&self) {
            self.shelf.put(&self.digest, &self.component);
        }

        fn take(&self) -> Option<Component> {
            self.shelf.take(&self.engine, &self.digest)
        }

        fn path(&self) -> PathBuf {
            self.shelf.path(&self.digest)
        }

        fn overwrite(&self, bytes: &[u8]) {
            fs::write(self.path(), bytes).unwrap();
        }
    }
}
