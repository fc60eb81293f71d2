//! What every store must do: one suite of named checks, and a comparison with a reference model.
//!
//! Each check takes the store and a prefix that no other check uses, so a suite can run on a
//! store that has seen others before.

mod intents;
mod leases;
pub mod model;
mod tags;
mod tracking;
mod values;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use corral_host::store::{Claim, Claimed, Envelope, Filled, Indexed, Key, Mode, Store, Tag, Token};
use futures_util::future::LocalBoxFuture;

pub use tracking::{Heard, run_tracking};

/// One check: its name is the sentence it proves.
pub struct Check {
    /// The sentence.
    pub name: &'static str,
    run: for<'a> fn(Subject<'a>) -> LocalBoxFuture<'a, Result<()>>,
}

macro_rules! checks {
    ($($module:ident: $($name:ident),+ $(,)?);+ $(;)?) => {
        /// The suite.
        pub const CHECKS: &[Check] = &[$($(Check {
            name: stringify!($name),
            run: |subject| Box::pin($module::$name(subject)),
        }),+),+];
    };
}

checks! {
    values:
        a_key_without_a_value_has_none,
        what_was_filled_is_read_back,
        a_missing_row_is_a_value,
        a_value_is_gone_when_its_lifetime_is_over,
        a_fill_whose_lifetime_is_over_is_accepted_and_leaves_nothing,
        an_invalidation_removes_values_and_counts_them,
        an_invalidation_of_many_keys_leaves_the_others,
        the_clock_runs_and_grants_agree_with_it;
    leases:
        only_one_of_many_claims_is_granted,
        a_claim_of_a_held_key_says_for_how_long,
        who_looks_at_a_lease_sees_what_is_left_and_changes_nothing,
        a_fill_without_a_lease_is_rejected,
        a_fill_spends_the_lease,
        a_late_fill_after_an_invalidation_is_rejected,
        an_expired_lease_goes_to_the_second_claim_and_the_first_fill_is_rejected,
        only_the_holder_releases,
        only_the_holder_renews_and_the_lease_lives_on,
        a_claim_looks_again,
        a_take_over_revokes_the_lease_and_hands_nothing_back,
        a_waiter_is_woken_by_the_end_of_the_lease,
        a_waiter_is_not_kept_beyond_what_it_allows,
        a_wait_for_a_lease_that_ended_before_is_short;
    tags:
        a_tag_invalidation_removes_the_values_of_all_members,
        a_tag_invalidation_removes_more_than_one_chunk,
        a_load_in_progress_is_revoked_by_its_tag,
        other_tags_and_keys_are_left_alone,
        a_repeated_tag_invalidation_finds_nothing,
        a_key_indexed_again_is_found_again,
        an_invalidation_removes_the_value_of_what_is_indexed_meanwhile,
        an_invalidation_keeps_what_is_indexed_meanwhile,
        a_mark_is_seen_and_ends,
        an_index_is_kept_until_its_longest_member_ends,
        a_short_lived_member_does_not_shorten_the_index,
        a_key_keeps_its_longest_expiry_in_an_index;
    intents:
        an_intent_falls_due_after_its_hold_and_not_before,
        a_withdrawn_intent_never_falls_due,
        a_due_intent_is_held_for_whoever_took_it,
        an_intent_announced_again_falls_due_later,
        many_intents_fall_due_with_all_their_names;
}

/// Runs every check on `store` under `prefix`, and answers how many there were.
///
/// # Errors
/// The first check that fails, by name, and why.
pub async fn run_all(store: &dyn Store, prefix: &str) -> Result<usize> {
    for check in CHECKS {
        run(check, store, prefix).await?;
    }
    Ok(CHECKS.len())
}

/// Runs the check of this name on `store`.
///
/// # Errors
/// Why it fails, or that there is no such check.
pub async fn run_one(store: &dyn Store, prefix: &str, name: &str) -> Result<()> {
    let check = CHECKS.iter().find(|check| check.name == name);
    run(check.with_context(|| format!("no check {name}"))?, store, prefix).await
}

