//! Which database a connection leads to, and which transaction a write is.

use std::num::ParseIntError;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::errors::{classify, undecodable};
use crate::origin::attempt::{CallTime, FailedAttempt};
use crate::origin::identity::ServerIdentity;
use crate::origin::{OriginError, OriginIdentity, ServerLife, Xid};

/// What identifies a database: the system identifier, the database's number and name, and the
/// timeline; each as text.
///
/// A primary's current log file has a name that begins with the timeline. A standby writes no log
/// and refuses the question; it knows the timeline of its last restart point, and the one that it
/// must reach before it is consistent.
const COLUMNS: &str = "\
    (SELECT system_identifier FROM pg_control_system())::text, d.oid::text, d.datname::text, \
    CASE WHEN pg_is_in_recovery() THEN (\
        SELECT greatest(c.timeline_id, r.min_recovery_end_timeline)::int8 \
        FROM pg_control_checkpoint() AS c, pg_control_recovery() AS r\
    ) ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int8 END::text";

/// Where these columns come from.
const SOURCE: &str = "FROM pg_database AS d WHERE d.datname = current_database()";

/// The life of the server: when it started, and when its statistics were last reset, since a crash
/// that the postmaster survives resets them. Null before Postgres 15, where asking for the
/// statistics costs milliseconds.
pub(super) const LIFE: &str = "\
    CASE WHEN current_setting('server_version_num')::int4 >= 150000 THEN \
        extract(epoch FROM pg_postmaster_start_time())::text || ' ' || \
        extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time())::text \
    END";

/// The first version that tells a transaction's id, and whether a snapshot sees it.
const NEEDED_VERSION: u32 = 130_000;

/// Asks a connection where it leads, by [`question`].
pub(super) async fn of(
    connection: &mut PgConnection,
    question: String,
) -> Result<ServerIdentity, OriginError> {
    match sqlx::raw_sql(AssertSqlSafe(question)).fetch_one(connection).await {
        Ok(row) => {
            let in_recovery: String = row.try_get(5).map_err(|e| undecodable(&e))?;
            Ok(ServerIdentity {
                identity: Some(identity(&row, 0)?),
                is_standby: in_recovery == "true",
            })
        }
        // The role may not ask, or a server that only resembles Postgres has no such functions. The
        // connection serves all the same, and `check` says what is missing.
        Err(error) if is_refusal(&error) => Ok(ServerIdentity::default()),
        Err(error) => Err(OriginError::Unavailable(error.to_string())),
    }
}

/// The statement that asks which database this is, for [`identity`].
pub(super) fn question() -> String {
    format!("SELECT {COLUMNS}, {LIFE}, pg_is_in_recovery()::text {SOURCE}")
}

/// Reads [`LIFE`] from a row.
pub(super) fn life(row: &PgRow, column: usize) -> Result<Option<ServerLife>, OriginError> {
    let said: Option<String> = row.try_get(column).map_err(|e| undecodable(&e))?;
    Ok(said.as_deref().map(ServerLife::of))
}

/// Reads the identity from a row, from the column `first` on.
pub(super) fn identity(row: &PgRow, first: usize) -> Result<OriginIdentity, OriginError> {
    let text = |column: usize| -> Result<String, OriginError> {
        row.try_get(first + column).map_err(|e| undecodable(&e))
    };
    let (system, number, name) = (text(0)?, text(1)?, text(2)?);
    let timeline = text(3)?.parse().map_err(|e: ParseIntError| undecodable(&e))?;
    let parts = [system.as_bytes(), number.as_bytes(), name.as_bytes()];
    Ok(OriginIdentity::new("postgres", &parts, timeline))
}

/// Asks an open transaction for its id, which it has once it has written something, and for the
/// database. `may_identify` says that the connection named its database at its beginning. If it did
/// not, the question would fail and end the transaction.
pub(super) async fn transaction(
    connection: &mut PgConnection,
    may_identify: bool,
    patience: CallTime,
) -> Result<(Option<Xid>, Option<OriginIdentity>), FailedAttempt> {
    if let Some(version) = connection.server_version_num().filter(|v| *v < NEEDED_VERSION) {
        let message = format!("writes need Postgres 13, and this is {}", version / 10_000);
        return Err(FailedAttempt::usable(OriginError::Rejected {
            code: "0A000".to_owned(),
            message,
        }));
    }
    let (of_life, columns, source) =
        if may_identify { (LIFE, COLUMNS, SOURCE) } else { ("NULL", "NULL", "") };
    let sql =
        format!("SELECT pg_current_xact_id_if_assigned()::text, {of_life}, {columns} {source}");
    let asked = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await;
    let row = asked.map_err(|e| classify(e, patience.deadline()))?;
    let id: Option<String> = row.try_get(0).map_err(|e| FailedAttempt::dirty(undecodable(&e)))?;
    let number = id.map(|id| id.parse()).transpose();
    let number = number.map_err(|e: ParseIntError| FailedAttempt::dirty(undecodable(&e)))?;
    let life = life(&row, 1).map_err(FailedAttempt::dirty)?;
    let identity = may_identify.then(|| identity(&row, 2)).transpose();
    Ok((number.map(|number| Xid { number, life }), identity.map_err(FailedAttempt::dirty)?))
}

/// Whether the server has understood the question and refuses to answer.
fn is_refusal(error: &sqlx::Error) -> bool {
    let refusals = ["42501", "42883", "42P01", "42703", "0A000", "55000"];
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| refusals.contains(&&*code))
}
