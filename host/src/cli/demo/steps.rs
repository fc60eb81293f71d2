//! What the demo does, step by step, and what it measures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde_json::{Map, Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::cache::{Answer, Breaker};
use crate::policy::{Provenance, builtin};
use crate::service::{Arguments, Corral, ReadRequest, RequestError};
use crate::store::Name;

use super::Narrator;
use super::report::{
    DemoReport, PolicyFigures, Stampede, StoreDown, Swap, TagFigures, WriteFigures,
};
use super::shop::{PRODUCTS, USERS};
use super::switch::Switch;

const WARM_READS: u64 = 2_000;
const READERS: u64 = 500;
const WRITES: u64 = 200;
const TAGGED: u64 = 300;
const READS_WITHOUT_STORE: u64 = 2_000;
const SWAPS: u64 = 20;
const SWAP_READERS: u64 = 8;

/// What the steps of the demo work with.
pub(super) struct DemoRun<'a> {
    pub(super) corral: Corral,
    pub(super) switch: Arc<Switch>,
    pub(super) narrator: &'a Narrator,
}

impl DemoRun<'_> {
    pub(super) async fn play(&self) -> anyhow::Result<DemoReport> {
        let generation = self.corral.policies().slot().current();
        let policy = PolicyFigures {
            name: generation.manifest().name.clone(),
            version: generation.manifest().version.clone(),
            generation: generation.number(),
        };
        let (cold_read_ms, warm_read_us) = self.cold_and_warm().await?;
        Ok(DemoReport {
            origin: self.corral.origin_kind(),
            store: self.corral.store_kind(),
            policy,
            cold_read_ms,
            warm_read_us,
            stampede: self.stampede().await?,
            write: self.write().await?,
            tag: self.tag().await?,
            store_down: self.store_down().await?,
            swap: self.swap().await?,
        })
    }

    async fn cold_and_warm(&self) -> anyhow::Result<(f64, f64)> {
        let began = Instant::now();
        read(&self.corral, "product.page", Some(1)).await?;
        let cold_ms = millis(began.elapsed());
        let mut warm = Vec::new();
        for _ in 0..WARM_READS {
            let began = Instant::now();
            read(&self.corral, "product.page", Some(1)).await?;
            warm.push(began.elapsed());
        }
        warm.sort_unstable();
        let warm_us = warm[warm.len() / 2].as_secs_f64() * 1e6;
        self.narrator.tell(format_args!(
            "Cache-aside: a cold read took {cold_ms:.2} ms, a warm one {warm_us:.0} µs \
             (median of {WARM_READS})."
        ));
        Ok((cold_ms, warm_us))
    }

    async fn stampede(&self) -> anyhow::Result<Stampede> {
        let began = Instant::now();
        let answer = read(&self.corral, "report.revenue", None).await?;
        let load_ms = millis(began.elapsed());
        let fresh_ms = answer.ttl_ms.context("the report was not stored")?;
        sleep(Duration::from_millis(u64::try_from(fresh_ms).unwrap_or(0) + 5)).await;
        let before = self.loads("report.revenue");
        let start = Arc::new(Barrier::new(usize::try_from(READERS)?));
        let mut readers = JoinSet::new();
        for _ in 0..READERS {
            let (corral, start) = (self.corral.clone(), Arc::clone(&start));
            readers.spawn(async move {
                start.wait().await;
                let began = Instant::now();
                read(&corral, "report.revenue", None).await.map(|_answer| began.elapsed())
            });
        }
        let mut slowest = Duration::ZERO;
        while let Some(took) = readers.join_next().await {
            slowest = slowest.max(took??);
        }
        let loads = self.loads("report.revenue") - before;
        let slowest_ms = millis(slowest);
        self.narrator.tell(format_args!(
            "Stampede: {READERS} readers of one expired report cost {loads} load; the report takes \
             {load_ms:.0} ms, the slowest reader had it after {slowest_ms:.0} ms."
        ));
        Ok(Stampede { readers: READERS, loads, slowest_ms, load_ms })
    }

    async fn write(&self) -> anyhow::Result<WriteFigures> {
        let mut stale_reads = 0;
        for turn in 0..WRITES {
            let (id, name) = (1 + turn % u64::from(USERS), format!("renamed {turn}"));
            read(&self.corral, "user.profile", Some(id)).await?;
            let arguments = object(json!({ "id": id, "name": name }));
            self.corral.write("user.profile", "rename", &arguments).await?;
            let answer = read(&self.corral, "user.profile", Some(id)).await?;
            let body = answer.body.context("the user is gone")?;
            let row: Value = serde_json::from_slice(&body)?;
            stale_reads += u64::from(row["name"] != name.as_str());
        }
        self.narrator.tell(format_args!(
            "Writes: {WRITES} users renamed, each read again at once: {stale_reads} stale reads."
        ));
        Ok(WriteFigures { reads_after: WRITES, stale_reads })
    }

    async fn tag(&self) -> anyhow::Result<TagFigures> {
        let mut names: Vec<Name> = Vec::new();
        for id in 1..=TAGGED {
            read(&self.corral, "product.page", Some(id)).await?;
            names.extend(self.corral.name_of("product.page", &object(json!({ "id": id })))?);
        }
        let stored = self.count(&names).await?;
        self.corral.invalidate(&[], &["catalogue".into()], &[]).await?;
        let left = self.count(&names).await?;
        self.narrator.tell(format_args!(
            "Tags: {stored} keys carried the tag \"catalogue\"; after one invalidation {left} are left."
        ));
        Ok(TagFigures { keys: stored, left })
    }

    async fn store_down(&self) -> anyhow::Result<StoreDown> {
        self.switch.cut(true);
        let (mut failed, mut slowest) = (0, Duration::ZERO);
        for turn in 0..READS_WITHOUT_STORE {
            let began = Instant::now();
            let answer =
                read(&self.corral, "product.page", Some(1 + turn % u64::from(PRODUCTS))).await;
            slowest = slowest.max(began.elapsed());
            failed += u64::from(answer.is_err());
        }
        self.switch.cut(false);
        self.until_trusted().await;
        let slowest_ms = millis(slowest);
        self.narrator.tell(format_args!(
            "Degradation: the store was taken away; {READS_WITHOUT_STORE} reads went on, {failed} \
             failed, the slowest took {slowest_ms:.0} ms (the store's budget, once). It is back."
        ));
        Ok(StoreDown { reads: READS_WITHOUT_STORE, failed, slowest_ms })
    }

    async fn swap(&self) -> anyhow::Result<Swap> {
        let stop = Arc::new(AtomicBool::new(false));
        let failed = Arc::new(AtomicU64::new(0));
        let mut readers = JoinSet::new();
        for reader in 0..SWAP_READERS {
            let (corral, stop, failed) =
                (self.corral.clone(), Arc::clone(&stop), Arc::clone(&failed));
            readers.spawn(async move {
                let mut requests = 0;
                while !stop.load(Ordering::Relaxed) {
                    let id = 1 + (requests * SWAP_READERS + reader) % u64::from(PRODUCTS);
                    let answer = read(&corral, "product.page", Some(id)).await;
                    if let Err(error) = &answer {
                        tracing::warn!(%error, "a read failed during a swap");
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    requests += 1;
                }
                requests
            });
        }
        let mut slowest = Duration::ZERO;
        for _ in 0..SWAPS {
            let began = Instant::now();
            let installed = self.corral.policies().install(builtin().to_vec(), Provenance::BuiltIn);
            installed.await.map_err(|rejection| anyhow!("{rejection}"))?;
            slowest = slowest.max(began.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        let mut requests = 0;
        while let Some(done) = readers.join_next().await {
            requests += done?;
        }
        let (failed, slowest_activation_ms) = (failed.load(Ordering::Relaxed), millis(slowest));
        self.narrator.tell(format_args!(
            "Hot swap: the policy was exchanged {SWAPS} times under {requests} reads, {failed} \
             failed; the slowest exchange took {slowest_activation_ms:.0} ms, compiling included."
        ));
        Ok(Swap { swaps: SWAPS, requests, failed, slowest_activation_ms })
    }

    async fn count(&self, names: &[Name]) -> anyhow::Result<u64> {
        let mut stored = 0;
        for name in names {
            stored += u64::from(self.switch.get(name).await?.is_some());
        }
        Ok(stored)
    }

    async fn until_trusted(&self) {
        while self.corral.readiness().await.store != Breaker::Closed {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Loads of an entity so far, as the metrics count them.
    fn loads(&self, entity: &str) -> u64 {
        let name = format!("corral_origin_loads_total{{entity=\"{entity}\"");
        let metrics = self.corral.metrics();
        let samples = metrics.lines().filter(|line| line.starts_with(&name));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}

async fn read(corral: &Corral, entity: &str, id: Option<u64>) -> Result<Answer, RequestError> {
    let pairs: Vec<_> = id.map(|id| ("id".into(), id.to_string().into())).into_iter().collect();
    corral.read(ReadRequest { entity, arguments: Arguments::Text(&pairs), no_cache: false }).await
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
