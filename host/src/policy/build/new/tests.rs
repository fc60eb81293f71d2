use std::collections::BTreeSet;

use tempfile::TempDir;

use super::*;

#[test]
fn a_project_carries_its_name_and_the_contract_of_this_host() {
    for (language, named) in [
        (Language::Rust, "Cargo.toml"),
        (Language::JavaScript, "policy.js"),
        (Language::Python, "app.py"),
    ] {
        let folder = TempDir::new().unwrap();
        let project = folder.path().join("tea-time");
        new("tea-time", language, &project).unwrap();
        assert_eq!(Language::of(&project), Some(language));
        assert!(fs::read_to_string(project.join(named)).unwrap().contains("\"tea-time\""));
        assert_eq!(fs::read_to_string(project.join("wit/policy.wit")).unwrap(), CONTRACT);
        assert!(project.join(".gitignore").is_file());
    }
}

#[test]
fn nothing_is_overwritten() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("notes"), "mine").unwrap();
    let error = new("tea", Language::Rust, folder.path()).unwrap_err();
    assert!(matches!(error, NewError::Exists(_)), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_name_that_a_header_or_a_registry_refuses_is_refused() {
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    for name in ["", "Tea", "4tea", "tea_time", "tea time", "-tea", "té", &long] {
        let folder = TempDir::new().unwrap();
        let error = new(name, Language::Python, &folder.path().join("x")).unwrap_err();
        assert!(matches!(error, NewError::Name(_)), "{name}: {error}");
    }
}

#[test]
fn a_project_gets_the_support_code_that_it_lacks_and_keeps_what_it_has() {
    for (language, lost, kept) in [
        (Language::Rust, "corral-core/src/tag.rs", "corral-core/src/key.rs"),
        (Language::JavaScript, "corral/flight.js", "corral/policy.js"),
        (Language::Python, "corral/flight.py", "corral/policy.py"),
    ] {
        let folder = TempDir::new().unwrap();
        let project = folder.path().join("tea");
        new("tea", language, &project).unwrap();
        let [lost, kept] = [lost, kept].map(|file| project.join(file));
        let written = fs::read_to_string(&lost).unwrap();
        fs::remove_file(&lost).unwrap();
        fs::remove_dir_all(project.join("wit")).unwrap();
        fs::write(&kept, "mine").unwrap();
        complete(language, &project).unwrap();
        assert_eq!(fs::read_to_string(&lost).unwrap(), written);
        assert_eq!(fs::read_to_string(&kept).unwrap(), "mine");
        assert_eq!(fs::read_to_string(project.join("wit/policy.wit")).unwrap(), CONTRACT);
    }
}

#[test]
fn a_crate_that_takes_its_core_from_elsewhere_gets_none() {
    let elsewhere = ["corral-core = { path = \"../core\" }", "corral-core = \"1\"", "", "]"];
    for dependency in elsewhere {
        let folder = TempDir::new().unwrap();
        let manifest = format!("[dependencies]\n{dependency}\n");
        fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
        complete(Language::Rust, folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{dependency}");
    }
}

#[test]
fn the_support_code_in_rust_is_the_built_in_policy_without_its_tests() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core");
    let mut folders = vec![core.join("src")];
    let mut sources = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                sources.insert(path.strip_prefix(&core).unwrap().display().to_string());
            }
        }
    }
    // Tests, and the file that makes the built-in policy itself a component.
    sources.retain(|path| {
        !path.ends_with("/tests.rs")
            && !["src/testing.rs", "src/flight/explorer.rs", "src/default.rs"]
                .contains(&path.as_str())
    });
    let written: BTreeSet<String> =
        RUST_SUPPORT.iter().map(|(path, _)| path.replace("corral-core/", "")).collect();
    assert_eq!(written, sources);
}

#[test]
fn the_support_code_in_rust_has_the_dependencies_of_the_built_in_policy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let (core, workspace) = (manifest("core/Cargo.toml"), manifest("Cargo.toml"));
    let (_, support) = RUST_SUPPORT_MANIFEST[0];
    let wanted = core.lines().filter_map(|line| line.strip_suffix(".workspace = true"));
    let mut compared = 0;
    for name in wanted {
        let declared = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" = { version"))
        };
        if let Some(ours) = support.lines().find(declared) {
            assert_eq!(workspace.lines().find(declared), Some(ours));
            compared += 1;
        }
    }
    let dependencies = support.lines().filter(|line| line.contains("= { version = \"")).count();
    assert_eq!(compared, dependencies, "{support}");
}
