use std::fs::{create_dir_all, write};

use tempfile::TempDir;
use wit_component::StringEncoding;
use wit_component::metadata;
use wit_parser::Resolve;

use super::*;
use crate::policy::prove::gate::{Conditions, Stage, examine};
use crate::policy::testing::{WIT, Wat, engine};

/// The project's component, in the place where authors get it.
fn built(directory: &Path) -> Result<Built, BuildError> {
    component(directory)?.write(directory, None)
}

#[test]
fn one_source_in_two_directories_makes_the_same_component() {
    let [here, there] = [policy_crate("built"), policy_crate("built")];
    let [one, other] = [&here, &there].map(|at| built(at.path()).unwrap());
    assert_eq!(one.digest, other.digest);
    assert_eq!(one.path, here.path().join("policy.wasm"));
    let bytes = fs::read(&one.path).unwrap();
    for place in [here.path(), Path::new(env!("CARGO_MANIFEST_DIR"))] {
        let place = place.to_str().unwrap().as_bytes();
        assert!(!bytes.windows(place.len()).any(|part| part == place), "it names a directory");
    }
    assert_eq!(stamp_of(&bytes), Some(one.stamp));
    assert_eq!(examine(&engine(), &bytes, &Conditions::default()).unwrap().report().name, "built");
    assert_eq!(check_current(there.path(), &one.path).unwrap(), Compared::Bytes);
}

#[test]
fn a_component_is_stale_once_its_sources_changed() {
    let at = policy_crate("changed");
    let component = stamped(&at, "rustc of another day");
    let compiler = "rustc of another day".to_owned();
    let current = check_current(at.path(), &component).unwrap();
    assert_eq!(current, Compared::Sources { compiler }, "another compiler may make other bytes");
    write(at.path().join("src/more.rs"), "").unwrap();
    assert!(matches!(check_current(at.path(), &component), Err(Stale::Source { .. })));
}

#[test]
fn a_component_that_its_compiler_makes_differently_is_stale() {
    let at = policy_crate("differs");
    let rustc = toolchain::find(at.path()).unwrap().version().unwrap();
    let component = stamped(&at, &rustc);
    assert!(matches!(check_current(at.path(), &component), Err(Stale::Bytes { .. })));
}

#[test]
fn a_component_without_a_stamp_is_stale() {
    let at = policy_crate("unstamped");
    let component = at.path().join("policy.wasm");
    write(&component, Wat::default().component()).unwrap();
    assert!(matches!(check_current(at.path(), &component), Err(Stale::Unstamped)));
    let missing = at.path().join("missing.wasm");
    assert!(matches!(check_current(at.path(), &missing), Err(Stale::Unreadable { .. })));
}

#[test]
fn the_digest_of_sources_sees_content_names_and_places() {
    let at = policy_crate("digest");
    let mut digests = vec![source::digest(Language::Rust, at.path()).unwrap()];
    let steps: [(&str, &str); 4] =
        [("src/a.rs", "x"), ("src/a.rs", "y"), ("src/deep/b.rs", ""), ("wit/policy.wit", "")];
    for (file, content) in steps {
        let file = at.path().join(file);
        create_dir_all(file.parent().unwrap()).unwrap();
        write(file, content).unwrap();
        digests.push(source::digest(Language::Rust, at.path()).unwrap());
    }
    fs::rename(at.path().join("src/a.rs"), at.path().join("src/c.rs")).unwrap();
    digests.push(source::digest(Language::Rust, at.path()).unwrap());
    let all = digests.len();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), all);
}

#[test]
fn a_directory_without_a_project_is_refused() {
    let empty = TempDir::new().unwrap();
    let error = built(empty.path()).unwrap_err();
    assert!(matches!(error, BuildError::NotAProject(_)), "{error}");
}

