//! Five hosts, and what is asked of them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use corral_host::policy::builtin;
use corral_host::policy::prove::gate::digest;
use hyper::{Method, StatusCode};
use serde_json::Value;

use super::super::hosts::SOON;
use super::super::rows;
use super::super::traffic::{Rows, Traffic};
use crate::client::{Answer, Client};
use crate::load::Load;
use crate::servers::{Host, Postgres, Redis, corral, eventually};

/// Connections of [`Stage::readers`].
const READERS: usize = 8;

/// The path of a fleet's rollout.
const PATH: &str = "/admin/policy/rollout";

/// Hosts over one store and one origin.
pub(super) struct Stage {
    pub(super) redis: Redis,
    _postgres: Postgres,
    config: String,
    pub(super) hosts: Vec<Host>,
}

/// A rollout that has ended, as the last host says.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// The record's `last`.
    pub(super) last: Value,
    /// The digest of the component in force on each host.
    pub(super) digests: Vec<String>,
    /// From the request to the moment when the last host was seen to run what it should.
    pub(super) settled_after: Duration,
}

impl Stage {
    pub(super) async fn set(hosts: usize, rows: Rows) -> anyhow::Result<Self> {
        let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
        rows::make(&postgres, rows.items, rows.teams).await?;
        let config = rows::config(&redis.url(), &postgres, "timeout = \"2s\"", Duration::ZERO);
        let mut stage = Self { redis, _postgres: postgres, config, hosts: Vec::new() };
        for _ in 0..hosts {
            stage.join().await?;
        }
        Ok(stage)
    }

    /// Starts one more host.
    pub(super) async fn join(&mut self) -> anyhow::Result<()> {
        self.hosts.push(Host::start(&self.config).await?);
        Ok(())
    }

    pub(super) fn traffic(&self, rows: Rows) -> Traffic {
        let urls = self.hosts.iter().map(|host| host.url("")).collect();
        Traffic::start(urls, rows, rand::random())
    }

    /// Connections that read items of all hosts in turn, for policies that fail once in many reads; each
    /// says whether it was answered.
    pub(super) fn readers(&self, rows: Rows) -> Load<bool> {
        let urls: Vec<String> = self.hosts.iter().map(|host| host.url("")).collect();
        Load::start(READERS, move |client, turn| {
            let host = &urls[(turn.connection + turn.nth) % urls.len()];
            let id = (turn.connection + 7 * turn.nth) % usize::from(rows.items);
            let url = format!("{host}/read/item?id={id}");
            async move { client.get(&url).await.is_ok_and(|it| it.status == StatusCode::OK) }
        })
    }

    /// Runs `corral` with these arguments and the first host's admin address; returns what it prints.
    pub(super) async fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = corral()?;
        let admin = self.hosts[0].url("/admin").replace("/admin", "");
        command.args(arguments).args(["--url", &admin]);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        ensure!(output.status.success(), "{}", text(output.stderr));
        Ok(text(output.stdout))
    }

    /// Asks a host for a rollout.
    pub(super) async fn ask(
        &self,
        host: usize,
        component: &[u8],
        query: &str,
    ) -> anyhow::Result<Answer> {
        self.hosts[host].put(&format!("{PATH}{query}"), component.to_vec()).await
    }

    /// Asks a host for a rollout, which has to begin.
    pub(super) async fn begin(
        &self,
        host: usize,
        component: &[u8],
        query: &str,
    ) -> anyhow::Result<Value> {
        let answer = self.ask(host, component, query).await?;
        ensure!(answer.status == StatusCode::OK, "{answer:?}");
        answer.json()
    }

    /// Brings all hosts back.
    pub(super) async fn stop(&self, host: usize) -> anyhow::Result<Answer> {
        let url = self.hosts[host].url(PATH);
        Client::new().request(Method::DELETE, &url, &[], "").await
    }

    pub(super) async fn fleet(&self) -> anyhow::Result<Value> {
        let last = self.hosts.last().context("a host")?;
        let answer = last.get("/admin/fleet").await?;
        ensure!(answer.status == StatusCode::OK, "{answer:?}");
        answer.json()
    }

    /// Begins a rollout and waits for its end.
    pub(super) async fn roll_out(&self, component: &[u8], query: &str) -> anyhow::Result<Outcome> {
        let asked = Instant::now();
        let begun = self.begin(0, component, query).await?;
        self.ended(&begun, asked).await
    }

    /// Waits until a rollout is over, and until every host runs what it should run then.
    pub(super) async fn ended(&self, begun: &Value, asked: Instant) -> anyhow::Result<Outcome> {
        let id = &begun["rollout"]["brings"]["rollout"];
        ensure!(id.is_string(), "{begun}");
        let last = eventually("the rollout ends", SOON, || async {
            let last = self.fleet().await?["last"].clone();
            Ok((last["rollout"] == *id).then_some(last))
        })
        .await
        .with_context(|| self.logs())?;
        let brought = last["digest"].as_str().context("a digest")?;
        let came = last["in_force"] == true;
        let digests = eventually("every host runs what it should", SOON, || async {
            let digests = self.digests().await?;
            Ok(digests.iter().all(|digest| (digest == brought) == came).then_some(digests))
        })
        .await
        .with_context(|| self.logs())?;
        Ok(Outcome { last, digests, settled_after: asked.elapsed() })
    }

    /// The digest of the component in force on each host.
    pub(super) async fn digests(&self) -> anyhow::Result<Vec<String>> {
        let mut digests = Vec::new();
        for host in &self.hosts {
            let status = host.get("/admin/policy").await?.json()?;
            digests.push(status["current"]["digest"].as_str().context("a digest")?.to_owned());
        }
        Ok(digests)
    }

    fn logs(&self) -> String {
        self.hosts.iter().map(Host::log).collect::<Vec<_>>().join("\n---\n")
    }
}

impl Outcome {
    /// Fails unless the policy is in force on every host.
    pub(super) fn expect_everywhere(&self, component: &[u8]) -> anyhow::Result<()> {
        let brought = digest(component);
        ensure!(self.last["in_force"] == true, "it did not come through: {}", self.last);
        ensure!(self.digests.iter().all(|digest| *digest == brought), "{:?}", self.digests);
        Ok(())
    }

    /// Fails unless every host runs `before`, and the record says why.
    pub(super) fn expect_back(&self, before: &[u8]) -> anyhow::Result<()> {
        let before = digest(before);
        ensure!(self.last["in_force"] == false, "it came through: {}", self.last);
        ensure!(self.digests.iter().all(|digest| *digest == before), "{:?}", self.digests);
        ensure!(self.last["trouble"] != "", "{}", self.last);
        Ok(())
    }

    pub(super) fn ms(&self, name: &str) -> u64 {
        self.last[name].as_u64().unwrap_or_default()
    }

    pub(super) fn trouble(&self) -> String {
        self.last["trouble"].as_str().unwrap_or_default().to_owned()
    }
}

/// What hosts run before any rollout.
pub(super) fn first() -> &'static [u8] {
    builtin()
}
