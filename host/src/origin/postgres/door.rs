//! Opens connections. An own session (see `lending`) is given its settings at its beginning, and
//! asked whether it keeps them. When a password is refused, the address is read anew where it is
//! configured.

use std::sync::{Arc, PoisonError, RwLock};

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Postgres, Row as _};

use super::address::Address;
use super::identity;
use super::lending::{Lending, Setting, limited, of_session};
use crate::origin::identity::ServerIdentity;
use crate::origin::pool::Identify;
use crate::origin::{CurrentUrl, OriginError, OriginIdentity};

/// A setting that no server has of its own. Each session is given another value, so a session with
/// another value is not the one that was begun.
const MARK: &str = "corral.session";

/// The codes by which a pooler refuses the settings of a session's beginning: `protocol_violation`
/// (`PgBouncer`), `feature_not_supported`, `undefined_object`, `invalid_parameter_value`.
const REFUSALS: [&str; 4] = ["08P01", "0A000", "42704", "22023"];

/// The codes by which a server refuses a user or a password: `invalid_authorization_specification`,
/// `invalid_password`, and `protocol_violation` from `PgBouncer` up to version 1.18.
const UNKNOWN: [&str; 3] = ["28000", "28P01", "08P01"];

/// What a connection to a database is opened with.
pub(in crate::origin) struct Door {
    lending: Arc<Lending>,
    again: Option<CurrentUrl>,
    /// The settings that an own session is given at its beginning.
    settings: Vec<Setting>,
    /// How long a lent session may take to answer the question at its beginning.
    limit_ms: i32,
    address: RwLock<Address>,
}

type Opened = (PgConnection, ServerIdentity);

/// Why a connection could not be opened.
struct Shut {
    error: OriginError,
    /// Whether the server may have refused the user or the password.
    is_unknown: bool,
}

impl Door {
    /// The settings, `is_read_only` among them, are for own sessions. In a lent session each
    /// transaction makes its own settings, and is read-only or not by its own beginning.
    pub(super) fn new(
        address: &Address,
        lending: &Arc<Lending>,
        again: Option<&CurrentUrl>,
        deadline_ms: i32,
        is_read_only: bool,
    ) -> Self {
        let mut settings = of_session(deadline_ms);
        if is_read_only {
            settings.push(("default_transaction_read_only".to_owned(), "on".to_owned()));
        }
        let (lending, again) = (Arc::clone(lending), again.cloned());
        let address = RwLock::new(address.clone());
        Self { lending, again, settings, limit_ms: deadline_ms, address }
    }

    fn address(&self) -> Address {
        self.address.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the address anew. True if it leads to the same place with another user or password;
    /// then the new address is used. Any other change of the address needs a restart.
    fn renew(&self) -> bool {
        let Some(url) = self.again.as_ref().and_then(CurrentUrl::url) else { return false };
        let Ok(renewed) = Address::parse(&url) else { return false };
        let mut address = self.address.write().unwrap_or_else(PoisonError::into_inner);
        let differs = renewed.leads_where(&address) && !renewed.is_asked_as(&address);
        if differs {
            *address = renewed;
        }
        differs
    }

    async fn open(&self) -> Result<Opened, Shut> {
        let address = self.address();
        if !self.lending.is_lent()
            && let Some(opened) = self.open_own(&address).await?
        {
            return Ok(opened);
        }
        self.open_lent(&address).await
    }

    /// Opens an own session. `None` if the sessions here are lent.
    async fn open_own(&self, address: &Address) -> Result<Option<Opened>, Shut> {
        let value = format!("{:032x}", rand::random::<u128>());
        let options = address.options().clone().options(address.settings().iter().cloned());
        let options = options.options(self.settings.iter().cloned()).options([(MARK, &value)]);
        let mut connection = match options.connect().await {
            Ok(connection) => connection,
            Err(error) if has_code(&error, &REFUSALS) => return Ok(None),
            Err(error) => return Err(Shut::from(&error)),
        };
        let sql = format!("SELECT current_setting('{MARK}', true)");
        let row = ask(&mut connection, sql).await;
        let kept = row.and_then(|row| row.try_get::<Option<String>, _>(0));
        if kept.map_err(|error| Shut::from(&error))? != Some(value) {
            return Ok(None);
        }
        let server = identity::of(&mut connection, identity::question()).await?;
        Ok(Some((connection, server)))
    }

    async fn open_lent(&self, address: &Address) -> Result<Opened, Shut> {
        let connected = address.options().clone().extra_float_digits(None).connect().await;
        let mut connection = connected.map_err(|error| Shut::from(&error))?;
        let question = limited(&identity::question(), self.limit_ms);
        let server = identity::of(&mut connection, question).await?;
        self.lending.note();
        Ok((connection, server))
    }
}

impl Identify for Postgres {
    type Door = Door;

    fn place(_door: &Door) -> Option<OriginIdentity> {
        None
    }

    async fn open(door: &Door) -> Result<Opened, OriginError> {
        match door.open().await {
            Err(Shut { is_unknown: true, .. }) if door.renew() => door.open().await,
            done => done,
        }
        .map_err(|shut| shut.error)
    }
}

impl From<&sqlx::Error> for Shut {
    fn from(error: &sqlx::Error) -> Self {
        let is_unknown = has_code(error, &UNKNOWN);
        Self { error: OriginError::Unavailable(error.to_string()), is_unknown }
    }
}

impl From<OriginError> for Shut {
    fn from(error: OriginError) -> Self {
        Self { error, is_unknown: false }
    }
}

async fn ask(connection: &mut PgConnection, sql: String) -> Result<PgRow, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await
}

fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| codes.contains(&&*code))
}
