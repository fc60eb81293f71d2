//! Intents: invalidations announced before the commit, so that another host carries them out when the host
//! that wrote is lost in between (race L).
//!
//! An intent falls due only when its transaction can no longer commit. The origin ends a transaction that is
//! idle for [`WRITE_IDLE_LIMIT`], and the intent is held for longer than that. A writer that is late, or that
//! waits long for its commit, announces the intent again; and a host that carries an intent out asks about
//! its transaction first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::observe::Metrics;
use crate::origin::{WRITE_IDLE_LIMIT, Xid};
use crate::store::{Intent, IntentTarget, Layout, Name, RangeId, StoreError, StoreTag};

use super::super::nodes::Nodes;
use super::super::{Cache, Entropy, Invalidated};

/// How long an intent is left to the host that announced it: until its transaction has ended, and half a
/// second more for messages on their way.
const HOLD: Duration = WRITE_IDLE_LIMIT.saturating_add(Duration::from_millis(500));

/// How long a due intent is left to the host that took it, since that host may be lost as well. An intent
/// that two hosts carry out does no harm.
const TAKEN: Duration = Duration::from_millis(300);

/// How often an intent that the store did not take is announced again.
const RETRY: Duration = Duration::from_millis(100);

/// How often a host looks for due intents, give or take a quarter, so that hosts which started together do
/// not ask together.
const LOOK: Duration = Duration::from_millis(300);

/// An announced invalidation: every host knows of it if the store took the intent.
pub(super) struct Announcement {
    nodes: Arc<Nodes>,
    metrics: Arc<Metrics>,
    intent: Intent,
    /// The ranges that the intent concerns, and those that have taken it.
    ranges: BTreeSet<RangeId>,
    taken: BTreeSet<RangeId>,
    /// When every range took the intent last; `None` if one of them did not. Then only this host knows what to
    /// invalidate there, and if it is lost now, the values stay stale until their lifetime ends.
    since: Option<Instant>,
}

impl Announcement {
    /// Announces that these targets are about to become untrue.
    pub(super) async fn new(cache: &Cache, targets: Vec<IntentTarget>, xid: Option<Xid>) -> Self {
        let intent = Intent::new(cache.entropy.bits(), targets, xid.map(|xid| xid.number));
        let (nodes, metrics) = (Arc::clone(&cache.nodes), Arc::clone(&cache.metrics));
        let (ranges, taken) = (cache.ranges_of(intent.targets()), BTreeSet::new());
        let mut announcement = Self { nodes, metrics, intent, ranges, taken, since: None };
        if !announcement.intent.targets().is_empty() {
            announcement.announce().await;
            if announcement.since.is_none() {
                announcement.metrics.intents("not-announced");
            }
        }
        announcement
    }

    /// Runs the commit, or the questions how it ended, and announces the intent again meanwhile, so that it
    /// does not fall due. A store that comes back meanwhile, or under another epoch, hears of the intent
    /// then.
    pub(super) async fn during<T>(&mut self, commit: impl Future<Output = T>) -> T {
        if self.intent.targets().is_empty() {
            return commit.await;
        }
        if self.since.is_some_and(|since| since.elapsed() > HOLD / 3) {
            self.announce().await;
        }
        tokio::pin!(commit);
        loop {
            let pause = if self.since.is_some() { HOLD / 3 } else { RETRY };
            let announce = async {
                sleep(pause).await;
                self.announce().await;
            };
            tokio::select! {
                biased;
                committed = &mut commit => return committed,
                () = announce => {}
            }
        }
    }

    /// Leaves the intent in the store, since the invalidation is owed: if this host is lost, another one
    /// carries it out.
    pub(super) async fn leave(mut self) {
        if self.since.is_none() && !self.intent.targets().is_empty() {
            self.announce().await;
        }
        if !self.taken.is_empty() {
            self.metrics.intents("left");
        }
    }

