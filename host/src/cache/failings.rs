//! Failings: what fails at present. The log says it once for each change, readiness for as long as it lasts.
//!
//! A failure is logged when its subject was well before, or fails in another way. A subject is well again
//! once it has succeeded and has not failed for ten seconds: a subject that fails now and then gets one line,
//! and not a line for each request. A refusal of a client's values by the database is the client's concern;
//! it is logged once in a host's life.
//!
//! No line contains a value, a statement or a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::Whose;
use super::load::{LoadError, load_time};
use super::write::WriteError;
use crate::config::EntityConfig;
use crate::origin::{BODY_LIMIT, Fault, OriginError};
use crate::policy::run::guard::TAGS_LIMIT;

/// How long a subject that has succeeded must not have failed to be well again.
const QUIET: Duration = Duration::from_secs(10);

/// The largest number of different ways to fail that are logged for one subject before it is well: a server's
/// text may contain a number that is never the same.
const WAYS: usize = 8;

/// The largest number of refusals of a client's values that are remembered.
const REFUSALS: usize = 1_024;

/// The longest text of the driver that is passed on.
const WORDS: usize = 200;

/// What fails.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum FailingPart {
    Origin,
    Loads { entity: String },
    Write { entity: String, write: String },
}

impl fmt::Display for FailingPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin => f.write_str("the origin"),
            Self::Loads { entity } => write!(f, "loads of {entity:?}"),
            Self::Write { entity, write } => write!(f, "the write {write:?} of {entity:?}"),
        }
    }
}

/// What fails at present.
#[derive(Debug, Default)]
pub(super) struct Failings(Mutex<FailingsState>);

#[derive(Debug, Default)]
struct FailingsState {
    failing: BTreeMap<FailingPart, Failing>,
    /// What the database refused because of a client's values, with the code.
    refused: BTreeSet<(FailingPart, String)>,
}

#[derive(Debug)]
struct Failing {
    /// The ways to fail that were logged.
    said: BTreeSet<String>,
    /// The last way, as a sentence that says what to do.
    sentence: String,
    last: Instant,
    has_succeeded_since: bool,
}

impl Failings {
    /// A load was answered.
    pub(super) fn loaded(&self, entity: &str) {
        self.succeeded(|| FailingPart::Loads { entity: entity.to_owned() });
    }

    /// A write was carried out.
    pub(super) fn wrote(&self, entity: &str, write: &str) {
        self.succeeded(|| of_write(entity, write));
    }

    /// A load of an entity of the configuration failed.
    pub(super) fn load_failed(
        &self,
        entity: &EntityConfig,
        error: &LoadError,
        whose: Option<Whose>,
    ) {
        let subject = || FailingPart::Loads { entity: entity.name.clone() };
        match error {
            LoadError::Origin(OriginError::Unavailable(words)) => self.unavailable(words),
            LoadError::Origin(OriginError::Timeout(_)) => self.load_was_late(entity, whose),
            LoadError::Origin(OriginError::Rejected { code, .. }) => {
                self.rejected(subject(), code);
            }
            LoadError::Origin(OriginError::Undone { code, .. }) => self.undone(subject(), code),
            LoadError::Origin(OriginError::TooLarge) => {
                let what = format!("answer more than {BODY_LIMIT} bytes; narrow the read");
                self.failed(subject(), "too-large", &what);
            }
            LoadError::Overloaded => {
                let what = "find no place in time: as many run as may at once; make them faster, or raise \
                            origin.max_loads";
                self.failed(subject(), "overloaded", what);
            }
        }
    }

    /// A value can't be stored: a tag is made of a column that is missing or has no text.
    pub(super) fn untaggable(&self, entity: &str, column: &str) {
        let what = format!(
            "are not stored: their tags need the column {column:?}, which the statement does not return, or \
             of which a row has a value without a text; `corral check` names the first, and a tag of another \
             column helps the second"
        );
        self.failed(FailingPart::Loads { entity: entity.to_owned() }, "untaggable", &what);
    }

