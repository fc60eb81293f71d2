//! What every store must do: a suite of named checks, and a comparison with a reference model.
//!
//! Each check takes the store and a prefix that no other check uses, so a suite can run on a store
//! that other suites have used before. Names are those of a deployment under `corral:`, for which
//! the store has to be opened.

mod intents;
mod leases;
pub mod model;
mod nodes;
mod ranges;
mod removal;
mod tags;
mod tracking;
mod values;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use corral_host::store::{
    Claim, Claimed, Digest, Envelope, Epoch, Filled, Fingerprint, LeaseToken, Mark, Marking, Mode,
    Name, Prefix, RangeId, Stamp, Store, StoreKey, StoreTag,
};
use futures_util::future::LocalBoxFuture;

pub use removal::{Doomed, invalidate};
pub use tracking::{Heard, run_tracking};

/// One check: its name is the sentence that it proves.
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
        a_value_of_any_size_is_filled_read_and_found,
        a_missing_row_is_a_value,
        a_value_is_gone_when_its_lifetime_is_over,
        a_fill_whose_lifetime_is_over_is_accepted_and_leaves_nothing,
        an_invalidation_removes_values_and_counts_them,
        an_invalidation_of_many_keys_leaves_the_others,
        one_invalidation_takes_names_and_tags_alike,
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
        overlapping_invalidations_forget_nothing_that_is_indexed_meanwhile,
        a_mark_is_seen_and_ends,
        a_mark_says_when_it_was_set_and_in_which_epoch,
        a_name_is_written_into_many_indexes_at_once,
        an_index_is_kept_until_its_longest_member_ends,
        a_short_lived_member_does_not_shorten_the_index,
        a_key_keeps_its_longest_expiry_in_an_index;
    intents:
        an_intent_falls_due_after_its_hold_and_not_before,
        a_withdrawn_intent_never_falls_due,
        a_due_intent_is_held_for_whoever_took_it,
        an_intent_announced_again_falls_due_later,
        many_intents_fall_due_with_all_their_names,
        an_intent_comes_back_with_all_that_it_says;
    ranges:
        what_is_published_is_read_with_its_floor,
        what_is_published_again_changes_nothing,
        a_floor_that_is_raised_changes_and_no_other_does,
        a_naming_that_is_not_in_use_loses_its_floor,
        a_naming_is_in_use_for_as_long_as_it_is_published,
        an_epoch_that_was_watched_is_noted,
        of_two_that_read_one_note_one_writes_the_next,
        a_host_that_is_listed_sees_itself,
        a_host_is_not_alone_while_another_is_listed_or_left_without_a_word,
        a_naming_is_known_until_the_range_loses_one,
        a_note_is_read_back_under_its_name_alone;
    nodes:
        a_beat_and_a_new_connection_say_the_same_of_the_node,
        every_answer_says_over_which_link_it_came;
}

/// Runs every check on `store` under `prefix`, and returns how many there were.
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
    // A faulty store may keep a check waiting for ever.
    tokio::time::timeout(LONG / 2, checked)
        .await
        .unwrap_or_else(|over| Err(over.into()))
        .context(check.name)
}

/// Long enough to outlive every check.
const LONG: Duration = Duration::from_secs(60);

/// A lease or lifetime whose end a check waits for.
const SHORT: Duration = Duration::from_millis(60);

/// The epoch in the marks and stamps of the checks.
const EPOCH: Epoch = Epoch(0xe90c);

/// The range that the checks use.
const RANGE: RangeId = RangeId::FIRST;

/// How long a condition may take to become true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// The store under test, and names that belong to one check.
#[derive(Clone, Copy)]
struct Subject<'a> {
    store: &'a dyn Store,
    prefix: &'a str,
}

