//! Hosts over one Redis, one Postgres and one shop.

use anyhow::Context as _;

use crate::servers::{Host, Postgres, Redis};
use crate::shop::{self, Shop};

/// Hosts that share a store and an origin. Ends on drop, the hosts first.
pub struct Fleet {
    /// The hosts.
    pub hosts: Vec<Host>,
    /// Their store.
    pub redis: Redis,
    /// Their origin, with the shop in it.
    pub postgres: Postgres,
}

impl Fleet {
    /// Starts the servers, makes the shop and starts the hosts. `config` is added to the
    /// configuration of the shop's entities.
    ///
    /// # Errors
    /// When a server does not come up.
    pub async fn start(hosts: usize, shop: &Shop, config: &str) -> anyhow::Result<Self> {
        let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
        shop.load(&postgres.url()).await?;
        // Scenarios count loads. On a machine that is busy with other tests, a slow answer of the
        // store must not look like an outage.
        let patient = "[store]\ntimeout = \"2s\"\n";
        let shop = shop::config(Some(&redis.url()), &postgres.url());
        let config = shop.replacen("[store]\n", patient, 1) + config;
        let mut fleet = Self { hosts: Vec::new(), redis, postgres };
        for _ in 0..hosts {
            fleet.hosts.push(Host::start(&config).await?);
        }
        Ok(fleet)
    }

    /// The address of each host (`http://127.0.0.1:…`).
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.hosts.iter().map(|host| host.url("")).collect()
    }

    /// The address of each host's admin face.
    #[must_use]
    pub fn admin_urls(&self) -> Vec<String> {
        let metrics = self.hosts.iter().map(|host| host.url("/metrics"));
        metrics.map(|url| url.trim_end_matches("/metrics").to_owned()).collect()
    }

    /// A metric, summed over labels and hosts.
    ///
    /// # Errors
    /// When a host does not answer.
    pub async fn sum(&self, metric: &str) -> anyhow::Result<f64> {
        let mut sum = 0.0;
        for (index, host) in self.hosts.iter().enumerate() {
            let metrics = host.metrics().await.with_context(|| format!("host {index}"))?;
            sum += metrics.sum(metric);
        }
        Ok(sum)
    }
}
