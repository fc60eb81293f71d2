//! The frame: the transaction that a read runs in, so that the read ends in time and leaves nothing
//! behind in its session.
//!
//! Rolling back to a savepoint undoes every setting that was made since, whether for the
//! transaction or for the session, and works after an error too. The transaction itself commits,
//! because a server counts its rollbacks, and operators watch that count. The frame is one
//! transaction, so that it stays in one session behind a pooler that lends sessions by transaction.
//!
//! SQL has no way to undo these:
//! - locks of the session, which the frame releases by a call;
//! - a setting that an application defines (`app.tenant`), which stays known, as an empty text
//!   where it was null, and the seed of random numbers: after a statement whose text names a
//!   function that sets them, the connection is closed;
//! - what is kept by a function in another language than SQL, or by one that hides such a call.

use std::time::Duration;

use super::millis;

/// Ends the frame, also after an error.
pub(super) const END: &str =
    "ROLLBACK TO SAVEPOINT _corral; SELECT pg_advisory_unlock_all(); COMMIT";

/// Goes back to the beginning of the frame, also after an error.
pub(super) const UNDO: &str = "ROLLBACK TO SAVEPOINT _corral";

/// Functions whose effect on a session can't be undone.
const LASTING: [&str; 2] = ["set_config", "setseed"];

/// Begins the frame of a statement that may take `limit`. Under READ COMMITTED the statement has a
/// snapshot of its own, and sees tables that were rewritten while it waited for them; with an older
/// snapshot it would see them empty. `settings` are those of a lent session. They come before the
/// savepoint, so that they are not undone.
pub(super) fn begin(limit: Duration, settings: &str) -> String {
    let limit = millis(limit);
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL statement_timeout = {limit}\
         {settings}; SAVEPOINT _corral"
    )
}

/// Whether the statement's text names a function whose effect on the session can't be undone.
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
