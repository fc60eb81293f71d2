//! Intents: invalidations announced before the commit, so that another host carries them out when
//! the one that wrote is lost in between (race L).
//!
//! An intent falls due only when its transaction can no longer commit. The origin ends a transaction
//! that is idle for [`WRITE_IDLE_LIMIT`]; the intent is held for longer than that; and a writer that
//! is late, or whose commit takes long, announces it again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::observe::Metrics;
use crate::origin::WRITE_IDLE_LIMIT;
use crate::store::{Doomed, Intent};

use super::trust::{Invalidated, TrustedStore};
use super::{Cache, Entropy};

/// How long an intent is left to the host that announced it: until its transaction has ended, and
/// half a second more for the messages on their way.
const HOLD: Duration = WRITE_IDLE_LIMIT.saturating_add(Duration::from_millis(500));

/// Every host looks for due intents this often, give or take a quarter, so that hosts which started
/// together do not ask together.
const LOOK: Duration = Duration::from_millis(400);

/// An invalidation that every host knows of, if the store took it.
pub(super) struct Announced {
    store: Arc<TrustedStore>,
    metrics: Arc<Metrics>,
    intent: Intent,
    /// When it was announced last; none: the store did not take it. Then nobody but this host knows
    /// what to invalidate, and if it is lost now, the lifetime bounds what is stale.
    since: Option<Instant>,
}

impl Announced {
    /// Announces what is about to become untrue.
    pub(super) async fn new(cache: &Cache, doomed: Vec<Doomed>) -> Self {
        let intent = Intent::new(cache.entropy.bits(), doomed);
        let (store, metrics) = (Arc::clone(&cache.store), Arc::clone(&cache.metrics));
        let mut announced = Self { store, metrics, intent, since: None };
        if !announced.intent.doomed().is_empty() {
            announced.announce().await;
            if announced.since.is_none() {
                announced.metrics.intents("not-announced");
            }
        }
        announced
    }

    /// Runs the commit, and holds the intent off for as long as that takes.
    pub(super) async fn during<T>(&mut self, commit: impl Future<Output = T>) -> T {
        let Some(since) = self.since else { return commit.await };
        if since.elapsed() > HOLD / 3 {
            self.announce().await;
        }
        tokio::pin!(commit);
        let mut beat = interval_at(Instant::now() + HOLD / 3, HOLD / 3);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                committed = &mut commit => return committed,
                _ = beat.tick() => {
                    let announce = self.announce();
                    tokio::select! {
                        biased;
                        committed = &mut commit => return committed,
                        () = announce => {}
                    }
                }
            }
        }
    }

    /// It is done, or nothing was written.
    pub(super) async fn withdraw(self) {
        if self.since.is_some() {
            // One that stays is carried out once more, for nothing.
            let withdrawn = self.store.withdraw(&self.intent).await;
            self.metrics.intents(if withdrawn.is_ok() { "withdrawn" } else { "left" });
        }
    }

    async fn announce(&mut self) {
        if self.store.announce(&self.intent, HOLD).await.is_ok() {
            self.since = Some(Instant::now());
        }
    }
}

impl Cache {
    /// Carries out what lost hosts announced; runs for as long as the host does.
    pub async fn carry_out_intents(&self) {
        loop {
            sleep(look(&*self.entropy)).await;
            let Ok(due) = self.store.due(HOLD).await else { continue };
            for intent in due {
                tracing::info!(
                    intent = intent.encode(),
                    "carrying out what another host announced"
                );
                if let Invalidated::Done(_) = self.store.invalidate(intent.doomed().to_vec()).await
                {
                    self.metrics.intents("carried-out");
                    // One that stays is carried out once more, for nothing.
                    let _ = self.store.withdraw(&intent).await;
                }
            }
        }
    }
}

fn look(entropy: &dyn Entropy) -> Duration {
    let quarter_ms = LOOK.as_millis() / 4;
    let early_ms = u64::try_from(entropy.bits() % (2 * quarter_ms)).unwrap_or(0);
    LOOK + LOOK / 4 - Duration::from_millis(early_ms)
}
