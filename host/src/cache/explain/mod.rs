//! What would become of a read, and why. Nothing is loaded, claimed, waited for or written: the
//! store is looked at twice, and the rest is the policy's own turns under the guard's judgement.

mod walk;

use serde::Serialize;

use crate::config::Entity;
use crate::policy::compare::words;
use crate::policy::{Named, Policy, Request, Row, guard};
use crate::store::{Envelope, StoreError};

use super::round::sighting;
use super::{Cache, lifetimes, tags};
use walk::{Assumed, Seen};
pub use walk::{Course, Turned};

/// A read under one policy.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// `name@version;generation=7`; of a candidate, without a generation.
    pub policy: String,
    /// The key; none: `problem` says why.
    pub key: Option<String>,
    /// The tags that the request alone determines.
    pub tags: Vec<String>,
    /// The tags that depend on the row, of the row in the store; none: there is nothing to see
    /// them by, or no tag depends on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_tags: Option<Vec<String>>,
    /// Columns on which tags depend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub row_columns: Vec<String>,
    /// Why there is no plan, or the store can't be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What the store has under the key.
    pub envelope: Option<Glance>,
    /// For how long somebody else holds the lease, unless it is renewed; none: nobody does.
    pub lease_held_ms: Option<u64>,
    /// What a read would do: now, and were things otherwise.
    pub courses: Vec<Course>,
}

/// A stored value, its content left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Glance {
    /// Since it was loaded.
    pub age_ms: u64,
    /// Until a hit refreshes it; 0: it is due.
    pub refresh_in_ms: u64,
    /// How long it stays fresh; 0: it is stale.
    pub fresh_for_ms: u64,
    /// Since when it is stale; 0: it is fresh.
    pub stale_since_ms: u64,
    /// How long it is kept.
    pub kept_for_ms: u64,
    /// What its load cost.
    pub cost_ms: u32,
    /// The generation that decided its lifetime, as numbered by the host that filled it.
    pub generation: u64,
    /// Size of the body.
    pub bytes: usize,
    /// The origin has no such row.
    pub negative: bool,
}

impl Cache {
    /// Explains `request` under `policy`, whoever is in force.
    pub async fn explain(
        &self,
        entity: &Entity,
        request: &Request,
        policy: &dyn Policy,
        label: &str,
    ) -> Explanation {
        let named = match policy.plan(request) {
            Ok(Ok(plan)) => Named::try_new(plan).map_err(|illegal| illegal.to_string()),
            Ok(Err(refusal)) => Err(words::refusal(&refusal)),
            Err(trap) => Err(trap.to_string()),
        };
        let named = match named {
            Ok(named) => named,
            Err(problem) => return Explanation::without_key(label, problem),
        };
        let seen = self.see(&named).await;
        let now_ms = self.store.now_ms();
        let (envelope, held, problem) = match seen {
            Ok((envelope, held)) => (envelope, held, None),
            Err(error) => (None, None, Some(error.to_string())),
        };
        let world = Seen {
            reachable: problem.is_none(),
            found: envelope.as_ref().map(|envelope| sighting(envelope, now_ms)),
            bytes: envelope.as_ref().map_or(0, |envelope| glance(envelope, now_ms).bytes),
            held_ms: held.map(super::round::millis),
            ttl_ms: super::round::millis(entity.ttl),
            stale_ms: super::round::millis(entity.stale_while_revalidate),
        };
        let flight = walk::Flight {
            policy,
            memo: named.memo,
            deadline_ms: super::round::millis(entity.deadline),
            kept_at_most: lifetimes(entity).kept_at_most(),
            entropy: &*self.entropy,
        };
        let courses = Assumed::all(&world).into_iter().flat_map(|a| flight.walk(&a, &world));
        Explanation {
            policy: label.to_owned(),
            key: Some(named.key.to_string()),
            tags: named.tags.iter().map(ToString::to_string).collect(),
            row_tags: envelope.as_ref().and_then(|e| row_tags(policy, request, &named, e)),
            row_columns: named.row_columns.clone(),
            problem,
            envelope: envelope.as_ref().map(|envelope| glance(envelope, now_ms)),
            lease_held_ms: held.map(|held| u64::from(super::round::millis(held))),
            courses: courses.collect(),
        }
    }

    async fn see(
        &self,
        named: &Named,
    ) -> Result<(Option<Envelope>, Option<std::time::Duration>), StoreError> {
        let envelope = self.store.get(&named.key).await?;
        let held = self.store.lease_left(&named.key).await?;
        let now_ms = self.store.now_ms();
        Ok((envelope.filter(|envelope| envelope.stale_until_ms > now_ms), held))
    }
}

impl Explanation {
    fn without_key(label: &str, problem: String) -> Self {
        Self {
            policy: label.to_owned(),
            key: None,
            tags: Vec::new(),
            row_tags: None,
            row_columns: Vec::new(),
            problem: Some(format!("{problem}: loaded each time and never stored")),
            envelope: None,
            lease_held_ms: None,
            courses: Vec::new(),
        }
    }
}

fn row_tags(
    policy: &dyn Policy,
    request: &Request,
    named: &Named,
    envelope: &Envelope,
) -> Option<Vec<String>> {
    let body = envelope.body.as_deref().filter(|_| !named.row_columns.is_empty())?;
    let rows: Vec<Row> = tags::rows(body, &named.row_columns)?;
    let tags = policy.row_tags(request, &rows).ok()?.ok()?;
    let legal = guard::tags(&tags).ok()?;
    Some(legal.iter().map(ToString::to_string).collect())
}

fn glance(envelope: &Envelope, now_ms: u64) -> Glance {
    let until = |at_ms: u64| at_ms.saturating_sub(now_ms);
    Glance {
        age_ms: now_ms.saturating_sub(envelope.loaded_at_ms),
        refresh_in_ms: until(envelope.refresh_at_ms),
        fresh_for_ms: until(envelope.fresh_until_ms),
        stale_since_ms: now_ms.saturating_sub(envelope.fresh_until_ms),
        kept_for_ms: until(envelope.stale_until_ms),
        cost_ms: envelope.cost_ms,
        generation: envelope.generation,
        bytes: envelope.body.as_ref().map_or(0, bytes::Bytes::len),
        negative: envelope.body.is_none(),
    }
}
