//! One read's way through the stampede.

/// What a flight remembers between two steps. The host keeps it and never looks inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memo {
    /// Where the flight is.
    pub phase: u32,
    /// When the flight began to wait, counted from its beginning; 0 means that it never waited.
    pub since_ms: u32,
    /// Which terms the value is kept under: an entity's or an ad-hoc query's.
    pub terms: u32,
    /// What the [`Rules`](crate::Rules) note.
    pub note: u32,
}

/// When a step is taken, and its random bits.
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
pub struct LoadReport {
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
    /// Another flight holds the lease, for at most so many milliseconds unless it is renewed.
    LeaseHeld(u32),
    /// A wait ended: by a push, or by its time.
    Waited,
    /// A load succeeded.
    Loaded(LoadReport),
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
    /// The moment from which a hit shall refresh it early, 1 to `fresh_ms`; `fresh_ms` means never.
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
