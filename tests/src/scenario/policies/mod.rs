//! Bad policies are pushed into hosts under load, by an operator and by file. The gate refuses
//! them, or the guard contains them and they are rolled back. No request fails and none has a stale
//! answer.

mod cases;
mod report;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use corral_host::policy::builtin;
use corral_host::policy::prove::gate;
use futures_util::future::try_join;
use hyper::StatusCode;
use serde_json::Value;

pub use self::cases::{CASES, Case};
use self::cases::{CONTROL, Expected, ITEMS};
pub use self::report::{Caught, Control, Line, Report};
use super::hosts::{InForce, SOON, Seat};
use super::traffic::{Mark, Rows, Traffic};
use super::{millis, rows};
use crate::client::Client;
use crate::policies::{Artefact, artefact};
use crate::servers::{Postgres, Redis, eventually};
use crate::sim::truth::Subject;

/// So many requests show that a host serves while it handles a candidate.
const MANY: usize = 200;

/// Reads and writes of the control.
const CONTROL_ROUNDS: u64 = 20;

/// One host gets candidates from an operator, the other by file.
struct Stage {
    redis: Redis,
    _postgres: Postgres,
    pushed: Seat,
    filed: Seat,
}

/// What was seen of one candidate.
struct Trial {
    name: &'static str,
    caught: Caught,
    from: Mark,
    to: Mark,
}

/// Tries these cases, and then the control.
///
/// # Errors
/// When a policy does not build, a server does not come up, or a candidate is neither refused as
/// expected nor rolled back.
pub async fn run(cases: &[Case], told: impl Fn(&str)) -> anyhow::Result<Report> {
    let mut candidates = Vec::new();
    for case in cases {
        told(&format!("building {}", case.name));
        candidates.push((case, built(case.name).await?));
    }
    let control = built(CONTROL.0).await?;
    let stage = Stage::set(builtin()).await?;
    let traffic = Traffic::start(stage.urls(), Rows::FEW, rand::random());
    traffic.more(MANY, SOON).await?;
    let mut trials = Vec::new();
    for (case, candidate) in candidates {
        told(case.name);
        let tried = stage.try_out(&traffic, case, &candidate).await;
        trials.push(tried.with_context(|| case.name.to_owned())?);
    }
    let history = traffic.stop().await?;
    let lines = trials.into_iter().map(|Trial { name, caught, from, to }| {
        let verdict = history.between(from, Some(to));
        Line { policy: name, caught, verdict }
    });
    let lines = lines.collect();
    told(CONTROL.0);
    let control = Stage::set(&control.bytes).await?.control().await.context(CONTROL.0)?;
    let immortal = rows::immortal(&stage.redis).await?;
    let (whole, complaints) = (history.whole(), history.complaints());
    Ok(Report { lines, whole, complaints, immortal, control })
}

async fn built(name: &'static str) -> anyhow::Result<Artefact> {
    tokio::task::spawn_blocking(move || artefact(&format!("bad/{name}"))).await?
}

impl Stage {
    async fn set(first: &[u8]) -> anyhow::Result<Self> {
        let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
        rows::make(&postgres, ITEMS, Rows::FEW.teams).await?;
        let config = rows::config(&redis.url(), &postgres, "timeout = \"2s\"", Duration::ZERO);
        let pushed = Seat::take(&config, first).await?;
        let filed = Seat::take(&config, first).await?;
        Ok(Self { redis, _postgres: postgres, pushed, filed })
    }

    fn urls(&self) -> Vec<String> {
        vec![self.pushed.host.url(""), self.filed.host.url("")]
    }

    async fn try_out(
        &self,
        traffic: &Traffic,
        case: &Case,
        candidate: &Artefact,
    ) -> anyhow::Result<Trial> {
        let from = traffic.mark();
        let caught = match case.expected {
            Expected::Refused { stage, words } => {
                let found = self.refused(candidate, stage, words).await?;
                traffic.more(MANY, SOON).await?;
                Caught::Gate { stage: stage.to_owned(), found, builder: candidate.refused.clone() }
            }
            Expected::RolledBack { at } => self.rolled_back(traffic, &candidate.bytes, at).await?,
        };
        Ok(Trial { name: case.name, caught, from, to: traffic.mark() })
    }

