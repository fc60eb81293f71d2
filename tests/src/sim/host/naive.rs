//! What is usually built in front of a cache, without a protection: a single-flight whose late
//! joiners share too much, and a near cache that learns of changes but not of floors.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use corral_host::cache::{Answer, ReadError, Via};
use corral_host::store::Listener;
use tokio::sync::{Mutex as AsyncMutex, OnceCell};
use tokio::time::Instant;

use crate::sim::truth::Subject;

type Shared = Result<Answer, ReadError>;
type Flight = OnceCell<Shared>;

/// The single-flight and the near cache of one host.
pub(super) struct Naive {
    /// Flights, each with the number of fills that the host had sent when it began.
    flights: AsyncMutex<BTreeMap<Subject, (Arc<Flight>, u64)>>,
    at_most: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    answers: BTreeMap<Subject, (Answer, Instant)>,
    changes: u64,
}

impl Naive {
    /// `near` is how long the near cache keeps an answer.
    pub(super) fn new(near: Duration) -> Arc<Self> {
        let (flights, kept) = (AsyncMutex::default(), Mutex::default());
        Arc::new(Self { flights, at_most: near, kept })
    }

    pub(super) fn as_listener(self: &Arc<Self>) -> Weak<dyn Listener> {
        Arc::downgrade(self) as Weak<dyn Listener>
    }

    /// A caller that comes while a read runs gets that read's answer.
    pub(super) async fn share<F>(&self, subject: Subject, read: impl FnOnce() -> F) -> Shared
    where
        F: Future<Output = Shared>,
    {
        self.join(subject, 0, read).await.0
    }

    /// A caller that comes while a read runs, before its fill is sent, gets its answer if that was
    /// stored. `fills` returns how many fills the host has sent.
    pub(super) async fn share_fills<F>(
        &self,
        subject: Subject,
        fills: u64,
        read: impl Fn() -> F,
    ) -> Shared
    where
        F: Future<Output = Shared>,
    {
        let (shared, came_before) = self.join(subject, fills, &read).await;
        let is_stored = |answer: &Answer| matches!(answer.via, Via::Loaded { .. });
        let may_share = came_before && shared.as_ref().is_ok_and(is_stored);
        if may_share { shared } else { read().await }
    }

    /// The answer, and whether the caller came before any fill.
    async fn join<F>(
        &self,
        subject: Subject,
        fills: u64,
        read: impl FnOnce() -> F,
    ) -> (Shared, bool)
    where
        F: Future<Output = Shared>,
    {
        let mut flights = self.flights.lock().await;
        let (flight, sent) = flights.entry(subject).or_insert_with(|| (Arc::default(), fills));
        let (flight, mut came_before) = (Arc::clone(flight), *sent == fills);
        drop(flights);
        let answer = flight.get_or_init(|| {
            came_before = true;
            read()
        });
        let answer = answer.await.clone();
        let mut flights = self.flights.lock().await;
        if flights.get(&subject).is_some_and(|(known, _)| Arc::ptr_eq(known, &flight)) {
            flights.remove(&subject);
        }
        (answer, came_before)
    }

    /// Repeats an answer until a change of it is reported, if the host trusts the store.
    pub(super) async fn near<F>(
        &self,
        subject: Subject,
        trusts: bool,
        read: impl FnOnce() -> F,
    ) -> Shared
    where
        F: Future<Output = Shared>,
    {
        let now = Instant::now();
        let changes = {
            let kept = self.kept();
            let known = kept.answers.get(&subject).filter(|(_, until)| trusts && now < *until);
            if let Some((answer, _)) = known {
                return Ok(Answer { via: Via::Near, ..answer.clone() });
            }
            kept.changes
        };
        let answer = read().await?;
        let mut kept = self.kept();
        if answer.via == Via::Store && kept.changes == changes {
            let fresh = Duration::from_millis(answer.ttl_ms.unwrap_or(0).try_into().unwrap_or(0));
            let until = (now + self.at_most).min(Instant::now() + fresh);
            kept.answers.insert(subject, (answer.clone(), until));
        }
        Ok(answer)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Naive {
    fn changed(&self, _name: &str) {
        self.all_changed();
    }

    fn all_changed(&self) {
        let mut kept = self.kept();
        kept.answers.clear();
        kept.changes += 1;
    }
}
