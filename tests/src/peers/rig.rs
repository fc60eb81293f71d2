//! What all peers share: one Redis with every answer in it, Corral's origin, and the origin of HTTP
//! caches.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Context as _;

use super::item;
use crate::servers::{Host, Postgres, Program, Redis, build_dir, free_port};

/// Servers that all peers share. Ends on drop.
pub struct Rig {
    /// The store of all peers.
    pub redis: Redis,
    /// Corral's origin.
    pub postgres: Postgres,
    origin: Program,
}

impl Rig {
    /// Starts the servers, and puts every answer into Redis for the peers that read it there.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        // A snapshot meanwhile would count as the cost of the peer that is measured then.
        let redis = Redis::start_with(&["--save", ""]).await?;
        let mut connection = redis.connect().await?;
        let mut pipeline = redis::pipe();
        for id in 1..=item::KEYS {
            let body = item::body(id, item::BYTES);
            pipeline.cmd("SET").arg(format!("item:{id}")).arg(body).arg("EX").arg(86_400);
        }
        let () = pipeline.query_async(&mut connection).await.context("filling Redis")?;
        let origin = service("origin", 1, &redis.url()).await?;
        Ok(Self { redis, postgres: Postgres::start().await?, origin })
    }

    /// `127.0.0.1:…` of the origin of HTTP caches.
    #[must_use]
    pub fn origin_address(&self) -> String {
        self.origin.address()
    }

    /// A Corral host over [`item::entities`].
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn host(&self, entities: &str) -> anyhow::Result<Host> {
        Host::start(&self.config(entities)).await
    }

    /// The same host on so many threads.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn host_on(&self, threads: usize, entities: &str) -> anyhow::Result<Host> {
        Host::start(&format!("threads = {threads}\n{}", self.config(entities))).await
    }

    /// A host of another program, as [`Host::start_as`], on so many threads.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn host_as(
        &self,
        program: Vec<OsString>,
        threads: usize,
        entities: &str,
    ) -> anyhow::Result<Host> {
        // A program under examination (callgrind) is slow, and its policy has to pass the gate all
        // the same.
        let config = self.config(entities);
        let limits = "[policy.limits]\ngate = \"60s\"\n";
        Host::start_as(program, &format!("threads = {threads}\n{limits}{config}")).await
    }

    /// The configuration of a host.
    #[must_use]
    pub fn config(&self, entities: &str) -> String {
        // A slow answer of the store on a busy machine must not look like an outage.
        format!(
            "[store]\nurl = \"{}\"\ntimeout = \"2s\"\n[origin]\nurl = \"{}\"\n{}",
            self.redis.url(),
            self.postgres.url(),
            item::entities(entities)
        )
    }

    /// A service written by hand.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn service(&self, name: &str, threads: usize) -> anyhow::Result<Program> {
        service(name, threads, &self.redis.url()).await
    }
}

/// A service of [`super::service`] in a process of its own.
pub(crate) async fn service(
    name: &str,
    threads: usize,
    redis_url: &str,
) -> anyhow::Result<Program> {
    let port = free_port()?;
    let mut command = Command::new(build_dir()?.join("corral-tests"));
    command.args(["peers", "service", name, "--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--threads", &threads.to_string(), "--redis", redis_url]);
    Program::start(command, tempfile::tempdir()?, port, "/item?id=1").await
}
