//! The transaction that a read runs in, so that it ends in time and leaves nothing behind.
//!
//! Going back to a savepoint takes back every setting that was made since, whether for the
//! transaction or for the session, and works after an error too. The transaction itself commits: a
//! server counts its rollbacks, and people watch that count. All of it is one transaction, so that a
//! pooler which lends its connections by transaction sees nothing of it.
//!
//! Nothing that SQL has takes these back:
//! - locks of the session, which are given up by a call;
//! - a setting of one's own (`app.tenant`) stays known, as an empty text where it was null, and
//!   random numbers stay seeded: a statement whose text names a function that does so costs its
//!   connection;
//! - what a function keeps that is written in a language of its own, or that hides such a call.

use std::time::Duration;

use super::millis;

/// What ends it, also after an error.
pub(super) const END: &str =
    "ROLLBACK TO SAVEPOINT _corral; SELECT pg_advisory_unlock_all(); COMMIT";

/// What goes back to its beginning, also after an error.
pub(super) const UNDO: &str = "ROLLBACK TO SAVEPOINT _corral";

/// Functions whose effect on a session can't be taken back.
const LASTING: [&str; 2] = ["set_config", "setseed"];

/// What precedes the statement, which may take so long. A statement of its own snapshot sees tables
/// that were rewritten while it waited for them; one of an older snapshot sees them empty.
/// `settings` are those of a lent session, and so come before what is taken back.
pub(super) fn begin(limit: Duration, settings: &str) -> String {
    let limit = millis(limit);
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL statement_timeout = {limit}\
         {settings}; SAVEPOINT _corral"
    )
}

/// Whether the session is another one after the statement, whatever is taken back.
pub(super) fn is_lasting(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    LASTING.iter().any(|function| sql.contains(function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_names_a_lasting_function_is_known_however_it_is_spelled() {
        assert!(is_lasting("SELECT Pg_Catalog.SET_CONFIG ('a.b', '', true)"));
        assert!(is_lasting("SELECT setseed(0)"));
        assert!(!is_lasting("SELECT current_setting('a.b', true)"));
    }
}