impl Subject<'_> {
    fn name(&self, name: &str) -> Result<Name> {
        let key = StoreKey::try_new(&format!("{}:{name}", self.prefix))?;
        Ok(Name::new(&Prefix::default(), &Digest::of(["conformance"]), &key))
    }

    fn tag(&self, name: &str) -> Result<StoreTag> {
        Ok(StoreTag::try_new(&format!("{}:{name}", self.prefix))?)
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
            fingerprint: Fingerprint(u128::from(loaded_at_ms) << 64 | 13),
            stamp: Stamp { epoch: EPOCH, word: u64::MAX - loaded_at_ms },
            tag_slots: vec![],
            body: Some(Bytes::from(format!("{{\"loaded\":{loaded_at_ms}}}"))),
        }
    }

    async fn claim(&self, name: &Name, token: LeaseToken, lease: Duration) -> Result<Claimed> {
        let claim = Claim { name, token, lease, seen_ms: u64::MAX, mode: Mode::IfFree };
        Ok(self.store.claim(claim).await?.answer)
    }

    /// Claims a name that must be free.
    async fn take(&self, name: &Name, lease: Duration) -> Result<LeaseToken> {
        let token = token();
        match self.claim(name, token, lease).await? {
            Claimed::Granted { .. } => Ok(token),
            other @ (Claimed::Held { .. } | Claimed::Found(_)) => {
                bail!("{name} should be free: {other:?}")
            }
        }
    }

    /// Puts a value under a name that must be free.
    async fn put(&self, name: &Name, envelope: &Envelope) -> Result<()> {
        let token = self.take(name, LONG).await?;
        let filled = self.store.fill(name, token, envelope).await?.answer;
        ensure!(filled == Filled::Stored, "a fill under a fresh lease was {filled:?}");
        Ok(())
    }

    /// Puts a value under a name and the name under a tag.
    async fn put_tagged(&self, tag: &StoreTag, name: &Name) -> Result<()> {
        self.index_for(tag, name, LONG).await?;
        self.put(name, &self.envelope(1)).await
    }

    async fn has(&self, name: &Name) -> Result<bool> {
        Ok(self.store.get(name).await?.answer.is_some())
    }

    /// Whether the name's lease is held. A free lease stays free.
    async fn is_held(&self, name: &Name) -> Result<bool> {
        let probe = token();
        self.claim(name, probe, LONG).await?;
        Ok(!self.store.release(name, probe).await?)
    }

    /// Indexes the name under the tag, and returns the tag's mark, if it has one.
    async fn index_for(
        &self,
        tag: &StoreTag,
        name: &Name,
        lifetime: Duration,
    ) -> Result<Option<Mark>> {
        self.index_until(tag, name, self.after(lifetime)).await
    }

    async fn index_until(
        &self,
        tag: &StoreTag,
        name: &Name,
        until_ms: u64,
    ) -> Result<Option<Mark>> {
        let indexed = self.store.index(name, std::slice::from_ref(tag), until_ms).await?;
        Ok(indexed.answer.marks.first().copied())
    }

    /// Removes the names; how many of them had something to remove.
    async fn remove_names(&self, names: &[Name]) -> Result<u64> {
        let doomed: Vec<_> = names.iter().cloned().map(Doomed::Name).collect();
        self.remove(&doomed, LONG).await
    }

    /// Removes the tag's names, with a mark that lasts for so long; how many had something to
    /// remove.
    async fn remove_tag(&self, tag: &StoreTag, lasts: Duration) -> Result<u64> {
        self.remove(&[Doomed::Tag(tag.clone())], lasts).await
    }

    async fn remove(&self, doomed: &[Doomed], lasts: Duration) -> Result<u64> {
        let marking = Marking { lasts, epoch: EPOCH };
        let removed = invalidate(self.store, doomed, marking).await?;
        Ok(removed.answer.names)
    }

    /// One exchange that changes nothing. It takes as long as a step of another operation.
    async fn step(&self) -> Result<()> {
        self.store.lease_left(&self.name("nobody's")?).await?;
        Ok(())
    }

    /// Waits until the store's clock has passed `until_ms`.
    async fn pass(&self, until_ms: u64) -> Result<()> {
        eventually("the clock", async || Ok(self.store.now_ms() > until_ms)).await
    }
}

fn token() -> LeaseToken {
    LeaseToken::new(rand::random())
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
