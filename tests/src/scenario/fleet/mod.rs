//! Five hosts under load get one policy after the other: one that is good, one that renames every key, two
//! that are bad, and then good ones while hosts die and join. No request may fail and no read may be stale,
//! and a bad policy has to be gone from every host.

mod report;
mod stage;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use corral_host::policy::builtin;
use corral_host::policy::prove::gate::digest;
use hyper::StatusCode;
use serde_json::Value;

use super::hosts::SOON;
use super::traffic::{Rows, Traffic, Verdict};
use crate::client::Client;
use crate::policies::{component, variant};
use crate::servers::eventually;
use crate::sim::truth::Subject;
use stage::{Outcome, Stage};

pub use report::{Cold, Report, RolledOut};

/// Few rows, for the parts in which nothing has to be hot.
const FEW: Rows = Rows { items: 40, teams: 20 };

/// Requests for each row before keys are renamed and after it: enough that hardly a row is left that was
/// not read.
const REQUESTS_OF_A_ROW: usize = 10;

/// Writes of the control.
pub const WRITES: u64 = 3;

/// The size of a run.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Size {
    /// Hosts.
    #[arg(long, default_value_t = 5)]
    pub hosts: usize,
    /// Items, and half as many teams. Most of these rows are not written, so they are hot when the policy is
    /// exchanged.
    #[arg(long, default_value_t = 200)]
    pub items: u8,
    /// How long nothing happens before rollouts.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    pub rest: Duration,
    /// The share of hosts on which a bad policy comes into force first, in percent.
    #[arg(long, default_value_t = 20)]
    pub canary_percent: u8,
}

/// The policies that the hosts get.
struct Candidates {
    renamed: Vec<u8>,
    traps: Vec<u8>,
    bypasses: Vec<u8>,
}

impl Candidates {
    async fn build() -> anyhow::Result<Self> {
        let build =
            |folder| async move { tokio::task::spawn_blocking(move || component(folder)).await? };
        Ok(Self {
            renamed: build("good/renamed").await?,
            traps: build("bad/late-age").await?,
            bypasses: build("bad/bypasses").await?,
        })
    }
}

/// Runs all parts, one after the other over the same servers.
///
/// # Errors
/// If a server does not come up, or a rollout does not end as it should.
pub async fn run(size: Size, told: impl Fn(&str)) -> anyhow::Result<Report> {
    let candidates = Candidates::build().await?;
    let rows = Rows { items: size.items, teams: size.items / 2 };
    let mut stage = Stage::set(size.hosts, rows).await?;
    let traffic = stage.traffic(rows);
    let canary = format!("?canary={}&for=60s", size.canary_percent);
    tokio::time::sleep(size.rest).await;

    told("a good policy, while another one is asked for on another host");
    let good = variant(builtin(), 1);
    let (good_out, second) = two_at_once(&stage, &good).await?;
    good_out.expect_everywhere(&good)?;

    told("a policy that traps once in a thousand calls");
    let readers = stage.readers(rows);
    let traps_out = stage.roll_out(&candidates.traps, &canary).await?;
    traps_out.expect_back(&good)?;
    told("a policy that loads every second value again");
    let bypasses_out = stage.roll_out(&candidates.bypasses, &canary).await?;
    bypasses_out.expect_back(&good)?;
    let reads = readers.stop().await?;

    told("a policy that renames every key");
    traffic.more(requests_of_all(rows), SOON).await?;
    let quiet = traffic.mark();
    tokio::time::sleep(size.rest).await;
    let exchanged = traffic.mark();
    let asked = Instant::now();
    let begun = stage.begin(0, &candidates.renamed, "?rename=allow").await?;
    let renamed_out = stage.ended(&begun, asked).await?;
    renamed_out.expect_everywhere(&candidates.renamed)?;
    traffic.more(requests_of_all(rows), SOON).await?;
    let over = traffic.mark();

    let history = traffic.stop().await?;

    told("a good policy, while the host that was asked dies and another one joins");
    let (change, died) = changing(&mut stage, rows, &variant(builtin(), 2)).await?;
    let hot = &begun["report"]["hot"];
    let number = |name: &str| hot[name].as_u64().with_context(|| format!("{name}: {begun}"));
    let (before, after) = (history.cold(quiet, exchanged), history.cold(exchanged, over));
    Ok(Report {
        good: RolledOut::of(&good_out),
        second,
        renamed: RolledOut::of(&renamed_out),
        cold: Cold {
            hot: number("asked")?,
            foretold: number("renamed")?,
            rows_before: before.len(),
            rows_after: after.len(),
        },
        traps: RolledOut::of(&traps_out),
        bypasses: RolledOut::of(&bypasses_out),
        change: RolledOut::of(&change),
        verdict: history.whole(),
        readers: Verdict {
            requests: reads.len(),
            failed: reads.iter().filter(|is_good| !**is_good).count(),
            stale: 0,
        },
        died,
        complaints: history.complaints(),
        immortal: super::rows::immortal(&stage.redis).await?,
    })
}

