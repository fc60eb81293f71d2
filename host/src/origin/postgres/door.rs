//! Opening a connection: what a session is given at its beginning, and whether it keeps it.

use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Postgres, Row as _};

use super::address::Address;
use super::identity;
use super::lending::{Lending, of_session};
use crate::origin::pool::Identify;
use crate::origin::{OriginError, OriginIdentity};

/// A setting that no server has of its own. Each session gets another value, so one that does not have
/// its value is not the session that was begun.
const MARK: &str = "corral.session";

/// How a pooler refuses what a session is given at its beginning: `protocol_violation` (`PgBouncer`),
/// `feature_not_supported`, `undefined_object`, `invalid_parameter_value`.
const REFUSALS: [&str; 4] = ["08P01", "0A000", "42704", "22023"];

/// What leads to a database.
pub(in crate::origin) struct Door {
    lending: Arc<Lending>,
    /// For a session of one's own.
    own: PgConnectOptions,
    /// For one that a pooler lends, which is given nothing.
    lent: PgConnectOptions,
}

type Opened = (PgConnection, Option<OriginIdentity>);

impl Door {
    /// `settings` are those that the sessions have in common; a transaction of a lent session makes them
    /// itself, and is read-only or not by itself.
    pub(super) fn new(
        address: &Address,
        lending: &Arc<Lending>,
        deadline_ms: i32,
        is_read_only: bool,
    ) -> Self {
        let own = address.options().clone().options(address.settings().iter().cloned());
        let own = own.options(of_session(deadline_ms));
        let own = match is_read_only {
            true => own.options([("default_transaction_read_only", "on")]),
            false => own,
        };
        let lent = address.options().clone().extra_float_digits(None);
        Self { lending: Arc::clone(lending), own, lent }
    }

    /// A session of one's own. `None`: there are none here.
    async fn open_own(&self) -> Result<Option<Opened>, OriginError> {
        let value = format!("{:032x}", rand::random::<u128>());
        let options = self.own.clone().options([(MARK, &value)]);
        let mut connection = match options.connect().await {
            Ok(connection) => connection,
            Err(error) if is_refusal(&error) => return Ok(None),
            Err(error) => return Err(OriginError::Unavailable(error.to_string())),
        };
        let sql = format!("SELECT current_setting('{MARK}', true)");
        let kept: Option<String> = ask(&mut connection, sql)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| OriginError::Unavailable(error.to_string()))?;
        if kept.is_none_or(|kept| kept != value) {
            return Ok(None);
        }
        let identity = identity::of(&mut connection).await?;
        Ok(Some((connection, identity)))
    }

    async fn open_lent(&self) -> Result<Opened, OriginError> {
        let connected = self.lent.connect().await;
        let mut connection =
            connected.map_err(|error| OriginError::Unavailable(error.to_string()))?;
        let identity = identity::of(&mut connection).await?;
        self.lending.note();
        Ok((connection, identity))
    }
}

impl Identify for Postgres {
    type Door = Door;

    fn place(_door: &Door) -> Option<OriginIdentity> {
        None
    }

    async fn open(door: &Door) -> Result<Opened, OriginError> {
        if !door.lending.is_lent()
            && let Some(opened) = door.open_own().await?
        {
            return Ok(opened);
        }
        door.open_lent().await
    }
}

async fn ask(connection: &mut PgConnection, sql: String) -> Result<PgRow, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await
}

fn is_refusal(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| REFUSALS.contains(&&*code))
}
