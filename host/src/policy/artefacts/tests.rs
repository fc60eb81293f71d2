use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::policy::testing::Wat;

/// What the folder says of itself is seen by what it gives: a file that is used is not written again.
struct Scene {
    folder: TempDir,
    component: Vec<u8>,
}

#[test]
fn a_component_is_compiled_once_and_remembered() {
    let (engine, artefacts) = (Engine::default(), Artefacts::default());
    let component = Wat::default().component();
    let first = artefacts.compile(&engine, &component).unwrap();
    let again = artefacts.compile(&engine, &component).unwrap();
    assert_eq!(first.image_range(), again.image_range());
}

#[test]
fn the_memory_is_bounded_and_keeps_what_was_used_last() {
    let (engine, artefacts) = (Engine::default(), Artefacts::default());
    let components: Vec<_> =
        (0..=KEPT).map(|at| Wat { pages: 4 + at as u32, ..Wat::default() }.component()).collect();
    for component in &components[..KEPT] {
        artefacts.compile(&engine, component).unwrap();
    }
    let first = artefacts.compile(&engine, &components[0]).unwrap();
    artefacts.compile(&engine, &components[KEPT]).unwrap();
    assert_eq!(artefacts.memory().len(), KEPT);
    let again = artefacts.compile(&engine, &components[0]).unwrap();
    assert_eq!(first.image_range(), again.image_range());
    let name: Name = Sha256::digest(&components[1]).into();
    assert!(artefacts.recall(&name).is_none());
}

#[test]
fn what_is_on_disk_is_used_at_the_next_start() {
    let scene = Scene::new();
    scene.compile();
    let before = scene.written();
    scene.compile();
    assert_eq!(scene.written(), before, "it was compiled again");
}

#[test]
fn the_files_are_this_users_alone() {
    let scene = Scene::new();
    scene.compile();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scene.path()), 0o700);
    assert_eq!(mode(&scene.file()), 0o600);
}

#[test]
fn a_truncated_file_is_compiled_anew() {
    let scene = Scene::new();
    scene.compile();
    let whole = fs::read(scene.file()).unwrap();
    fs::write(scene.file(), &whole[..whole.len() / 2]).unwrap();
    scene.compile();
    assert_eq!(fs::read(scene.file()).unwrap().len(), whole.len());
}

#[test]
fn a_changed_byte_is_compiled_anew() {
    let scene = Scene::new();
    scene.compile();
    let whole = fs::read(scene.file()).unwrap();
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(scene.file(), &changed).unwrap();
    scene.compile();
    assert_ne!(fs::read(scene.file()).unwrap(), changed);
}

#[test]
fn a_file_that_others_may_read_is_compiled_anew() {
    let scene = Scene::new();
    scene.compile();
    fs::set_permissions(scene.file(), Permissions::from_mode(0o644)).unwrap();
    let before = scene.written();
    scene.compile();
    assert_ne!(scene.written(), before, "it was used");
}

#[test]
fn a_folder_that_others_may_enter_is_not_used() {
    let scene = Scene::new();
    scene.compile();
    fs::set_permissions(scene.path(), Permissions::from_mode(0o755)).unwrap();
    let folder = Folder::new(&scene.path());
    let name: Name = Sha256::digest(&scene.component).into();
    assert!(folder.load(&Engine::default(), &name).is_none());
}

#[test]
fn a_link_is_not_followed() {
    let scene = Scene::new();
    scene.compile();
    let elsewhere = scene.path().join("elsewhere");
    fs::rename(scene.file(), &elsewhere).unwrap();
    let name: Name = Sha256::digest(&scene.component).into();
    let folder = Folder::new(&scene.path());
    let link = folder.file(&Engine::default(), &name);
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    assert!(folder.load(&Engine::default(), &name).is_none());
}

#[test]
fn another_engine_does_not_use_it() {
    let scene = Scene::new();
    scene.compile();
    let mut other = wasmtime::Config::new();
    other.epoch_interruption(true);
    let other = Engine::new(&other).unwrap();
    Artefacts::beside(&scene.path()).compile(&other, &scene.component).unwrap();
    assert_eq!(fs::read_dir(scene.path()).unwrap().count(), 2);
    // Nor when it lies under the name that it looks for.
    let (name, folder) = (Sha256::digest(&scene.component).into(), Folder::new(&scene.path()));
    let [ours, theirs] = [&Engine::default(), &other].map(|engine| folder.file(engine, &name));
    fs::copy(ours, theirs).unwrap();
    assert!(folder.load(&other, &name).is_none());
}

#[test]
fn the_folder_is_bounded() {
    let scene = Scene::new();
    scene.compile();
    for at in 0..20 {
        fs::write(scene.path().join(format!("{at}.cwasm")), "old").unwrap();
    }
    let other = Wat { pages: 5, ..Wat::default() }.component();
    Artefacts::beside(&scene.path()).compile(&Engine::default(), &other).unwrap();
    assert_eq!(fs::read_dir(scene.path()).unwrap().count(), 16);
}

#[test]
fn a_folder_that_can_not_be_made_costs_nothing_but_the_next_start() {
    let scene = Scene::new();
    let file = scene.folder.path().join("file");
    fs::write(&file, "").unwrap();
    let artefacts = Artefacts::beside(&file.join("folder"));
    assert!(artefacts.compile(&Engine::default(), &scene.component).is_ok());
}

impl Scene {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), component: Wat::default().component() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("artefacts")
    }

    /// As a process that was just started.
    fn compile(&self) {
        Artefacts::beside(&self.path()).compile(&Engine::default(), &self.component).unwrap();
    }

    fn file(&self) -> PathBuf {
        fs::read_dir(self.path()).unwrap().next().unwrap().unwrap().path()
    }

    /// Which file stands there: every write makes another one.
    fn written(&self) -> u64 {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(self.file()).unwrap())
    }
}
