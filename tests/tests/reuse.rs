//! The component that the host carries, in Python and in Node: it gives the same keys, lifetimes
//! and turns, so that a service in another language names the same keys.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use corral_host::policy::prove::gate;
use corral_host::policy::{Engine, InstancePool, Limits, builtin};
use corral_tests::behaviour::{Generator, configuration};
use corral_tests::native::Native;
use corral_tests::toolbox::{folder, node, python, run};
use corral_tests::wire::{configure, recorded};
use serde_json::Value;
use tempfile::TempDir;

const CALLS: usize = 10_000;

#[test]
fn ten_thousand_calls_have_the_same_answers_in_the_host_in_python_and_in_node() {
    let scene = Scene::recorded();
    scene.in_python().unwrap();
    scene.in_node().unwrap();
}

/// The control: each of the comparisons can fail.
#[test]
fn one_other_answer_among_the_calls_is_found_in_python_and_in_node() {
    let scene = Scene::recorded();
    let text = fs::read_to_string(scene.calls()).unwrap();
    // Keys occur only in answers.
    let other = text.replacen(r#""key":"v1:"#, r#""key":"v2:"#, 1);
    assert_ne!(other, text);
    fs::write(scene.calls(), other).unwrap();
    for outcome in [scene.in_python(), scene.in_node()] {
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("\nanswered "), "{error}");
    }
}

/// A component and calls of it, in files.
struct Scene {
    home: TempDir,
}

impl Scene {
    /// Records answers of the native policy, and the component that the host carries, which has to
    /// give the same.
    fn recorded() -> Self {
        let home = TempDir::new().unwrap();
        fs::write(home.path().join("policy.wasm"), builtin()).unwrap();
        let (native, hosted) = (Native::try_new(&configuration()).unwrap(), hosted());
        let mut generator = Generator::new(0);
        let mut lines = vec![configure(&configuration()).to_string()];
        for _ in 0..CALLS {
            let call = generator.call();
            let line = recorded(&call, &native).unwrap();
            assert_eq!(line, recorded(&call, &*hosted).unwrap(), "{call:?}");
            lines.push(Value::to_string(&line));
        }
        fs::write(home.path().join("calls.jsonl"), lines.join("\n") + "\n").unwrap();
        Self { home }
    }

    fn calls(&self) -> PathBuf {
        self.home.path().join("calls.jsonl")
    }

    fn component(&self) -> PathBuf {
        self.home.path().join("policy.wasm")
    }

    fn in_python(&self) -> anyhow::Result<()> {
        let python = python(&folder("reuse").join("requirements.txt"))?;
        let script = folder("reuse").join("replay.py");
        let mut replay = Command::new(python);
        all(&run(replay.arg(script).arg(self.component()).arg(self.calls()))?);
        Ok(())
    }

    fn in_node(&self) -> anyhow::Result<()> {
        let modules = node(&folder("reuse").join("package.json"))?;
        let out = self.home.path().join("policy");
        let mut jco = Command::new(modules.join("node_modules/.bin/jco"));
        jco.arg("transpile").arg(self.component()).args([
            "--quiet",
            "--name",
            "policy",
            "--out-dir",
        ]);
        run(jco.arg(&out))?;
        fs::write(out.join("package.json"), r#"{"type": "module"}"#)?;
        let mut replay = Command::new("node");
        replay.arg(folder("reuse").join("replay.mjs"));
        all(&run(replay.arg(out.join("policy.js")).arg(self.calls()))?);
        Ok(())
    }
}

fn all(said: &str) {
    assert_eq!(said.trim(), format!("{CALLS} answers are the same"));
}

/// The component in the host's engine.
fn hosted() -> Arc<InstancePool> {
    let engine = Engine::new(Limits::default()).unwrap();
    let conditions = gate::Conditions::of(configuration());
    let passed = gate::examine(&engine, builtin(), &conditions).unwrap();
    Arc::clone(passed.pool())
}
