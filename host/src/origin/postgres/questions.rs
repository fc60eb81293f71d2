//! What is asked of the primary beside reads and writes. Questions have connections of their own:
//! one that decides whether a write has ended must not wait behind the writes that hang.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Postgres, Row};
use tokio::time::Instant;

use super::errors::{classify, undecodable};
use super::lending::limited;
use super::{PostgresOrigin, identity, millis};
use crate::origin::attempt::CallTime;
use crate::origin::pool::PooledConnection;
use crate::origin::{OriginError, OriginIdentity, Xid};

/// `invalid_parameter_value`, which `pg_xact_status` says of an id that was never given out.
const IN_THE_FUTURE: &str = "22023";

/// `insufficient_privilege`
const FORBIDDEN: &str = "42501";

impl PostgresOrigin {
    /// Whether every snapshot from now on shows what became of a transaction.
    ///
    /// `pg_xact_status` says *committed* a moment before other transactions can see it, so the
    /// snapshot decides. But to a snapshot every id is invisible that is newer than the newest
    /// ended transaction, also one that was never given out: a server that crashed, or was
    /// promoted, may have lost the id. So the status of an invisible id decides whether it is lost
    /// or rolled back.
    pub(super) async fn xact_has_ended(&self, xid: Xid) -> Result<bool, OriginError> {
        let sql = format!(
            "SELECT pg_is_in_recovery()::text, \
             pg_visible_in_snapshot('{xid}'::xid8, pg_current_snapshot())::text"
        );
        let (row, lease, _) = self.ask(sql).await?;
        lease.give_back();
        if text(&row, 0)?.as_deref() != Some("false") {
            let message =
                "it is a standby, and only the primary can say whether a transaction has ended"
                    .to_owned();
            return Err(OriginError::Unavailable(message));
        }
        if text(&row, 1)?.as_deref() == Some("true") {
            return Ok(true);
        }
        match self.ask(format!("SELECT pg_xact_status('{xid}'::xid8)::text")).await {
            Ok((row, lease, _)) => {
                lease.give_back();
                Ok(matches!(text(&row, 0)?.as_deref(), None | Some("aborted")))
            }
            Err(OriginError::Rejected { code, .. }) if code == IN_THE_FUTURE => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether a transaction that has ended committed. `None` if the server has forgotten it, or if
    /// a crash may have lost its id, which another transaction then has.
    pub(super) async fn xact_has_committed(&self, xid: Xid) -> Result<Option<bool>, OriginError> {
        if xid.life.is_none() {
            return Ok(None);
        }
        let sql = format!("SELECT pg_xact_status('{xid}'::xid8)::text, {}", identity::LIFE);
        match self.ask(sql).await {
            Ok((row, lease, _)) => {
                lease.give_back();
                if identity::life(&row, 1)? != xid.life {
                    return Ok(None);
                }
                Ok(match text(&row, 0)?.as_deref() {
                    Some("committed") => Some(true),
                    Some("aborted") => Some(false),
                    Some(_) | None => None,
                })
            }
            Err(OriginError::Rejected { code, .. }) if code == IN_THE_FUTURE => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Which database this is, asked now.
    pub(super) async fn ask_identity(&self) -> Result<OriginIdentity, OriginError> {
        let asked = self.ask(identity::question()).await;
        let (row, mut lease, asked) = asked.map_err(|error| match error {
            OriginError::Rejected { code, message } if code == FORBIDDEN => {
                let message = format!("{message}: grant EXECUTE on it to this role");
                OriginError::Rejected { code, message }
            }
            error @ (OriginError::Unavailable(_)
            | OriginError::Timeout(_)
            | OriginError::Rejected { .. }
            | OriginError::Undone { .. }
            | OriginError::TooLarge) => error,
        })?;
        let identity = identity::identity(&row, 0)?;
        lease.hear(Some(identity), asked);
        lease.give_back();
        Ok(identity)
    }

    /// Asks a question that one row answers. Returns the connection too, and when it was asked.
    async fn ask(
        &self,
        sql: String,
    ) -> Result<(PgRow, PooledConnection<Postgres>, Instant), OriginError> {
        let patience = CallTime::new(self.session_deadline);
        loop {
            let mut lease = self.questions.lease(patience.left()).await?;
            let asked = Instant::now();
            // An own session has a limit from its beginning.
            let question = match self.lending.is_lent() {
                true => limited(&sql, millis(patience.left())),
                false => sql.clone(),
            };
            let row = sqlx::raw_sql(AssertSqlSafe(question)).fetch_one(lease.connection());
            let work = async { row.await.map_err(|e| classify(e, patience.deadline())) };
            match patience.guard(work).await {
                Ok(row) => return Ok((row, lease, asked)),
                Err(failure) => {
                    if !failure.settle(lease) {
                        return Err(failure.error);
                    }
                }
            }
        }
    }
}

fn text(row: &PgRow, column: usize) -> Result<Option<String>, OriginError> {
    row.try_get(column).map_err(|e| undecodable(&e))
}