/// So many requests that hardly a row is left that was not read.
fn requests_of_all(rows: Rows) -> usize {
    REQUESTS_OF_A_ROW * (usize::from(rows.items) + usize::from(rows.teams))
}

/// A rollout, and another one that is asked for at the same moment; returns the answer to the one that was
/// refused.
async fn two_at_once(stage: &Stage, good: &[u8]) -> anyhow::Result<(Outcome, String)> {
    let other = variant(builtin(), 7);
    let asked = Instant::now();
    let (one, two) = tokio::join!(stage.ask(0, good, ""), stage.ask(1, &other, ""));
    let (one, two) = (one?, two?);
    let (begun, refused, came) = match (one.status, two.status) {
        (StatusCode::OK, StatusCode::CONFLICT) => (one, two, good),
        (StatusCode::CONFLICT, StatusCode::OK) => (two, one, &*other),
        _ => anyhow::bail!("{one:?} {two:?}"),
    };
    let (begun, refused): (Value, Value) = (begun.json()?, refused.json()?);
    ensure!(refused["type"] == "urn:corral:problem:rollout-under-way", "{refused}");
    let id = begun["rollout"]["brings"]["rollout"].as_str().context("an id")?;
    let detail = refused["detail"].as_str().context("a detail")?.to_owned();
    ensure!(detail.contains(id), "it names the first one: {detail}");
    let outcome = stage.ended(&begun, asked).await?;
    if came == good {
        return Ok((outcome, detail));
    }
    outcome.expect_everywhere(&other)?;
    Ok((stage.roll_out(good, "").await?, detail))
}

/// The host that is asked is killed at once, and another one joins meanwhile; one more joins afterwards.
async fn changing(
    stage: &mut Stage,
    rows: Rows,
    good: &[u8],
) -> anyhow::Result<(Outcome, Verdict)> {
    let mut asked = stage.hosts.remove(0);
    let traffic = stage.traffic(rows);
    let path = "/admin/policy/rollout?rename=allow";
    let began = Instant::now();
    let answer = asked.put(path, good.to_vec()).await?;
    ensure!(answer.status == StatusCode::OK, "{answer:?}");
    asked.kill();
    stage.join().await?;
    let outcome = stage.ended(&answer.json()?, began).await?;
    outcome.expect_everywhere(good)?;
    stage.join().await?;
    let runs = stage.digests().await?.pop();
    ensure!(runs == Some(digest(good)), "a host that starts later runs {runs:?}");
    let history = traffic.stop().await?;
    let (verdict, complaints) = (history.whole(), history.complaints());
    ensure!((verdict.failed, verdict.stale) == (0, 0), "{verdict:?} {complaints:#?}");
    Ok((outcome, verdict))
}

/// Control: the policy that costs the origin half of all reads, on all hosts at once, so that no host is left
/// to compare it with. Returns what the judge of a retreat says.
///
/// # Errors
/// If a server does not come up, or the rollout does not end.
pub async fn without_canaries() -> anyhow::Result<anyhow::Result<()>> {
    let bad = tokio::task::spawn_blocking(|| component("bad/bypasses")).await??;
    let stage = Stage::set(2, FEW).await?;
    let traffic = stage.traffic(FEW);
    let outcome = stage.roll_out(&bad, "").await?;
    let verdict = traffic.stop().await?.whole();
    ensure!((verdict.failed, verdict.stale) == (0, 0), "{verdict:?}");
    Ok(outcome.expect_back(stage::first()))
}

