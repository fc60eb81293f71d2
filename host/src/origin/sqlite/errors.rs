//! What an error of the driver means.

use std::error::Error as StdError;
use std::time::Duration;

use crate::origin::OriginError;
use crate::origin::attempt::{Condition, FailedAttempt};

// SQLite's primary result codes: <https://sqlite.org/rescode.html>.
const ERROR: i32 = 1;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const INTERRUPT: i32 = 9;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const NOTADB: i32 = 26;

/// Whether a commit that failed like this has written nothing and left its transaction open: a lock
/// was not to be had, or a deferred constraint is violated. Anything else may have happened in the
/// middle of writing.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let code = error.code().and_then(|code| code.parse::<i32>().ok());
    code.is_some_and(|code| [BUSY, LOCKED, CONSTRAINT].contains(&(code & 0xff)))
}

/// Sorts an error by what the caller can do about it. A lock that another process holds is not the
/// statement's fault: the origin is unavailable.
pub(super) fn classify(error: &sqlx::Error, deadline: Duration) -> FailedAttempt {
    let Some(error) = error.as_database_error() else {
        let error = OriginError::Unavailable(error.to_string());
        return FailedAttempt { error, connection: Condition::Dirty };
    };
    let extended = error.code().map(|code| code.into_owned()).unwrap_or_default();
    // The low byte of an extended code is its primary code.
    let primary = extended.parse::<i32>().map_or(ERROR, |code| code & 0xff);
    let message = error.message().to_owned();
    FailedAttempt::usable(match primary {
        INTERRUPT => OriginError::Timeout(deadline),
        BUSY | LOCKED | IOERR | CORRUPT | FULL | CANTOPEN | NOTADB => {
            OriginError::Unavailable(format!("{message} ({extended})"))
        }
        _ => OriginError::Rejected { code: extended, message },
    })
}

/// A statement that is refused before SQLite sees it.
pub(super) fn refused(message: impl Into<String>) -> FailedAttempt {
    let (code, message) = (ERROR.to_string(), message.into());
    FailedAttempt::usable(OriginError::Rejected { code, message })
}

/// A value that can't be converted.
pub(super) fn unreadable(error: &(dyn StdError + 'static)) -> FailedAttempt {
    let (code, message) = (MISMATCH.to_string(), error.to_string());
    FailedAttempt::dirty(OriginError::Rejected { code, message })
}
