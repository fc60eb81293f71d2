//! A lease that this host holds: renewed while a load runs, spent by a fill, given back on every other exit.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::store::{
    Claim, Claimed, Envelope, Epoch, Filled, LeaseToken, Mode, Name, Over, Store, StoreError,
};

use super::Unfinished;
use super::nodes::Nodes;

/// The pause between two attempts to give a lease back.
const AGAIN: Duration = Duration::from_millis(100);

/// The right to fill a name. A lease that is dropped unspent is given back: on errors, cancellation and panic
/// alike.
pub(super) struct Lease {
    right: ClaimRight,
    /// The store's clock at the grant.
    pub(super) granted_ms: u64,
    /// The slot's epoch at the grant. A fill is stamped with this epoch, whatever node it reaches: a lease that
    /// came back with a snapshot stores nothing that is believed (race O).
    pub(super) epoch: Epoch,
}

/// A fill's answer.
pub(super) struct FillOutcome {
    pub(super) filled: Filled,
    /// Whether the fill proves that no invalidation came in since the claim. A fill proves nothing on a node
    /// that another one has replaced: such a node may accept a lease that came back with a snapshot.
    pub(super) is_proof: bool,
}

/// A claim's answer.
pub(super) enum ClaimOutcome {
    Granted(Lease),
    Held(Duration),
    /// A value, and the slot's epoch.
    Found(Envelope, Epoch),
}

/// The duty to give a lease back. It exists before the claim is sent: a claim that never got an answer may
/// have been granted, too.
struct ClaimRight {
    nodes: Arc<Nodes>,
    name: Name,
    token: LeaseToken,
    lasts: Duration,
    may_be_ours: bool,
    unfinished: Unfinished,
}

/// What is claimed.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a Name,
    pub(super) token: LeaseToken,
    pub(super) lasts: Duration,
    pub(super) seen_ms: u64,
    pub(super) mode: Mode,
}

impl Lease {
    /// Claims the lease on a name.
    pub(super) async fn claim(
        nodes: &Arc<Nodes>,
        wanted: Wanted<'_>,
        unfinished: Unfinished,
    ) -> Result<ClaimOutcome, StoreError> {
        let Wanted { name, token, lasts, seen_ms, mode } = wanted;
        let mut right = ClaimRight {
            nodes: Arc::clone(nodes),
            name: name.clone(),
            token,
            lasts,
            may_be_ours: nodes.holds(name.slot()),
            unfinished,
        };
        let claim = Claim { name, token, lease: lasts, seen_ms, mode };
        let ask = |store: Arc<dyn Store>| async move { store.claim(claim).await };
        let (claimed, epoch) = nodes.ask(name.slot(), ask).await?;
        right.may_be_ours = matches!(claimed, Claimed::Granted { .. });
        Ok(match claimed {
            Claimed::Granted { now_ms } => {
                ClaimOutcome::Granted(Self { right, granted_ms: now_ms, epoch })
            }
            Claimed::Held { remaining } => ClaimOutcome::Held(remaining),
            Claimed::Found(envelope) => ClaimOutcome::Found(envelope, epoch),
        })
    }

    /// Runs `load` and meanwhile renews the lease three times in each of its lives. A lease that is lost
    /// stays lost: the load goes on for the waiting requests, and its fill will be rejected.
    pub(super) async fn during<T>(&mut self, load: impl Future<Output = T>) -> T {
        tokio::pin!(load);
        let ClaimRight { nodes, name, token, lasts, may_be_ours, .. } = &mut self.right;
        let (nodes, name, token, lasts) = (&*nodes, &*name, *token, *lasts);
        let mut beat = interval(lasts / 3);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.tick().await;
        loop {
            tokio::select! {
                biased;
                loaded = &mut load => return loaded,
                _ = beat.tick(), if *may_be_ours => {
                    let renew =
                        |store: Arc<dyn Store>| async move { store.renew(name, token, lasts).await };
                    let renewed = nodes.watch(name.slot(), renew);
                    tokio::select! {
                        biased;
                        loaded = &mut load => return loaded,
                        renewed = renewed => *may_be_ours = !matches!(renewed, Ok(false)),
                    }
                }
            }
        }
    }

    /// Spends the lease.
    pub(super) async fn fill(mut self, envelope: &Envelope) -> Result<FillOutcome, StoreError> {
        let ClaimRight { nodes, name, token, .. } = &self.right;
        let fill = |store: Arc<dyn Store>| async move { store.fill(name, *token, envelope).await };
        let filled = nodes.watch(name.slot(), fill).await;
        // Without an answer it is unknown whether the lease is spent, so the drop gives it back.
        self.right.may_be_ours = filled.is_err();
        let Over { link, answer } = filled?;
        let ClaimRight { nodes, name, .. } = &self.right;
        let is_proof =
            answer == Filled::Stored && nodes.counts(name.slot(), link) == Some(self.epoch);
        Ok(FillOutcome { filled: answer, is_proof })
    }
}

impl Drop for ClaimRight {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.may_be_ours
            && let Ok(node) = self.nodes.node_of(self.name.slot())
        {
            let (store, name, token) =
                (Arc::clone(node.trust.store()), self.name.clone(), self.token);
            let (until, unfinished) = (Instant::now() + self.lasts, self.unfinished.clone());
            runtime.spawn(async move {
                give_back(&*store, &name, token, until).await;
                drop(unfinished);
            });
        }
    }
}

/// Gives a lease back, in several attempts if need be; at `until` it has run out by itself.
async fn give_back(store: &dyn Store, name: &Name, token: LeaseToken, until: Instant) {
    while let Err(error) = store.release(name, token).await {
        tracing::debug!(%error, "a lease was not given back");
        if Instant::now() + AGAIN >= until {
            return;
        }
        sleep(AGAIN).await;
    }
}
