//! Policies by other authors, in Rust, JavaScript and Python: from nothing to serving.

// The exemptions for tests do not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use corral_host::policy::build::{self, Language};
use corral_host::policy::prove::gate::Explored;
use corral_host::policy::prove::suite;
use corral_host::policy::{Decider, Limits};
use corral_tests::authors::{HEAD, Judged, examined, judged, line};
use corral_tests::behaviour::first_other_decision;
use corral_tests::native::Native;
use corral_tests::scenario::newcomer::{own_test, walk};
use corral_tests::servers::corral;
use corral_tests::toolbox::{cache, folder, run};
use serde_json::{Map, Value};
use tempfile::TempDir;

/// Fewer calls than for the built-in policy, since an interpreter is slow.
const CALLS: usize = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_policy_in_rust_serves_and_decides_as_the_built_in_one() {
    newcomer(Language::Rust).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_policy_in_javascript_serves_and_decides_as_the_built_in_one() {
    newcomer(Language::JavaScript).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_policy_in_python_serves_and_decides_as_the_built_in_one() {
    newcomer(Language::Python).await;
}

#[test]
fn the_example_that_adapts_lifetimes_is_a_good_policy() {
    let example = Example::of("adaptive", Language::Rust);
    assert_eq!(example.files(), ["Cargo.toml", "README.md", "src/lib.rs", "src/tests.rs"]);
    let judged = example.judged();
    assert_eq!(judged.passport.name, "adaptive");
    let other = other_decision(&*judged.pool);
    assert_eq!(other, None, "it differs in more than lifetimes");
}

#[test]
fn the_example_with_rules_is_a_good_policy() {
    let example = Example::of("rules", Language::JavaScript);
    let own = ["README.md", "package.json", "policy.js", "rules.js", "rules.test.js"];
    assert_eq!(example.files(), own);
    let judged = example.judged();
    assert_eq!(judged.passport.name, "rules");
}

#[test]
fn the_file_that_an_author_edits_is_short_and_the_rest_is_marked_as_support_code() {
    for (language, own) in [
        (Language::Rust, "src/lib.rs"),
        (Language::JavaScript, "policy.js"),
        (Language::Python, "app.py"),
    ] {
        let home = TempDir::new().unwrap();
        let project = home.path().join("tea");
        build::new("tea", language, &project).unwrap();
        let lines = fs::read_to_string(project.join(own)).unwrap().lines().count();
        assert!(lines <= 40, "{own} has {lines} lines");
        let support = listed(&project, &[]).into_iter().filter(|file| file.starts_with("corral"));
        for file in support {
            let text = fs::read_to_string(project.join(&file)).unwrap();
            assert!(text.contains("Support code of Corral"), "{}", file.display());
        }
    }
}

/// The command prints the suite's verdict for authors.
#[test]
fn the_command_prints_a_sentence_for_each_check_and_fails_with_one_of_them() {
    let builtin = folder("../host/default-policy.wasm");
    let mut command = corral().unwrap();
    let said = run(command.args(["policy", "test"]).arg(&builtin)).unwrap();
    assert_eq!(said.matches("  passed  ").count(), suite::CHECKS.len(), "{said}");
    let mut command = corral().unwrap();
    let said = run(command.args(["policy", "test", "--json"]).arg(&builtin)).unwrap();
    let document: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&document["name"], &document["passed"]), (&"default".into(), &true.into()));
}

/// A host may watch the file.
#[test]
fn a_build_that_the_gate_refuses_leaves_the_component_as_it_was() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("policy.wasm");
    fs::write(&file, "as it was").unwrap();
    let mut command = corral().unwrap();
    command.args(["policy", "build"]).arg(folder("policies/bad/colliding-keys"));
    let output = command.arg("--out").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("nothing was written, since the policy was refused at the gate"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "as it was");
}

