//! What an error of the driver means.

use std::error::Error as StdError;
use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::origin::OriginError;
use crate::origin::attempt::{Condition, FailedAttempt};

/// `query_canceled`: the statement timeout (or an administrator).
const CANCELED: &str = "57014";

/// `transaction_timeout`: it ends the session, too.
const LATE: &str = "25P04";

/// `character_not_in_repertoire`, for an answer that is no UTF-8.
const UNDECODABLE: &str = "22021";

/// After these errors nothing is written, and the same statement may succeed now:
/// - `transaction_rollback` and, of its class, `serialization_failure` (which a standby says of a
///   read too), `statement_completion_unknown` and `deadlock_detected`;
/// - `lock_not_available`;
/// - `in_failed_sql_transaction`: an earlier statement failed, and this host was not told;
/// - `idle_in_transaction_session_timeout`: this host was held up, and the session has ended;
/// - `snapshot_too_old`.
const UNDONE: [&str; 8] = ["40000", "40001", "40003", "40P01", "55P03", "25P02", "25P03", "72000"];

/// Connection exceptions (those between a server and another one among them), insufficient
/// resources, and interventions of the operator: the server shuts down, starts, or drops the
/// database.
const UNAVAILABLE_CLASSES: [&str; 3] = ["08", "53", "57"];

/// `system_error` and `io_error`, and `fdw_unable_to_establish_connection`.
const UNAVAILABLE: [&str; 3] = ["58000", "58030", "HV00N"];

/// `configuration_limit_exceeded`, though it is in the class of resources: a statement that needs
/// more temporary files than its role may have fails each time.
const LIMITED: &str = "53400";

/// `protocol_violation`: unless it ends the connection, there are more or fewer values than the
/// statement has parameters.
const MISCOUNTED: &str = "08P01";

/// `read_only_sql_transaction`
const READ_ONLY: &str = "25006";

/// `feature_not_supported`: among others, a statement whose result has other columns than when it
/// was prepared.
const OUTDATED: &str = "0A000";

/// `invalid_sql_statement_name` and `duplicate_prepared_statement`: the server does not know a
/// statement that was prepared here, or knows one that was not. A pooler in between has given this
/// host another session.
const OF_NAMES: [&str; 2] = ["26000", "42P05"];

/// `undefined_column`, `ambiguous_column`, and `undefined_function`, which is the send function of
/// a type without a binary form.
const OF_COLUMNS: [&str; 3] = ["42703", "42702", "42883"];

/// Sorts an error by what the caller can do about it.
pub(super) fn classify(error: sqlx::Error, deadline: Duration) -> FailedAttempt {
    if let Some(error) = error.as_database_error().and_then(|e| e.try_downcast_ref()) {
        return of_database(error, deadline);
    }
    // Values and answers that could not be converted: the connection is not at fault, but may be in
    // the middle of the answer.
    if matches!(&error, sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_)) {
        return FailedAttempt::usable(undecodable(&error));
    }
    if matches!(&error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) {
        return FailedAttempt::dirty(undecodable(&error));
    }
    let error = OriginError::Unavailable(error.to_string());
    FailedAttempt { error, connection: Condition::Lost }
}

/// An answer or a value that can't be converted.
pub(super) fn undecodable(error: &(dyn StdError + 'static)) -> OriginError {
    OriginError::Rejected { code: UNDECODABLE.to_owned(), message: error.to_string() }
}

/// Whether the error is that an answer can't be converted.
pub(super) fn is_undecodable(error: &OriginError) -> bool {
    is_rejected(error, &[UNDECODABLE])
}

/// Whether it may be enough to prepare the statement anew.
pub(super) fn is_outdated(failure: &FailedAttempt) -> bool {
    is_rejected(&failure.error, &[OUTDATED])
}

/// Whether the server refuses to write.
pub(super) fn is_read_only(failure: &FailedAttempt) -> bool {
    is_rejected(&failure.error, &[READ_ONLY])
}

/// Whether a column that was asked for beside the statement's rows may be the reason.
pub(super) fn is_of_columns(error: &OriginError) -> bool {
    is_rejected(error, &OF_COLUMNS)
}

fn is_rejected(error: &OriginError, codes: &[&str]) -> bool {
    matches!(error, OriginError::Rejected { code, .. } if codes.contains(&code.as_str()))
}

fn of_database(error: &PgDatabaseError, deadline: Duration) -> FailedAttempt {
    let (code, message) = (error.code(), error.message().to_owned());
    let is_fatal = matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic);
    let connection = match code {
        _ if is_fatal => Condition::Lost,
        code if OF_NAMES.contains(&code) => Condition::Shared,
        _ => Condition::Usable,
    };
    let error = match Sort::of(code, is_fatal) {
        Sort::Late => OriginError::Timeout(deadline),
        Sort::Undone => OriginError::Undone { code: code.to_owned(), message },
        Sort::Unavailable => OriginError::Unavailable(format!("{message} ({code})")),
        Sort::Rejected => OriginError::Rejected { code: code.to_owned(), message },
    };
    FailedAttempt { error, connection }
}

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// Give it more time.
    Late,
    /// Try again.
    Undone,
    /// Wait for the database.
    Unavailable,
    /// Change what is asked.
    Rejected,
}

impl Sort {
    fn of(code: &str, is_fatal: bool) -> Self {
        let is_unavailable = UNAVAILABLE.contains(&code)
            || OF_NAMES.contains(&code)
            || UNAVAILABLE_CLASSES.iter().any(|class| code.starts_with(class));
        match code {
            CANCELED | LATE => Self::Late,
            code if UNDONE.contains(&code) => Self::Undone,
            // An error that ends the session is not the statement's own.
            _ if is_fatal => Self::Unavailable,
            MISCOUNTED | LIMITED => Self::Rejected,
            _ if is_unavailable => Self::Unavailable,
            _ => Self::Rejected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_says_what_its_caller_can_do() {
        let sorts = [
            (Sort::Late, "57014 25P04"),
            (Sort::Undone, "40000 40001 40003 40P01 55P03 25P02 25P03 72000"),
            (Sort::Unavailable, "08000 08001 08003 08004 08006 08007 53000 53100 53200 53300"),
            (
                Sort::Unavailable,
                "57000 57P01 57P02 57P03 57P04 57P05 58000 58030 HV00N 26000 42P05",
            ),
            (Sort::Rejected, "08P01 53400 40002 58P01 58P02 25000 25001 25006 25P01 55000 55006"),
            (
                Sort::Rejected,
                "XX000 XX001 XX002 HV000 F0000 54000 0A000 22012 23505 42P01 P0001 MYAPP",
            ),
        ];
        for (sort, code) in
            sorts.iter().flat_map(|(sort, codes)| codes.split(' ').map(move |code| (*sort, code)))
        {
            assert_eq!(Sort::of(code, false), sort, "{code}");
            let of_the_session = if sort == Sort::Rejected { Sort::Unavailable } else { sort };
            assert_eq!(
                Sort::of(code, true),
                of_the_session,
                "{code}, after which the session ends"
            );
        }
    }
}