    /// A value can't be stored: its rows have too many tags.
    pub(super) fn too_many_tags(&self, entity: &str) {
        let what = format!(
            "are not stored: their rows have more than {TAGS_LIMIT} different tags; tag the list by what its \
             rows share, or read fewer rows at once"
        );
        self.failed(FailingPart::Loads { entity: entity.to_owned() }, "too-many-tags", &what);
    }

    fn load_was_late(&self, entity: &EntityConfig, whose: Option<Whose>) {
        let (name, limit) = (&entity.name, load_time(entity.deadline));
        let key = format!("entity.{name:?}.deadline ({:?})", entity.deadline);
        match whose {
            Some(Whose::Origin) => {
                let what = format!(
                    "has answered no load since a load of {name:?} began that did not end within \
                     {limit:?}; see whether the database is stuck, or, if that statement takes so long, \
                     raise {key}"
                );
                self.failed(FailingPart::Origin, "late", &what);
            }
            Some(Whose::Entity) | None => {
                let what = format!(
                    "do not end within {limit:?}; make the statement faster, or raise {key}"
                );
                self.failed(FailingPart::Loads { entity: name.clone() }, "late", &what);
            }
        }
    }

    /// A write failed.
    pub(super) fn write_failed(&self, entity: &str, write: &str, error: &WriteError) {
        let subject = || of_write(entity, write);
        match error {
            WriteError::Origin(OriginError::Unavailable(words)) => self.unavailable(words),
            WriteError::Origin(OriginError::Rejected { code, .. }) => {
                self.rejected(subject(), code);
            }
            WriteError::Origin(OriginError::Undone { code, .. }) => self.undone(subject(), code),
            WriteError::Origin(OriginError::Timeout(limit)) => {
                let what = format!(
                    "does not end within {limit:?}; make it faster, or raise entity.{entity:?}.deadline"
                );
                self.failed(subject(), "late", &what);
            }
            WriteError::Origin(OriginError::TooLarge) => {
                let what = format!("returns more than {BODY_LIMIT} bytes; return less");
                self.failed(subject(), "too-large", &what);
            }
            WriteError::Unknown(error) => {
                let what = format!("has commits with an unknown outcome: {error}");
                self.failed(subject(), "unknown", &what);
            }
            WriteError::Undecided => {
                let what = "is refused: the policy could not say what it touches; `corral policy check` \
                            shows why";
                self.failed(subject(), "undecided", what);
            }
            WriteError::Column(column) => {
                let what = format!(
                    "is refused: its touches need the column {column:?}, which the statement does not \
                     return; `corral check` names every such column"
                );
                self.failed(subject(), "column", &what);
            }
            WriteError::TooMuch(much) => {
                let what = format!(
                    "is refused: {much}; let it touch a tag that all of them carry, or write fewer rows at \
                     once"
                );
                self.failed(subject(), "too-much", &what);
            }
            // The store's breaker reports what is owed.
            WriteError::Overloaded | WriteError::Interrupted => {}
        }
    }

    /// What fails at present, as sentences.
    pub(super) fn sentences(&self) -> Vec<String> {
        let mut state = self.lock();
        state.forget();
        state.failing.values().map(|failing| failing.sentence.clone()).collect()
    }

    fn unavailable(&self, words: &str) {
        let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let words: String = words.chars().take(WORDS).collect();
        let what = format!(
            "can't be used: {words}; see whether the database runs, accepts connections, and knows \
             the name and password of origin.url"
        );
        self.failed(FailingPart::Origin, &words, &what);
    }

    fn undone(&self, subject: FailingPart, code: &str) {
        let verb = if matches!(subject, FailingPart::Loads { .. }) { "are" } else { "is" };
        let what = format!(
            "{verb} rolled back by the database until the deadline because of conflicts with other \
             transactions ({code}); shorten the transactions that touch the same rows"
        );
        self.failed(subject, code, &what);
    }

    fn rejected(&self, subject: FailingPart, code: &str) {
        if !is_of_the_client(code) {
            let what = match meaning(code) {
                Some(meaning) => format!("rejected by the database ({code}, {meaning})"),
                None => format!("rejected by the database ({code})"),
            };
            let verb = if matches!(subject, FailingPart::Loads { .. }) { "are" } else { "is" };
            let cure = "`corral check` says what is wrong with the statement";
            return self.failed(subject, code, &format!("{verb} {what}; {cure}"));
        }
        let mut state = self.lock();
        let is_new = state.refused.len() < REFUSALS
            && state.refused.insert((subject.clone(), code.to_owned()));
        if is_new {
            tracing::warn!(
                code,
                "{subject}: the database refuses a client's values; the client gets the code, and this is \
                 logged once"
            );
        }
    }

