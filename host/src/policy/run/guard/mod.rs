//! The one place where a policy's answers are checked before the host acts on them: names here, a
//! flight's actions in `flight`.

mod flight;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::policy::{Memo, Plan, Terms};
pub use flight::{
    FlightBounds, FlightStage, LEASE_MS, LegalActions, Refused, SPARE_TURNS, Spent, TURNS_PER_WAIT,
    conservative,
};

use crate::name::{InvalidName, Place, StoreKey, StoreTag};

/// Most tags of one value. Every tag is an index entry that a fill writes and an invalidation
/// reads, so a value with more tags costs the store more than it saves.
pub const TAGS_LIMIT: usize = 1024;

/// Most targets of a change for each of its rows; a change without rows counts as one row. An
/// answer with more is refused and held against the policy.
pub const TARGETS_OF_A_ROW: usize = TAGS_LIMIT;

/// Most targets of a write. Each is announced to every host before the commit and removed after it.
/// A write that makes more values untrue needs a tag that all of them carry.
pub const TARGETS_LIMIT: usize = 16 << 10;

/// How far a policy may stretch a lifetime.
const STRETCH: u32 = 10;

/// Nothing is kept longer than this, since a value that is never invalidated must end by itself.
/// The longest ttl and the longest window of a configuration, 30 days each, fit in with all the
/// jitter that 32 bits of milliseconds hold.
const KEPT_AT_MOST: Duration = Duration::from_secs(90 * 24 * 3600);

impl Terms {
    /// The terms under which a value lives as long as any may.
    pub const LONGEST: Self = Self {
        ttl_ms: u32::MAX,
        negative_ttl_ms: u32::MAX,
        stale_while_revalidate_ms: 0,
        stale_if_error_ms: 0,
    };

    /// The terms of an ad-hoc query that is kept for so long.
    #[must_use]
    pub fn of_query(ttl_ms: u32) -> Self {
        Self { ttl_ms, negative_ttl_ms: ttl_ms, stale_while_revalidate_ms: 0, stale_if_error_ms: 0 }
    }

    /// The longest that a value may be kept.
    #[must_use]
    pub fn kept_at_most(&self) -> Duration {
        let longest = |one_ms: u32, other_ms| Duration::from_millis(one_ms.max(other_ms).into());
        let window = longest(self.stale_while_revalidate_ms, self.stale_if_error_ms);
        let ttl = longest(self.ttl_ms, self.negative_ttl_ms);
        ttl.saturating_mul(STRETCH).saturating_add(window).min(KEPT_AT_MOST)
    }
}

/// A plan whose names are fit for the store.
#[derive(Debug, Clone)]
pub struct Named {
    /// The store key.
    pub key: StoreKey,
    /// The tags that the request alone determines.
    pub tags: Vec<StoreTag>,
    /// Columns that `row-tags` needs to see. Empty if no tag depends on the row.
    pub row_columns: Vec<String>,
    /// The memo of this read's first step.
    pub memo: Memo,
    /// Where the read's value lies in the store; set by the cache when it is first needed.
    pub(crate) place: OnceLock<Place>,
}

/// Two plans are equal if the policy's answers are.
impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        let parts = |named: &Self| (named.key.clone(), named.tags.clone(), named.memo);
        parts(self) == parts(other) && self.row_columns == other.row_columns
    }
}

/// An answer that the host does not act upon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// A key that the store can't hold.
    #[error("the key {key:?} is not legal: {problem}")]
    Key {
        /// The key, cut to a readable length.
        key: String,
        /// What is wrong with it.
        problem: InvalidName,
    },
    /// A tag that the store can't hold.
    #[error("the tag {tag:?} is not legal: {problem}")]
    Tag {
        /// The tag, cut to a readable length.
        tag: String,
        /// What is wrong with it.
        problem: InvalidName,
    },
    /// The plan has more tags than [`TAGS_LIMIT`].
    #[error("it gives {0} tags, {TAGS_LIMIT} are allowed")]
    Tags(usize),
    /// The rows have more tags than [`TAGS_LIMIT`] for each row.
    #[error("it gives {0} tags for {1} rows, {TAGS_LIMIT} a row are allowed")]
    RowTags(usize, usize),
    /// The change has more targets than [`TARGETS_OF_A_ROW`] for each row.
    #[error("it names {0} targets for a change of {1} rows, {TARGETS_OF_A_ROW} a row are allowed")]
    Targets(usize, usize),
}

impl Named {
    /// Checks a plan.
    ///
    /// # Errors
    /// [`Illegal`] names the first name that is not fit for the store.
    pub fn try_new(plan: Plan) -> Result<Arc<Self>, Illegal> {
        let key = key(&plan.key)?;
        let tags = tags(&plan.tags)?;
        let (row_columns, memo, place) = (plan.row_columns, plan.memo, OnceLock::new());
        Ok(Arc::new(Self { key, tags, row_columns, memo, place }))
    }
}

/// Checks a key.
///
/// # Errors
/// [`Illegal::Key`].
pub fn key(key: &str) -> Result<StoreKey, Illegal> {
    StoreKey::try_new(key).map_err(|problem| Illegal::Key { key: excerpt(key), problem })
}