    /// Takes the intent back: the invalidation is done, or nothing was written.
    pub(super) async fn withdraw(self) {
        if self.taken.is_empty() {
            return;
        }
        let withdrawing = self.taken.iter().map(|range| async {
            let node = self.nodes.keeper_of(*range)?;
            node.trust.watch(|store| store.withdraw(*range, &self.intent)).await
        });
        // An intent that stays is carried out once more, which does no harm.
        let is_withdrawn = join_all(withdrawing).await.iter().all(Result::is_ok);
        self.metrics.intents(if is_withdrawn { "withdrawn" } else { "left" });
    }

    async fn announce(&mut self) {
        let announcing = self.ranges.iter().map(|range| async {
            let node = self.nodes.keeper_of(*range)?;
            node.trust.tell(|store| store.announce(*range, &self.intent, HOLD)).await?;
            Ok::<_, StoreError>(*range)
        });
        let taken: Vec<RangeId> = join_all(announcing).await.into_iter().flatten().collect();
        if taken.len() == self.ranges.len() {
            self.since = Some(Instant::now());
        }
        self.taken.extend(taken);
    }
}

impl Cache {
    /// Carries out the intents of lost hosts; runs for as long as the host does.
    pub async fn carry_out_intents(&self) {
        loop {
            sleep(look(&*self.entropy)).await;
            let table = self.nodes.table();
            let asking = table.nodes().iter().map(|node| async {
                let ranges = table.ranges_of(node.number);
                if ranges.is_empty() {
                    return Vec::new();
                }
                let due = node.trust.watch(|store| store.due(ranges, TAKEN)).await;
                due.unwrap_or_default()
            });
            let due = join_all(asking).await.concat();
            if !due.is_empty() {
                self.carry_out_due(due).await;
            }
        }
    }

    /// The ranges in which an intent with these targets is announced: those of the names that its targets have
    /// at this moment, and every range where a floor would be raised.
    fn ranges_of(&self, targets: &[IntentTarget]) -> BTreeSet<RangeId> {
        let layout = self.nodes.layout();
        if layout == Layout::Single {
            return layout.ranges().collect();
        }
        let names = self.namer().names(targets);
        if !names.scopes.is_empty() {
            return layout.ranges().collect();
        }
        let slots = names.names.iter().map(Name::slot);
        let slots = slots.chain(names.tags.iter().map(StoreTag::slot));
        slots.map(|slot| layout.range_of(slot)).collect()
    }

    /// Carries out due intents together: a floor that every host has to learn takes one second for all of
    /// them.
    async fn carry_out_due(&self, due: Vec<(RangeId, Intent)>) {
        let (mut over, mut targets) = (Vec::new(), BTreeSet::new());
        for (range, intent) in due {
            if self.is_over(&intent).await {
                targets.extend(intent.targets().iter().cloned());
                over.push((range, intent));
            }
        }
        let invalidated = self.carry_out(targets.into_iter().collect()).await;
        if over.is_empty() || !matches!(invalidated, Invalidated::Done(_)) {
            return;
        }
        tracing::info!(intents = over.len(), "carried out what other hosts announced");
        for (range, intent) in &over {
            self.metrics.intents("carried-out");
            if let Ok(node) = self.nodes.keeper_of(*range) {
                // An intent that stays is carried out once more, which does no harm.
                let _ = node.trust.watch(|store| store.withdraw(*range, intent)).await;
            }
        }
    }

    /// Whether an intent's transaction can no longer commit. `false` while the database can't tell: the
    /// intent falls due again.
    async fn is_over(&self, intent: &Intent) -> bool {
        match (intent.transaction(), self.database.origin()) {
            (Some(xid), Some(origin)) => origin.has_ended(Xid::from(xid)).await.unwrap_or(false),
            (_, None) | (None, _) => true,
        }
    }
}

fn look(entropy: &dyn Entropy) -> Duration {
    let quarter_ms = LOOK.as_millis() / 4;
    let early_ms = u64::try_from(entropy.bits() % (2 * quarter_ms)).unwrap_or(0);
    LOOK + LOOK / 4 - Duration::from_millis(early_ms)
}