/// Control: how long writes on one host take, after a rollout of a policy that renames keys, and after the
/// other host got such a policy that this one has not learned.
///
/// # Errors
/// If a server does not come up, or a host does not take the policy.
pub async fn without_learning() -> anyhow::Result<[Duration; 2]> {
    let renamed = tokio::task::spawn_blocking(|| component("good/renamed")).await??;
    let stage = Stage::set(2, FEW).await?;
    let traffic = Traffic::idle(stage.hosts.iter().map(|host| host.url("")).collect());
    let outcome = stage.roll_out(&renamed, "?rename=allow").await?;
    outcome.expect_everywhere(&renamed)?;
    let learned = written(&traffic, 2).await?;
    let unlearned = variant(builtin(), 9);
    let answer = stage.hosts[0].put("/admin/policy?rename=allow", unlearned).await?;
    ensure!(answer.status == StatusCode::OK, "{answer:?}");
    let read = stage.hosts[0].url("/read/item?id=0");
    eventually("the first host fills under the new names", SOON, || async {
        Ok(Client::new().get(&read).await?.is_hit().then_some(()))
    })
    .await?;
    let unlearned = written(&traffic, 2 + WRITES).await?;
    let history = traffic.stop().await?;
    let verdict = history.whole();
    ensure!((verdict.failed, verdict.stale) == (0, 0), "{verdict:?} {:?}", history.complaints());
    Ok([learned, unlearned])
}

/// How long [`WRITES`] on the second host take, each between two reads on the first.
async fn written(traffic: &Traffic, from: u64) -> anyhow::Result<Duration> {
    let (client, subject) = (Client::new(), Subject::Item(0));
    let mut took = Duration::ZERO;
    for version in from..from + WRITES {
        traffic.read(&client, 0, subject).await?;
        let began = Instant::now();
        traffic.write(&client, 1, subject, version).await?;
        took += began.elapsed();
        traffic.read(&client, 0, subject).await?;
    }
    Ok(took)
}

/// The command brings a policy to two hosts, and then the store is emptied; returns what the command said, and
/// what `corral fleet` said before that.
///
/// # Errors
/// If a server does not come up, or a command fails.
pub async fn commanded() -> anyhow::Result<(String, String)> {
    let mut stage = Stage::set(2, FEW).await?;
    let home = tempfile::tempdir()?;
    let file = home.path().join("policy.wasm");
    std::fs::write(&file, variant(builtin(), 4))?;
    let file = file.display().to_string();
    let said = stage.command(&["policy", "rollout", &file]).await?;
    let fleet = stage.command(&["fleet"]).await?;
    stage.redis.say(&["FLUSHALL"]).await?;
    eventually("the record is written again", SOON, || async {
        Ok((stage.fleet().await?["runs"] != Value::Null).then_some(()))
    })
    .await?;
    stage.join().await?;
    let runs = stage.digests().await?.pop();
    ensure!(runs == Some(digest(&variant(builtin(), 4))), "a host that starts later runs {runs:?}");
    stage.command(&["policy", "rollout", "--forget"]).await?;
    Ok((said, fleet))
}

/// An operator stops a rollout, and a host that was frozen meanwhile comes back; returns what it runs in the
/// end, and what the hosts ran before.
///
/// # Errors
/// If a server does not come up, or the rollout does not end.
pub async fn stopped() -> anyhow::Result<(Vec<String>, String)> {
    let stage = Stage::set(2, FEW).await?;
    let begun = stage.begin(0, &variant(builtin(), 3), "?canary=100&for=1h").await?;
    let asked = Instant::now();
    eventually("both hosts run it", SOON, || async {
        let brought = digest(&variant(builtin(), 3));
        Ok(stage.digests().await?.iter().all(|it| *it == brought).then_some(()))
    })
    .await?;
    stage.hosts[0].stop()?;
    let answer = stage.stop(1).await?;
    ensure!(answer.status == StatusCode::OK, "{answer:?}");
    eventually("the rollout ends without it", SOON, || async {
        Ok((stage.fleet().await?["rollout"] == Value::Null).then_some(()))
    })
    .await?;
    stage.hosts[0].cont()?;
    let outcome = stage.ended(&begun, asked).await?;
    Ok((outcome.digests, digest(builtin())))
}
