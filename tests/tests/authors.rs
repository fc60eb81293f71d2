//! Policies by other authors, in Rust, JavaScript and Python: from nothing to serving.

// The exemptions for tests do not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use corral_host::policy::build::{self, Language};
use corral_host::policy::gate::Explored;
use corral_host::policy::{Limits, Policy, suite};
use corral_tests::authors::{HEAD, Judged, examined, judged, line};
use corral_tests::behaviour::first_other_decision;
use corral_tests::native::Native;
use corral_tests::scenario::newcomer::{own_test, walk};
use corral_tests::servers::corral;
use corral_tests::toolbox::{cache, folder, run};
use serde_json::{Map, Value};
use tempfile::TempDir;

/// Fewer than for the built-in policy: an interpreter takes its time.
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
    let judged = example.judged();
    assert_eq!(judged.passport.name, "adaptive");
    example.differs_from_a_new_one_in(&[
        "Cargo.toml",
        "README.md",
        "src/flight.rs",
        "src/lifetime.rs",
        "src/settings.rs",
        "src/tests.rs",
    ]);
    let other = other_decision(&*judged.pool);
    assert_eq!(other, None, "it differs in more than lifetimes");
}

#[test]
fn the_example_with_rules_is_a_good_policy() {
    let example = Example::of("rules", Language::JavaScript);
    let judged = example.judged();
    assert_eq!(judged.passport.name, "rules");
    example.differs_from_a_new_one_in(&[
        "README.md",
        "flight.js",
        "naming.js",
        "package.json",
        "policy.js",
        "rules.js",
        "rules.test.js",
        "policy.test.js",
        "settings.js",
    ]);
}

/// The suite's verdict as authors see it.
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

async fn newcomer(language: Language) {
    let home = TempDir::new().unwrap();
    let walked = walk(language, home.path(), Some(&cache("policies").unwrap())).await.unwrap();
    let judged = judged(&walked.component).unwrap();
    println!("{HEAD}\n{}", line(&walked, judged.cost));
    assert_eq!(judged.failed, Vec::<String>::new());
    assert_eq!(other_decision(&*judged.pool), None);
    if language != Language::Rust {
        // Of a host that grants less, nothing passes that there was no time for, and a refusal names what helps.
        match examined(&walked.component, Limits::default()) {
            Ok(passed) => {
                let Explored { reads, changes, .. } = passed.report().explored;
                assert_eq!((reads.done, changes.done), (reads.of, changes.of));
            }
            Err(refused) => assert!(refused.to_string().contains("policy.limits"), "{refused}"),
        }
    }
    // The control: a policy that names otherwise is told apart.
    let renamed = native(r#"{"namespace": "v2"}"#);
    assert!(first_other_decision(&renamed, &*judged.pool, 0, CALLS).unwrap().is_some());
}

/// The first decision in which it differs from the built-in policy, lifetimes apart.
fn other_decision(policy: &dyn Policy) -> Option<String> {
    first_other_decision(&native("{}"), policy, 0, CALLS).unwrap()
}

fn native(own: &str) -> Native {
    let own: Map<String, Value> = serde_json::from_str(own).unwrap();
    Native::try_new(&suite::settings(&own)).unwrap()
}

/// An example's project, copied, so that nothing is built among the sources.
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
        Self { home, name, language }
    }

    fn project(&self) -> PathBuf {
        self.home.path().join(self.name)
    }

    /// Built by the command, its own tests passed, through the gate and the suite.
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

    /// The rest is what `corral policy new` writes, to the letter: an author gets what the examples
    /// are tested with.
    fn differs_from_a_new_one_in(&self, files: &[&str]) {
        let fresh = TempDir::new().unwrap();
        build::new(self.name, self.language, &fresh.path().join(self.name)).unwrap();
        let ours = folder("policies").join(self.name);
        let (old, new) = (fresh.path().join(self.name), &ours);
        let names: BTreeSet<PathBuf> = files_in(&old).into_iter().chain(files_in(new)).collect();
        let different = names.into_iter().filter(|name| {
            let [old, new] = [&old, new].map(|folder| fs::read(folder.join(name)).ok());
            old != new
        });
        let different: BTreeSet<String> =
            different.map(|name| name.display().to_string()).collect();
        let named: BTreeSet<String> = files.iter().map(|&file| file.to_owned()).collect();
        assert!(different.is_subset(&named), "{different:?} are not all among {named:?}");
    }
}

fn copy(from: &Path, to: &Path) {
    for name in files_in(from) {
        let file = to.join(&name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(from.join(&name), file).unwrap();
    }
}

/// What belongs to a project, and not what was built in it.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut list = Command::new("find");
    list.current_dir(folder).args([".", "-type", "f"]);
    for generated in ["./target/*", "./node_modules/*", "./policy.wasm", "./*lock*"] {
        list.args(["-not", "-path", generated]);
    }
    let listed = run(&mut list).unwrap();
    listed.lines().filter_map(|line| line.strip_prefix("./")).map(PathBuf::from).collect()
}
