//! What an error of the driver means.

use std::error::Error as StdError;
use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::origin::OriginError;
use crate::origin::attempt::{Condition, Failure};

/// `query_canceled`: the statement timeout (or an administrator).
const CANCELED: &str = "57014";

/// `character_not_in_repertoire`, for an answer that is no UTF-8.
const UNDECODABLE: &str = "22021";

/// `serialization_failure`, which a standby says of a read too, and `deadlock_detected`.
const UNDONE: [&str; 2] = ["40001", "40P01"];

/// `protocol_violation`: other than as an end of the connection, more or fewer values than the statement
/// has parameters.
const MISCOUNTED: &str = "08P01";

/// `read_only_sql_transaction`
const READ_ONLY: &str = "25006";

/// `feature_not_supported`: among others, a statement whose result has other columns than when it
/// was prepared.
const OUTDATED: &str = "0A000";

/// `invalid_sql_statement_name` and `duplicate_prepared_statement`: the server does not know a statement
/// that was prepared here, or knows one that was not. A pooler between us and the server has given us
/// another session.
const OF_NAMES: [&str; 2] = ["26000", "42P05"];

/// `undefined_column`, `ambiguous_column`, and `undefined_function`: that of a type without a binary
/// form.
const OF_COLUMNS: [&str; 3] = ["42703", "42702", "42883"];

/// Sorts an error by what the caller can do about it.
pub(super) fn classify(error: sqlx::Error, deadline: Duration) -> Failure {
    if let Some(error) = error.as_database_error().and_then(|e| e.try_downcast_ref()) {
        return of_database(error, deadline);
    }
    // Values and answers that could not be converted: the connection has no part in it, but may
    // be in the middle of the answer.
    if matches!(&error, sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_)) {
        return Failure::usable(undecodable(&error));
    }
    if matches!(&error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) {
        return Failure::dirty(undecodable(&error));
    }
    let error = OriginError::Unavailable(error.to_string());
    Failure { error, connection: Condition::Lost }
}

/// An answer or a value that can't be converted.
pub(super) fn undecodable(error: &(dyn StdError + 'static)) -> OriginError {
    OriginError::Rejected { code: UNDECODABLE.to_owned(), message: error.to_string() }
}

/// Whether an answer was none that can be converted.
pub(super) fn is_undecodable(error: &OriginError) -> bool {
    is_rejected(error, &[UNDECODABLE])
}

/// Whether the statement may only have to be prepared anew.
pub(super) fn is_outdated(failure: &Failure) -> bool {
    is_rejected(&failure.error, &[OUTDATED])
}

/// Whether the server does not write.
pub(super) fn is_read_only(failure: &Failure) -> bool {
    is_rejected(&failure.error, &[READ_ONLY])
}

/// Whether a column that was asked for beside the statement's rows may be the reason.
pub(super) fn is_of_columns(error: &OriginError) -> bool {
    is_rejected(error, &OF_COLUMNS)
}

fn is_rejected(error: &OriginError, codes: &[&str]) -> bool {
    matches!(error, OriginError::Rejected { code, .. } if codes.contains(&code.as_str()))
}

fn of_database(error: &PgDatabaseError, deadline: Duration) -> Failure {
    let (code, message) = (error.code(), error.message().to_owned());
    let is_fatal = matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic);
    let connection = match code {
        _ if is_fatal => Condition::Lost,
        code if OF_NAMES.contains(&code) => Condition::Shared,
        _ => Condition::Usable,
    };
    let error = if code == CANCELED {
        OriginError::Timeout(deadline)
    } else if UNDONE.contains(&code) {
        OriginError::Undone { code: code.to_owned(), message }
    } else if is_unavailable(code) && (is_fatal || code != MISCOUNTED) {
        OriginError::Unavailable(format!("{message} ({code})"))
    } else {
        OriginError::Rejected { code: code.to_owned(), message }
    };
    Failure { error, connection }
}

/// Connection exceptions, insufficient resources (too many connections, disk full), and the server
/// shutting down, starting or dropping the database.
fn is_unavailable(code: &str) -> bool {
    let is_class = |class: &str| code.starts_with(class);
    is_class("08") || is_class("53") || is_class("57P") || OF_NAMES.contains(&code)
}
