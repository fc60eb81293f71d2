//! Hosts that each follow a policy file of their own, as operators see them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hyper::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Answer;
use crate::servers::{Host, eventually};

/// Far longer than any wait.
pub(super) const SOON: Duration = Duration::from_secs(60);

/// A host, and the file that its policy comes from.
pub(super) struct Seat {
    pub(super) host: Host,
    home: TempDir,
}

/// The policy in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InForce {
    pub(super) generation: u64,
    pub(super) digest: String,
}

impl Seat {
    /// Starts a host whose first policy is `component`.
    pub(super) async fn take(config: &str, component: &[u8]) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let file = home.path().join("policy.wasm");
        std::fs::write(&file, component)?;
        let config = format!("{config}\n[policy]\ncomponent = {}\n", json!(file));
        Ok(Self { host: Host::start(&config).await?, home })
    }

    /// Prepares another file beside the policy's; [`Seat::move_file`] puts it into place.
    pub(super) fn lay_beside(&self, component: &[u8]) -> anyhow::Result<()> {
        Ok(std::fs::write(self.beside(), component)?)
    }

    /// Moves the file that was prepared into the place of the policy's file, as `mv` does.
    pub(super) fn move_file(&self) -> anyhow::Result<()> {
        Ok(std::fs::rename(self.beside(), self.home.path().join("policy.wasm"))?)
    }

    fn beside(&self) -> PathBuf {
        self.home.path().join("policy.wasm.new")
    }

    /// `GET /admin/policy`
    pub(super) async fn status(&self) -> anyhow::Result<Value> {
        let answer = self.host.get("/admin/policy").await?;
        ensure!(answer.status == StatusCode::OK, "{answer:?}");
        answer.json()
    }

    pub(super) async fn in_force(&self) -> anyhow::Result<InForce> {
        let status = self.status().await?;
        let current = &status["current"];
        let generation = current["generation"].as_u64().context("a generation")?;
        let digest = current["digest"].as_str().context("a digest")?.to_owned();
        Ok(InForce { generation, digest })
    }

    /// `PUT /admin/policy`
    pub(super) async fn put(&self, component: &[u8]) -> anyhow::Result<Answer> {
        self.host.put("/admin/policy", component.to_vec()).await
    }

    /// `PUT /admin/policy` of a candidate that may rename keys; returns the host's answer.
    pub(super) async fn put_renaming(&self, component: &[u8]) -> anyhow::Result<Value> {
        let path = "/admin/policy?rename=allow";
        let answer = self.host.put(path, component.to_vec()).await?;
        ensure!(answer.status == StatusCode::OK, "{answer:?}");
        answer.json()
    }

    /// Lets the host learn how a candidate names keys, so that its invalidations cover those names.
    pub(super) async fn learn(&self, component: &[u8]) -> anyhow::Result<()> {
        let answer = self.host.put("/admin/policy?rename=learn", component.to_vec()).await?;
        ensure!(answer.status == StatusCode::OK, "{answer:?}");
        Ok(())
    }

    /// Waits until another generation than `before` is in force.
    pub(super) async fn until_changed(&self, before: &InForce) -> anyhow::Result<InForce> {
        eventually("another generation", SOON, || async {
            let now = self.in_force().await?;
            Ok((now.generation != before.generation).then_some(now))
        })
        .await
    }

    /// How many candidates were refused so far.
    pub(super) async fn refused(&self) -> anyhow::Result<f64> {
        let refused = [("result", "refused")];
        Ok(self.host.metrics().await?.sum_where("corral_policy_swaps_total", &refused))
    }
}
