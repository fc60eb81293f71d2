//! Whether a connection is an own session, which this host has for itself, or a lent one, which a
//! pooler lends it for one transaction at a time.
//!
//! An own session keeps the settings that it was given at its beginning, and the statements that
//! were prepared in it. Behind a pooler that lends by transaction (`PgBouncer`, most managed ones),
//! two transactions of one connection may reach two servers, and what one of them leaves behind
//! meets another client's transaction. So nothing is expected of a lent session: each transaction
//! makes its own settings, and statements have no names.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::origin::Pooler;

/// A setting of the session.
pub(super) type Setting = (String, String);

/// How values are spelled, whatever the role prefers.
const SPELLING: [(&str, &str); 5] = [
    ("DateStyle", "ISO, MDY"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "2"),
    ("IntervalStyle", "postgres"),
    ("bytea_output", "hex"),
];

/// The settings of `SPELLING` that the driver makes itself when it begins a session.
const OF_DRIVER: [&str; 3] = ["DateStyle", "TimeZone", "extra_float_digits"];

/// How often a lent connection is asked, with a read, which database it leads to. Every write asks.
pub(super) const ASKED_EVERY: Duration = Duration::from_secs(1);

/// What is known of the sessions, shared by all connections of an origin.
#[derive(Debug)]
pub(super) struct Lending {
    is_lent: AtomicBool,
    /// The SQL by which a transaction of a lent session makes its settings, with a semicolon before
    /// it.
    settings: String,
}

impl Lending {
    /// `own` are the settings of the origin's URL.
    pub(super) fn new(pooler: Pooler, own: &[Setting]) -> Self {
        let is_lent = match pooler {
            Pooler::Auto => false,
            Pooler::Transaction => true,
        };
        let own = own.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let set = |(name, value): (&str, &str)| {
            format!("set_config({}, {}, true)", literal(name), literal(value))
        };
        let calls: Vec<String> = own.chain(SPELLING).map(set).collect();
        let settings = format!("; SELECT {}", calls.join(", "));
        Self { is_lent: AtomicBool::new(is_lent), settings }
    }

    /// Whether a pooler lends the sessions.
    pub(super) fn is_lent(&self) -> bool {
        self.is_lent.load(Ordering::Acquire)
    }

    /// Notes that sessions are lent: from now on all are taken for lent ones.
    pub(super) fn note(&self) {
        if !self.is_lent.swap(true, Ordering::AcqRel) {
            tracing::info!(
                "a pooler in front of the database lends its sessions by transaction: statements have \
                 no names, and each transaction makes its own settings"
            );
        }
    }

    /// What follows `BEGIN` in each transaction, with a semicolon before it; empty for own
    /// sessions.
    pub(super) fn settings(&self) -> &str {
        if self.is_lent() { &self.settings } else { "" }
    }
}

/// The settings that an own session is given at its beginning, beside those of the driver.
pub(super) fn of_session(deadline_ms: i32) -> Vec<Setting> {
    let spelling = SPELLING.iter().filter(|(name, _)| !OF_DRIVER.contains(name));
    let spelling = spelling.map(|(name, value)| (name.to_string(), value.to_string()));
    let limit = ("statement_timeout".to_owned(), deadline_ms.to_string());
    std::iter::once(limit).chain(spelling).collect()
}

/// A question with a time limit, for sessions that have none from their beginning. It is sent as
/// one message and so is one transaction: the limit ends with it, also after an error.
pub(super) fn limited(question: &str, limit_ms: i32) -> String {
    format!("SET LOCAL statement_timeout = {limit_ms}; {question}")
}

/// A text in a statement. The form with `E` means the same under every setting.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_a_value_whatever_it_holds() {
        let own = [("search_path".to_owned(), "a', b\\".to_owned())];
        let lending = Lending::new(Pooler::Transaction, &own);
        let begins = r"; SELECT set_config(E'search_path', E'a\', b\\', true), ";
        assert!(lending.settings().starts_with(begins), "{}", lending.settings());
    }

    #[test]
    fn a_session_of_ones_own_is_told_nothing_until_it_is_known_to_be_lent() {
        let lending = Lending::new(Pooler::Auto, &[]);
        assert_eq!(lending.settings(), "");
        lending.note();
        assert_ne!(lending.settings(), "");
    }
}