async fn newcomer(language: Language) {
    let home = TempDir::new().unwrap();
    let walked = walk(language, home.path(), Some(&cache("policies").unwrap())).await.unwrap();
    let judged = judged(&walked.component).unwrap();
    println!("{HEAD}\n{}", line(&walked, judged.cost));
    assert_eq!(judged.failed, Vec::<String>::new());
    assert_eq!(other_decision(&*judged.pool), None);
    if language != Language::Rust {
        // On a host with smaller limits, a component that there was no time to explore is refused,
        // and the refusal names the setting that helps.
        match examined(&walked.component, Limits::default()) {
            Ok(passed) => {
                let Explored { reads, changes, .. } = passed.report().explored;
                assert_eq!((reads.done, changes.done), (reads.of, changes.of));
            }
            Err(refused) => assert!(refused.to_string().contains("policy.limits"), "{refused}"),
        }
    }
    // The control: a policy that gives other names is found to differ.
    let renamed = native(r#"{"namespace": "v2"}"#);
    assert!(first_other_decision(&renamed, &*judged.pool, 0, CALLS).unwrap().is_some());
}

/// The first decision, apart from lifetimes, in which it differs from the built-in policy; `None`
/// if it does not differ.
fn other_decision(policy: &dyn Decider) -> Option<String> {
    first_other_decision(&native("{}"), policy, 0, CALLS).unwrap()
}

fn native(own: &str) -> Native {
    let own: Map<String, Value> = serde_json::from_str(own).unwrap();
    Native::try_new(&suite::configuration(&own)).unwrap()
}

/// A copy of an example's project, so that nothing is built among the sources.
struct Example {
    home: TempDir,
    name: &'static str,
    language: Language,
}

impl Example {
    fn of(name: &'static str, language: Language) -> Self {
        let home = TempDir::new().unwrap();
        let source = folder("policies").join(name);
        copy(&source, &home.path().join(name));
        if language == Language::Rust {
            // The copy depends on the built-in policy's source, which stays where it is.
            let manifest = home.path().join(name).join("Cargo.toml");
            let text = fs::read_to_string(&manifest).unwrap();
            let core = folder("../core").canonicalize().unwrap();
            let moved = text.replace("../../../core", core.to_str().unwrap());
            assert_ne!(moved, text);
            fs::write(manifest, moved).unwrap();
        }
        Self { home, name, language }
    }

    fn project(&self) -> PathBuf {
        self.home.path().join(self.name)
    }

    /// Builds it by the command, runs its own tests, and puts it through the gate and the suite.
    fn judged(&self) -> Judged {
        let target = cache("policies").unwrap();
        let mut command = corral().unwrap();
        command.args(["policy", "build"]).arg(self.project()).env("CARGO_TARGET_DIR", &target);
        run(&mut command).unwrap();
        run(&mut own_test(self.language, &self.project(), Some(&target))).unwrap();
        let judged = judged(&self.project().join("policy.wasm")).unwrap();
        assert_eq!(judged.failed, Vec::<String>::new());
        judged
    }

    /// The files of the example in the repository: its own, without support code.
    fn files(&self) -> Vec<String> {
        let own = files_in(&folder("policies").join(self.name)).into_iter();
        let named = own.map(|file| file.display().to_string());
        named.filter(|name| !name.starts_with('.')).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn copy(from: &Path, to: &Path) {
    for name in files_in(from) {
        let file = to.join(&name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(from.join(&name), file).unwrap();
    }
}

/// The files of a project, without what was built in it.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    listed(
        folder,
        &["./target/*", "./node_modules/*", "./corral/*", "./wit/*", "./policy.wasm", "./*lock*"],
    )
}

fn listed(folder: &Path, without: &[&str]) -> Vec<PathBuf> {
    let mut list = Command::new("find");
    list.current_dir(folder).args([".", "-type", "f"]);
    for path in without {
        list.args(["-not", "-path", path]);
    }
    let listed = run(&mut list).unwrap();
    listed.lines().filter_map(|line| line.strip_prefix("./")).map(PathBuf::from).collect()
}
