//! A simulator that can prove the cache wrong.
//!
//! It runs the real reader, writer, flights, leases and breaker of several hosts in virtual time on
//! one thread, over a simulated store and origin that delay, lose, reorder, refuse, expire, evict,
//! flush, crash, restart from snapshots, fail over, disagree about the time and freeze. All chance
//! comes from one seed, so a seed determines a run. The clients' view is a `history`, and the
//! `checker` says whether it could have come from a cache that keeps its promises.
//!
//! | word | meaning |
//! |---|---|
//! | schedule | one run, determined by its seed |
//! | climate | the properties of a schedule: traffic, terms, possible faults |
//! | theme | properties of a climate that are drawn together, to make a rare race likely |
//! | weather | the disturbances in force at a moment |
//! | trouble | the task that makes disturbances |
//! | shelf | what a node of the store holds |
//! | register | the range on a shelf: floors, namings, epochs, hosts |
//! | truth | the origin's rows |
//! | link, wire | a host's connections to the store, and the changes that the store reports over one of them |
//! | ears | the listeners in a host to those reports |
//! | lane | a host's way to the origin |
//!
//! ```text
//! climate ─► world (shelf, truth, weather) ◄─► hosts (link, lane, the real cache) ◄─► clients
//!                       └────────────► history ─► checker ─► violations
//! ```
//!
//! It is able to fail: every [`Protection`] of the protocol can be switched off, and then the
//! checker has to find the race that the protection closes. The switches are at the edges (what a
//! link does with an operation, what a host's clock counts), so the cache itself has none.

mod campaign;
mod chance;
pub(crate) mod checker;
mod churn;
mod client;
mod climate;
pub(crate) mod history;
mod host;
mod lane;
mod link;
mod nodes;
mod pauses;
mod protection;
mod register;
mod schedule;
mod shelf;
mod theme;
mod tokens;
mod told;
mod trouble;
pub(crate) mod truth;
mod weather;
mod wire;
pub(crate) mod world;

pub use campaign::{Campaign, Found, Tally, find};
pub use checker::Violation;
pub use churn::{Churn, Churned};
pub use climate::Climate;
pub use history::Entry;
pub use link::{calm_pair, calm_store};
pub use protection::Protection;
pub use schedule::{Outcome, Scene};