    /// Checks that the gate refuses the candidate on both ways, for this reason; returns the reason
    /// in full.
    async fn refused(
        &self,
        candidate: &Artefact,
        stage: &str,
        words: &str,
    ) -> anyhow::Result<String> {
        let before = try_join(self.pushed.in_force(), self.filed.in_force()).await?;
        let answer = self.pushed.put(&candidate.bytes).await?;
        ensure!(answer.status == StatusCode::UNPROCESSABLE_ENTITY, "it is taken: {answer:?}");
        let report = &answer.json()?["report"];
        ensure!(report["stage"] == stage, "refused at another stage: {report}");
        let found = found(report)?;
        ensure!(found.contains(words), "refused for another reason: {found}");

        let refused = self.filed.refused().await?;
        self.filed.lay_beside(&candidate.bytes)?;
        self.filed.move_file()?;
        eventually("the file is refused", SOON, || async {
            Ok((self.filed.refused().await? > refused).then_some(()))
        })
        .await?;
        let log = self.filed.host.log();
        ensure!(log.contains(&format!("({stage})")), "the log lacks the stage: {log}");
        let after = try_join(self.pushed.in_force(), self.filed.in_force()).await?;
        ensure!(before == after, "{before:?} became {after:?}");
        Ok(found)
    }

    /// Checks that the candidate comes into force on both ways, misbehaves, and is rolled back
    /// automatically.
    async fn rolled_back(
        &self,
        traffic: &Traffic,
        candidate: &[u8],
        at: u8,
    ) -> anyhow::Result<Caught> {
        let digest = gate::digest(candidate);
        let before = try_join(self.pushed.in_force(), self.filed.in_force()).await?;
        let answer = self.pushed.put(candidate).await?;
        ensure!(answer.status == StatusCode::OK, "refused: {answer:?}");
        let began = Instant::now();
        let pushed = self.gone(&self.pushed, traffic, 0, at, &digest).await?;
        let pushed_ms = millis(began.elapsed());
        self.filed.lay_beside(candidate)?;
        self.filed.move_file()?;
        self.filed.until_changed(&before.1).await?;
        let began = Instant::now();
        let filed = self.gone(&self.filed, traffic, 1, at, &digest).await?;
        let filed_ms = millis(began.elapsed());
        ensure!(pushed.0.digest == before.0.digest, "{pushed:?} is in force, not {before:?}");
        ensure!(filed.0.digest == before.1.digest, "{filed:?} is in force, not {before:?}");
        Ok(Caught::Guard { reason: pushed.1, pushed_ms, filed_ms })
    }

    /// Provokes the candidate until it is not in force any more; returns what is in force then, and
    /// why.
    async fn gone(
        &self,
        seat: &Seat,
        traffic: &Traffic,
        host: usize,
        at: u8,
        digest: &str,
    ) -> anyhow::Result<(InForce, String)> {
        let client = Client::new();
        let over = eventually("a rollback", SOON, || async {
            traffic.read(&client, host, Subject::Item(at)).await?;
            let now = seat.in_force().await?;
            Ok((now.digest != digest).then_some(now))
        });
        let now = over.await?;
        Ok((now, reason(&seat.status().await?, digest)?))
    }

    /// Writes of the control invalidate nothing, and the checker must find the stale reads. The
    /// control is the hosts' first policy: if another policy had been in force before it,
    /// invalidations would also cover the names of that one.
    async fn control(&self) -> anyhow::Result<Control> {
        let (name, item) = CONTROL;
        let traffic = Traffic::start(self.urls(), Rows::FEW, rand::random());
        let (client, subject) = (Client::new(), Subject::Item(item));
        for version in 2..2 + CONTROL_ROUNDS {
            traffic.read(&client, 0, subject).await?;
            traffic.write(&client, 1, subject, version).await?;
            traffic.read(&client, 0, subject).await?;
        }
        let history = traffic.stop().await?;
        Ok(Control { policy: name, verdict: history.whole() })
    }
}

/// Everything that a refusal names, on one line.
fn found(report: &Value) -> anyhow::Result<String> {
    let mut words = vec![report["reason"].as_str().context("a reason")?.to_owned()];
    for finding in report["findings"].as_array().into_iter().flatten() {
        let (at, message) = (&finding["at"], &finding["message"]);
        words.push(format!(
            "{}: {}",
            at.as_str().unwrap_or_default(),
            message.as_str().unwrap_or_default()
        ));
    }
    Ok(words.join("; "))
}

/// Why the host went back from the component of this digest, as the host says it.
fn reason(status: &Value, digest: &str) -> anyhow::Result<String> {
    let reason = &status["activations"][0]["reason"];
    ensure!(reason["by"] == "rolled-back-automatically", "not rolled back automatically: {reason}");
    let generations = status["generations"].as_array().context("generations")?;
    let failed = generations.iter().find(|generation| generation["digest"] == digest);
    let failure = failed.and_then(|failed| failed["failures"][0].as_str()).unwrap_or_default();
    let count = |name: &str| reason[name].as_u64().unwrap_or_default();
    Ok(format!("{} traps, {} refused; the last: {failure}", count("traps"), count("refused")))
}
