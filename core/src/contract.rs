//! The contract's types, as plain Rust. They mirror `wit/policy.wit`, which documents them line by
//! line; what is said here is what a reader of this crate needs. Durations are milliseconds.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::{Key, Tag};

/// What the policy is called in logs, headers and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Lower-case letters, digits, `-` and `.`.
    pub name: String,
    /// `major.minor.patch`.
    pub version: String,
}

/// Something in the settings that can't be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `entities.user.profile.ttl_ms`. Empty: the whole text.
    pub path: String,
    /// What is wrong there and what would be right, for an operator.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl core::error::Error for Problem {}

/// A named value: a parameter of a request, or a column of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Argument {
    /// The parameter's or column's name.
    pub name: String,
    /// The value's canonical text; `None` is SQL's null, which differs from an empty text.
    pub value: Option<String>,
}

/// A read that no entity describes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Query {
    /// The statement as it was sent.
    pub sql: String,
    /// How long the caller wants it kept; 0: as the settings say.
    pub ttl_ms: u32,
    /// Tags that the caller gave it; used as they are.
    pub tags: Vec<String>,
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An entity of the settings, by name.
    Entity(String),
    /// An ad-hoc query.
    Query(Query),
}

/// A read, as [`Policy::plan`](crate::Policy::plan) sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// What is read.
    pub subject: Subject,
    /// In any order.
    pub arguments: Vec<Argument>,
}

/// How a request is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The store key.
    pub key: Key,
    /// The tags that the request alone determines, sorted, none twice.
    pub tags: Vec<Tag>,
    /// The columns that [`Policy::row_tags`](crate::Policy::row_tags) needs; empty: none.
    pub row_columns: Vec<String>,
    /// What the read's first step gets.
    pub memo: Memo,
}

/// Why a request gets no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The settings have no entity of this name.
    UnknownEntity,
    /// The entity declares this parameter and the request lacks it.
    MissingArgument(String),
    /// The entity does not declare this parameter, or the request has it twice.
    SurplusArgument(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownEntity => f.write_str("no such entity"),
            Self::MissingArgument(name) => write!(f, "parameter `{name}` is missing"),
            Self::SurplusArgument(name) => write!(f, "parameter `{name}` is unknown or came twice"),
        }
    }
}

impl core::error::Error for Refusal {}

/// Columns of one row, in the order of [`Plan::row_columns`]; `None`: null.
pub type Row = Vec<Option<String>>;

/// What a flight remembers between two steps. The host keeps it and never looks inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memo {
    /// Where the flight is.
    pub phase: u32,
    /// Claims that were answered with something of no use.
    pub attempts: u32,
    /// When the flight began to wait, since it began; 0: it never waited.
    pub since_ms: u32,
    /// Under which terms the value is kept.
    pub spare: u32,
}

/// When a step is taken, and its dice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since the flight began.
    pub elapsed_ms: u32,
    /// Until the deadline.
    pub left_ms: u32,
    /// Random bits, drawn for this step alone.
    pub entropy: u64,
}

/// An envelope as it looks at this moment. What lies in the past is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Since the value was loaded.
    pub age_ms: u32,
    /// Until its early-refresh point.
    pub refresh_ms: u32,
    /// Until it stops being fresh.
    pub fresh_ms: u32,
    /// Since it stopped being fresh.
    pub past_ms: u32,
    /// What it cost to load.
    pub cost_ms: u32,
    /// It says that no such row exists.
    pub negative: bool,
}

/// A load that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// How long it took.
    pub cost_ms: u32,
    /// Size of the value.
    pub bytes: u32,
    /// The origin has no such row.
    pub negative: bool,
}

/// Why a load failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The origin can't be reached.
    Unavailable,
    /// The statement did not end within its time.
    Timeout,
    /// Too many loads are waiting already.
    Overloaded,
    /// The origin answered with an error of the statement's own.
    Rejected,
}

/// A load that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub cause: Cause,
    /// The envelope at hand, if this flight has seen one.
    pub at_hand: Option<Sighting>,
}

/// What happened since the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The store has nothing under the key.
    Absent,
    /// The store has this.
    Found(Sighting),
    /// The caller wants a value loaded after its request began.
    Bypassed,
    /// The store did not do what it was asked, in its time.
    StoreUnavailable,
    /// This flight may fill the key.
    LeaseGranted,
    /// Somebody else holds the lease, for at most so many milliseconds unless renewed.
    LeaseHeld(u32),
    /// A wait ended: by a push, or by its time.
    Waited,
    /// A load succeeded.
    Loaded(Report),
    /// A load failed.
    LoadFailed(Failure),
    /// The fill was accepted.
    Filled,
    /// The fill was rejected: the lease was revoked or ran out.
    FillRejected,
}

/// How long a filled value lives, from the moment of the fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// How long it is fresh; at least 1.
    pub fresh_ms: u32,
    /// How long it is kept after that.
    pub stale_ms: u32,
    /// When a hit shall refresh it early, 1 to `fresh_ms`; equal to it: never early.
    pub refresh_ms: u32,
}

/// What the host shall do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ask the store for the key.
    Look,
    /// Ask for a lease of so many milliseconds.
    Claim(u32),
    /// Wait for the holder of the lease, at most so many milliseconds.
    Wait(u32),
    /// Load under the lease.
    Load,
    /// Load without a lease; the value can be answered and never be stored.
    LoadUncached,
    /// Store what the load brought.
    Fill(Lifetime),
    /// End: answer what is at hand.
    Answer,
    /// End: answer what is at hand, and begin a refresh in the background with this turn's memo.
    AnswerAndRefresh,
    /// End: there is no answer.
    Fail,
}

/// A step's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// What the next step gets.
    pub memo: Memo,
    /// What the host shall do.
    pub action: Action,
}

/// A row before and after a write, as far as the columns are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// Columns before; empty: unknown, or the row is new.
    pub before: Vec<Argument>,
    /// Columns after; empty: unknown, or the row is gone.
    pub after: Vec<Argument>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The entity whose write it is.
    pub entity: String,
    /// The write's name.
    pub write: String,
    /// The write's arguments, in any order.
    pub arguments: Vec<Argument>,
    /// The rows that the statement returned.
    pub rows: Vec<RowChange>,
}

/// What a change makes untrue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One key. The contract knows it; this policy names reads instead.
    Key(Key),
    /// Every key that carries this tag.
    Tag(Tag),
    /// The key of this read.
    Read(Request),
}

/// How it shall go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Removed: the next read loads it.
    Removed,
    /// Loaded and filled at once by the writer.
    Refreshed,
}

/// What shall go, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// What.
    pub scope: Scope,
    /// How.
    pub way: Way,
}