/// Checks a tag.
///
/// # Errors
/// [`Illegal::Tag`].
pub fn tag(tag: &str) -> Result<StoreTag, Illegal> {
    StoreTag::try_new(tag).map_err(|problem| Illegal::Tag { tag: excerpt(tag), problem })
}

/// Checks how many tags a policy gives so many rows. The limit is per row, so a list whose tags
/// together exceed what a value may have is not held against the policy.
///
/// # Errors
/// [`Illegal::RowTags`].
pub fn row_tags(tags: usize, rows: usize) -> Result<(), Illegal> {
    let most = TAGS_LIMIT.saturating_mul(rows.max(1));
    if tags > most { Err(Illegal::RowTags(tags, rows)) } else { Ok(()) }
}

/// Checks how many targets a policy names for a change of so many rows.
///
/// # Errors
/// [`Illegal::Targets`].
pub fn targets(targets: usize, rows: usize) -> Result<(), Illegal> {
    let most = TARGETS_OF_A_ROW.saturating_mul(rows.max(1));
    if targets > most { Err(Illegal::Targets(targets, rows)) } else { Ok(()) }
}

/// Checks tags, of a plan or of rows.
///
/// # Errors
/// [`Illegal::Tag`] for the first illegal one, [`Illegal::Tags`] for too many.
pub fn tags(tags: &[String]) -> Result<Vec<StoreTag>, Illegal> {
    if tags.len() > TAGS_LIMIT {
        return Err(Illegal::Tags(tags.len()));
    }
    tags.iter().map(|tag| self::tag(tag)).collect()
}

/// Enough of a name to recognise it.
pub(in crate::policy) fn excerpt(name: &str) -> String {
    const SHOWN: usize = 80;
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_with_legal_names_passes_unchanged() {
        let named = Named::try_new(plan("v1:user:42", &["user:42"])).unwrap();
        assert_eq!(named.key.as_str(), "v1:user:42");
        assert_eq!(named.tags.iter().map(StoreTag::as_str).collect::<Vec<_>>(), ["user:42"]);
    }

    #[test]
    fn an_illegal_key_is_refused_with_its_reason() {
        let illegal = Named::try_new(plan("a b", &[])).unwrap_err();
        assert_eq!(illegal.to_string(), "the key \"a b\" is not legal: it has ' ' at byte 1");
    }

    #[test]
    fn one_illegal_tag_among_legal_ones_is_found() {
        let illegal = Named::try_new(plan("k", &["a", "", "b"])).unwrap_err();
        assert_eq!(illegal.to_string(), "the tag \"\" is not legal: it is empty");
    }

    #[test]
    fn too_many_tags_are_refused() {
        let many = vec!["t"; TAGS_LIMIT + 1];
        assert_eq!(Named::try_new(plan("k", &many)), Err(Illegal::Tags(TAGS_LIMIT + 1)));
        assert!(Named::try_new(plan("k", &many[1..])).is_ok());
    }

    #[test]
    fn a_change_has_so_many_targets_for_each_of_its_rows_and_not_one_more() {
        // A change without known rows may have as many targets as a change of one row.
        let of_a_row = TARGETS_OF_A_ROW;
        for (rows, most) in [(0, of_a_row), (1, of_a_row), (2, 2 * of_a_row), (64, 64 * of_a_row)] {
            assert_eq!(targets(most, rows), Ok(()));
            assert_eq!(targets(most + 1, rows), Err(Illegal::Targets(most + 1, rows)));
        }
        let illegal = targets(of_a_row + 1, 1).unwrap_err();
        let said = "it names 1025 targets for a change of 1 rows, 1024 a row are allowed";
        assert_eq!(illegal.to_string(), said);
    }

    #[test]
    fn a_list_has_so_many_tags_for_each_of_its_rows_and_not_one_more() {
        let of_a_row = TAGS_LIMIT;
        for (rows, most) in [(0, of_a_row), (1, of_a_row), (2, 2 * of_a_row), (64, 64 * of_a_row)] {
            assert_eq!(row_tags(most, rows), Ok(()));
            assert_eq!(row_tags(most + 1, rows), Err(Illegal::RowTags(most + 1, rows)));
        }
        let illegal = row_tags(of_a_row + 1, 1).unwrap_err();
        assert_eq!(illegal.to_string(), "it gives 1025 tags for 1 rows, 1024 a row are allowed");
    }

    #[test]
    fn a_long_key_is_cut_between_characters_in_the_message() {
        let illegal = key(&"ü".repeat(600)).unwrap_err();
        assert!(illegal.to_string().contains(&format!("{}…", "ü".repeat(80))), "{illegal}");
    }

    fn plan(key: &str, tags: &[&str]) -> Plan {
        Plan {
            key: key.into(),
            tags: tags.iter().map(|&tag| tag.into()).collect(),
            row_columns: Vec::new(),
            memo: Memo { phase: 0, since_ms: 0, terms: 0, note: 0 },
        }
    }
}
