//! What Corral hosts count while they are loaded.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::header::AUTHORIZATION;
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;
use tokio::time::timeout;

use crate::bench::{Counted, Scrape};

/// Metrics are a few kilobytes; a host that can't send them within this time is too busy.
const ANSWER_TIME: Duration = Duration::from_secs(10);

const STORE_CALLS: &str = "corral_store_calls_total";

/// The admin faces of the hosts that are loaded.
pub(super) struct Hosts {
    urls: Vec<String>,
    token: Option<String>,
}

impl Hosts {
    pub(super) fn new(urls: &[String], token: Option<&str>) -> Self {
        let urls = urls.iter().map(|url| format!("{}/metrics", url.trim_end_matches('/')));
        Self { urls: urls.collect(), token: token.map(|token| format!("Bearer {token}")) }
    }

    /// The sum over the hosts, since they started; `None` if no host is to be asked.
    pub(super) async fn counted(&self) -> anyhow::Result<Option<Counted>> {
        let mut sum = None;
        for url in &self.urls {
            let scrape = self.scrape(url).await.with_context(|| format!("--admin: {url}"))?;
            sum = Some(added(sum, of(&scrape)));
        }
        Ok(sum)
    }

    /// What was counted since `before`.
    pub(super) async fn since(&self, before: Option<Counted>) -> anyhow::Result<Option<Counted>> {
        let (Some(before), Some(after)) = (before, self.counted().await?) else { return Ok(None) };
        Ok(Some(Counted {
            origin_loads: after.origin_loads.saturating_sub(before.origin_loads),
            policy_calls: after.policy_calls.saturating_sub(before.policy_calls),
            store_calls: after
                .store_calls
                .zip(before.store_calls)
                .map(|(after, before)| after.saturating_sub(before)),
        }))
    }

    async fn scrape(&self, url: &str) -> anyhow::Result<Scrape> {
        let mut request = Request::get(url);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Empty::<Bytes>::new())?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let exchange = async {
            let response = client.request(request).await.context("it can't be reached")?;
            let status = response.status();
            ensure!(status == StatusCode::OK, "it answers {status}");
            Ok(response.into_body().collect().await?.to_bytes())
        };
        let body = timeout(ANSWER_TIME, exchange).await.context("it does not answer")??;
        Ok(Scrape::parse(std::str::from_utf8(&body)?)?)
    }
}

fn of(scrape: &Scrape) -> Counted {
    let count = |name| scrape.sum(name).round() as u64;
    Counted {
        origin_loads: count("corral_origin_loads_total"),
        policy_calls: count("corral_policy_calls_total"),
        store_calls: scrape.names().any(|name| name == STORE_CALLS).then(|| count(STORE_CALLS)),
    }
}

fn added(sum: Option<Counted>, more: Counted) -> Counted {
    let Some(sum) = sum else { return more };
    Counted {
        origin_loads: sum.origin_loads + more.origin_loads,
        policy_calls: sum.policy_calls + more.policy_calls,
        store_calls: sum.store_calls.zip(more.store_calls).map(|(sum, more)| sum + more),
    }
}
