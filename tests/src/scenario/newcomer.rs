//! The path of an author that writes a policy for the first time, timed: a new project, one line
//! changed, its own test, the build, the suite, the push to a running host, and its name in a
//! response's header; then reads and writes under it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use corral_host::policy::build::Language;
use serde::Serialize;
use serde_json::json;

use crate::fleet::Fleet;
use crate::load::everything_ends;
use crate::servers::corral;
use crate::shop::{Shop, expected_profile};
use crate::toolbox::run as finished;

/// The steps of one walk, in seconds.
#[derive(Debug, Clone, Serialize)]
pub struct Walk {
    /// The policy's language.
    pub language: &'static str,
    /// `corral policy new`.
    pub new_s: f64,
    /// `corral policy build`, with everything that it fetches.
    pub build_s: f64,
    /// The project's own test.
    pub own_test_s: f64,
    /// `corral policy push`, until it is in force.
    pub push_s: f64,
    /// The first response under the policy.
    pub read_s: f64,
    /// That response's `Corral-Policy`.
    pub header: String,
    /// Size of the component.
    pub bytes: u64,
    /// The component's file.
    #[serde(skip)]
    pub component: PathBuf,
}

/// Walks the path in `home`, an empty folder. `target` is the folder in which cargo keeps what it
/// has built; `None` builds everything anew.
///
/// # Errors
/// If a step fails, or if a read or write under the new policy has another answer than it must
/// have.
pub async fn walk(language: Language, home: &Path, target: Option<&Path>) -> anyhow::Result<Walk> {
    let name = format!("tea-{}", language.name());
    let project = home.join(&name);
    let policy = |arguments: &[&str]| {
        let mut command = corral()?;
        command.arg("policy").args(arguments).current_dir(home);
        // What an earlier walk compiled would make this one fast.
        command.env("XDG_CACHE_HOME", home.join("cache"));
        command.envs(target.map(|target| ("CARGO_TARGET_DIR", target)));
        timed(command)
    };
    let new_s = policy(&["new", &name, "--lang", language.name()])?;
    let fleet = Fleet::start(1, &Shop::small(), &limits(&project)?).await?;
    let admin = fleet.admin_urls().pop().context("a host")?;
    edit(language, &project)?;
    let build_s = policy(&["build", &name])?;
    let own_test_s = timed(own_test(language, &project, target))?;
    let component = project.join("policy.wasm");
    let push_s = policy(&["push", &format!("{name}/policy.wasm"), "--url", &admin])?;
    let began = Instant::now();
    let answer = fleet.hosts[0].get("/read/user.profile?id=42").await?;
    let read_s = seconds(began.elapsed());
    ensure!(answer.json()? == expected_profile(42), "{answer:?}");
    let header = answer.header("corral-policy").to_owned();
    ensure!(header == format!("{name}@0.2.0;generation=2"), "{header}");
    serves(&fleet).await?;
    let (language, bytes) = (language.name(), fs::metadata(&component)?.len());
    Ok(Walk { language, new_s, build_s, own_test_s, push_s, read_s, header, bytes, component })
}

/// The settings that the project's README asks of a host: wider limits for an interpreter.
fn limits(project: &Path) -> anyhow::Result<String> {
    let readme = fs::read_to_string(project.join("README.md"))?;
    let mut blocks = readme.split("```").skip(1).step_by(2);
    let limits = blocks.find_map(|block| block.strip_prefix("toml\n"));
    Ok(limits.unwrap_or_default().to_owned())
}

/// Reads and writes, which every policy has to serve.
async fn serves(fleet: &Fleet) -> anyhow::Result<()> {
    let host = &fleet.hosts[0];
    for id in 1..=50 {
        for nth in 0..3 {
            let answer = host.get(&format!("/read/user.profile?id={id}")).await?;
            ensure!(answer.json()? == expected_profile(id), "{answer:?}");
            ensure!(nth == 0 || answer.is_hit(), "read {nth} of user {id}: {answer:?}");
        }
        let (user, name) = (id.to_string(), format!("Renamed {id}"));
        let written = json!({ "id": id, "name": name, "email": "new@example.com" });
        let answer = host.post("/write/user.profile/rename", &written).await?;
        ensure!(answer.json()?["cache"] == "invalidated", "{answer:?}");
        let answer = host.get(&format!("/read/user.profile?id={user}")).await?;
        ensure!(answer.json()?["name"] == name.as_str(), "stale after a write: {answer:?}");
    }
    let missing = host.get("/read/user.profile?id=100000").await?;
    ensure!(missing.status == 404, "{missing:?}");
    let metrics = host.metrics().await?;
    for result in ["trap", "refused"] {
        let bad = metrics.sum_where("corral_policy_calls_total", &[("result", result)]);
        ensure!(bad == 0.0, "{bad} calls of the policy: {result}");
    }
    everything_ends(&fleet.redis).await
}

/// Changes one line, the version.
fn edit(language: Language, project: &Path) -> anyhow::Result<()> {
    let file = project.join(match language {
        Language::Rust => "Cargo.toml",
        Language::JavaScript => "policy.js",
        Language::Python => "app.py",
    });
    let text = fs::read_to_string(&file)?;
    let edited = text.replacen("\"0.1.0\"", "\"0.2.0\"", 1);
    ensure!(edited != text, "{} has no version", file.display());
    Ok(fs::write(file, edited)?)
}

/// The project's own test, run as its README says.
#[must_use]
pub fn own_test(language: Language, project: &Path, target: Option<&Path>) -> Command {
    let mut command = match language {
        Language::Rust => {
            let mut command = Command::new("cargo");
            // The test uses what the build has compiled.
            command.args(["test", "--release", "--quiet"]);
            command.envs(target.map(|target| ("CARGO_TARGET_DIR", target)));
            command
        }
        Language::JavaScript => {
            let mut command = Command::new("node");
            command.arg("--test");
            command
        }
        Language::Python => {
            let mut command = Command::new("python3");
            command.args(["-m", "unittest"]).env("PYTHONPATH", "bindings");
            command
        }
    };
    command.current_dir(project);
    command
}

fn timed(mut command: Command) -> anyhow::Result<f64> {
    let began = Instant::now();
    finished(&mut command)?;
    Ok(seconds(began.elapsed()))
}

/// In seconds, to a thousandth.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000.0).round() / 1_000.0
}