    fn failed(&self, subject: FailingPart, way: &str, what: &str) {
        let mut state = self.lock();
        let sentence = format!("{subject} {what}");
        let failing = state.failing.entry(subject).or_insert_with(|| Failing {
            said: BTreeSet::new(),
            sentence: String::new(),
            last: Instant::now(),
            has_succeeded_since: false,
        });
        (failing.last, failing.has_succeeded_since) = (Instant::now(), false);
        if failing.said.len() < WAYS && failing.said.insert(way.to_owned()) {
            tracing::warn!("{sentence}");
        }
        failing.sentence = sentence;
    }

    /// A subject succeeded, and with it the origin, which answered.
    fn succeeded(&self, subject: impl FnOnce() -> FailingPart) {
        let mut state = self.lock();
        if state.failing.is_empty() {
            return;
        }
        for subject in [FailingPart::Origin, subject()] {
            if let Some(failing) = state.failing.get_mut(&subject) {
                failing.has_succeeded_since = true;
            }
        }
        state.forget();
    }

    fn lock(&self) -> MutexGuard<'_, FailingsState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FailingsState {
    /// Forgets what is well again.
    fn forget(&mut self) {
        self.failing.retain(|subject, failing| {
            let is_well = failing.has_succeeded_since && failing.last.elapsed() >= QUIET;
            if is_well {
                tracing::info!("{subject}: well again");
            }
            !is_well
        });
    }
}

fn of_write(entity: &str, write: &str) -> FailingPart {
    FailingPart::Write { entity: entity.to_owned(), write: write.to_owned() }
}

/// Whether a rejection is caused by the values of a request, and not by the statement.
fn is_of_the_client(code: &str) -> bool {
    match Fault::of(code) {
        Fault::Constraint | Fault::Values => true,
        Fault::Statement => false,
    }
}

/// What the codes mean that operators meet most.
fn meaning(code: &str) -> Option<&'static str> {
    Some(match code {
        "25006" => "the database is read-only",
        "42501" => "a privilege is missing",
        "42703" => "there is no such column",
        "42883" => "there is no such function or operator",
        "42P01" => "there is no such table",
        "42P18" | "42804" => "a type does not fit",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(code: &str) -> WriteError {
        let (code, message) = (code.to_owned(), "secret value".to_owned());
        WriteError::Origin(OriginError::Rejected { code, message })
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_said_until_it_has_succeeded_and_was_quiet() {
        let failings = Failings::default();
        failings.write_failed("shop", "put", &rejected("42703"));
        let said = failings.sentences();
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("42703") && said[0].contains("corral check"), "{said:?}");
        assert!(!said[0].contains("secret"), "{said:?}");
        failings.wrote("shop", "put");
        assert_eq!(failings.sentences(), said, "it may fail again at once");
        tokio::time::advance(QUIET).await;
        assert_eq!(failings.sentences(), Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_not_succeeded_is_not_well_however_long_ago_it_failed() {
        let failings = Failings::default();
        failings.write_failed("shop", "put", &rejected("42703"));
        tokio::time::advance(QUIET * 100).await;
        assert_eq!(failings.sentences().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_constraint_that_a_client_breaks_is_no_reason_to_worry() {
        let failings = Failings::default();
        for code in ["23505", "22003", "P0001", "2067"] {
            failings.write_failed("shop", "put", &rejected(code));
        }
        assert_eq!(failings.sentences(), Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn the_origin_is_one_subject_whoever_meets_its_absence() {
        let failings = Failings::default();
        let error = OriginError::Unavailable("connection refused\n".to_owned());
        failings.write_failed("shop", "put", &WriteError::Origin(error.clone()));
        failings.write_failed("shop", "other", &WriteError::Origin(error));
        let said = failings.sentences();
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("origin.url") && !said[0].contains('\n'), "{said:?}");
    }
}