async fn run(check: &Check, store: &dyn Store, prefix: &str) -> Result<()> {
    let prefix = format!("{prefix}:{}", check.name);
    let checked = (check.run)(Subject { store, prefix: &prefix });
    // A faulty store may keep a check waiting for what never comes.
    tokio::time::timeout(LONG / 2, checked)
        .await
        .unwrap_or_else(|over| Err(over.into()))
        .context(check.name)
}

/// Long enough to outlive every check.
const LONG: Duration = Duration::from_secs(60);

/// A lease or lifetime whose end a check waits for.
const SHORT: Duration = Duration::from_millis(60);

/// How long a condition may take to come true, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// The store under test, and names that belong to one check.
#[derive(Clone, Copy)]
struct Subject<'a> {
    store: &'a dyn Store,
    prefix: &'a str,
}

impl Subject<'_> {
    fn key(&self, name: &str) -> Result<Key> {
        Ok(Key::try_new(&format!("{}:{name}", self.prefix))?)
    }

    fn tag(&self, name: &str) -> Result<Tag> {
        Ok(Tag::try_new(&format!("{}:{name}", self.prefix))?)
    }

    fn after(&self, lifetime: Duration) -> u64 {
        self.store.now_ms() + lifetime.as_millis() as u64
    }

    /// An envelope loaded at `loaded_at_ms` that is kept for a long time.
    fn envelope(&self, loaded_at_ms: u64) -> Envelope {
        self.envelope_for(loaded_at_ms, LONG)
    }

    fn envelope_for(&self, loaded_at_ms: u64, lifetime: Duration) -> Envelope {
        let until_ms = self.after(lifetime);
        Envelope {
            loaded_at_ms,
            refresh_at_ms: until_ms,
            fresh_until_ms: until_ms,
            stale_until_ms: until_ms,
            cost_ms: 7,
            etag: 11,
            generation: 3,
            body: Some(Bytes::from(format!("{{\"loaded\":{loaded_at_ms}}}"))),
        }
    }

    async fn claim(&self, key: &Key, token: Token, lease: Duration) -> Result<Claimed> {
        let claim = Claim { key, token, lease, seen_ms: u64::MAX, mode: Mode::IfFree };
        Ok(self.store.claim(claim).await?)
    }

    /// Claims a key that must be free.
    async fn take(&self, key: &Key, lease: Duration) -> Result<Token> {
        let token = token();
        match self.claim(key, token, lease).await? {
            Claimed::Granted { .. } => Ok(token),
            other @ (Claimed::Held { .. } | Claimed::Found(_)) => {
                bail!("{key} should be free: {other:?}")
            }
        }
    }

    /// Puts a value under a key that must be free.
    async fn put(&self, key: &Key, envelope: &Envelope) -> Result<()> {
        let token = self.take(key, LONG).await?;
        let filled = self.store.fill(key, token, envelope).await?;
        ensure!(filled == Filled::Stored, "a fill under a fresh lease was {filled:?}");
        Ok(())
    }

    /// Puts a value under a key and the key under a tag.
    async fn put_tagged(&self, tag: &Tag, key: &Key) -> Result<()> {
        self.store.index(tag, key, self.after(LONG)).await?;
        self.put(key, &self.envelope(1)).await
    }

    async fn has(&self, key: &Key) -> Result<bool> {
        Ok(self.store.get(key).await?.is_some())
    }

    /// Whether somebody holds the key's lease. Leaves a free one free.
    async fn is_held(&self, key: &Key) -> Result<bool> {
        let probe = token();
        self.claim(key, probe, LONG).await?;
        Ok(!self.store.release(key, probe).await?)
    }

    async fn index_for(&self, tag: &Tag, key: &Key, lifetime: Duration) -> Result<Indexed> {
        Ok(self.store.index(tag, key, self.after(lifetime)).await?)
    }

    /// Waits until the store's clock has passed `until_ms`.
    async fn pass(&self, until_ms: u64) -> Result<()> {
        eventually("the clock", async || Ok(self.store.now_ms() > until_ms)).await
    }
}

fn token() -> Token {
    Token::new(rand::random())
}

/// Waits for a condition.
async fn eventually(what: &str, condition: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let wait = async {
        while !condition().await? {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, wait).await.with_context(|| format!("waiting for {what}"))?
}