#[test]
fn a_crate_that_is_no_policy_is_refused_and_writes_nothing() {
    let at = policy_crate("empty");
    write(at.path().join("src/lib.rs"), "").unwrap();
    let error = built(at.path()).unwrap_err();
    let BuildError::Rejected(rejection) = error else { panic!("{error}") };
    assert_eq!(rejection.stage, Stage::Exports);
    assert!(!at.path().join("policy.wasm").exists());
}

/// A crate without dependencies whose library is a policy, with hand-written bindings. Its name is
/// the test's own, since builds may share a folder for their output.
fn policy_crate(name: &str) -> TempDir {
    let at = TempDir::new().unwrap();
    create_dir_all(at.path().join("src")).unwrap();
    write(at.path().join("Cargo.toml"), MANIFEST.replace("NAME", name)).unwrap();
    write(at.path().join("src/lib.rs"), SOURCE).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_source("policy.wit", WIT).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let contract = metadata::encode(&resolve, world, StringEncoding::UTF8, None).unwrap();
    write(at.path().join("src/contract.bin"), contract).unwrap();
    at
}

/// A component with the stamp of the crate's sources.
fn stamped(at: &TempDir, rustc: &str) -> PathBuf {
    let stamp = BuildStamp {
        compiler: rustc.into(),
        source: source::digest(Language::Rust, at.path()).unwrap(),
    };
    let mut component = Wat::default().component();
    sections::append(&mut component, STAMP_SECTION, &serde_json::to_vec(&stamp).unwrap());
    let path = at.path().join("stamped.wasm");
    write(&path, component).unwrap();
    path
}

const MANIFEST: &str = r#"
[package]
name = "NAME"
version = "0.1.0"
edition = "2024"

[workspace]
"#;

const SOURCE: &str = r#"
#[used]
#[unsafe(link_section = "component-type:policy")]
static CONTRACT: [u8; include_bytes!("contract.bin").len()] = *include_bytes!("contract.bin");

#[repr(C)]
pub struct Answer([usize; 16]);
static DESCRIBE: (&str, &str) = ("built", "1.0.0");

fn answer(words: [usize; 16]) -> *const Answer {
    Box::leak(Box::new(Answer(words)))
}

#[unsafe(export_name = "corral:policy/decisions@0.2.0#describe")]
extern "C" fn describe() -> *const Answer {
    let (name, version) = DESCRIBE;
    let mut words = [0; 16];
    words[0] = name.as_ptr() as usize;
    words[1] = name.len();
    words[2] = version.as_ptr() as usize;
    words[3] = version.len();
    answer(words)
}

#[unsafe(no_mangle)]
extern "C" fn cabi_realloc(_: usize, _: usize, _: usize, size: usize) -> *mut u8 {
    if size > 1 << 20 {
        panic!("a message that names this file: {size}");
    }
    vec![0_u64; size / 8 + 1].leak().as_mut_ptr().cast()
}

#[unsafe(export_name = "corral:policy/decisions@0.2.0#configure")]
extern "C" fn configure(_: usize, _: usize, _: usize, _: usize) -> *const Answer {
    answer([0; 16])
}

#[unsafe(export_name = "corral:policy/decisions@0.2.0#plan")]
extern "C" fn plan(
    _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32,
) -> *const Answer {
    answer([0; 16])
}

#[unsafe(export_name = "corral:policy/decisions@0.2.0#row-tags")]
extern "C" fn row_tags(
    _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32,
) -> *const Answer {
    answer([0; 16])
}

#[unsafe(export_name = "corral:policy/decisions@0.2.0#step")]
extern "C" fn step(
    _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i64, _: i32, _: i32, _: i32, _: i32,
    _: i32, _: i32, _: i32, _: i32, _: i32,
) -> *const Answer {
    let mut words = [0; 16];
    words[4] = 6;
    answer(words)
}

#[unsafe(export_name = "corral:policy/decisions@0.2.0#invalidate")]
extern "C" fn invalidate(
    _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32,
) -> *const Answer {
    answer([0; 16])
}
"#;
