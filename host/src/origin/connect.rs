//! From a URL to an origin.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::Origin;
use super::postgres::PostgresOrigin;
#[cfg(feature = "sqlite")]
use super::sqlite::SqliteOrigin;

/// What is the same for every kind of origin.
#[derive(Debug, Clone)]
pub struct OriginOptions {
    /// Concurrent reads, each on a connection of its own; at least 1.
    pub max_loads: u32,
    /// Concurrent writes; at least 1. SQLite has one writer, whatever this says.
    pub max_writes: u32,
    /// The deadline that most reads have. A read with another deadline costs two more round trips.
    pub deadline: Duration,
    /// The pooler, if any, in front of a Postgres.
    pub pooler: Pooler,
    /// How the URL is read again when its password is refused; `None` if it can't be.
    pub again: Option<CurrentUrl>,
}

/// Reads the URL as it is configured now: its password may have been changed since the start.
#[derive(Clone)]
pub struct CurrentUrl(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl CurrentUrl {
    /// `url` reads the URL anew; it returns `None` if the URL can't be had.
    pub fn new(url: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(url))
    }

    /// The URL, which may hold a password.
    pub(super) fn url(&self) -> Option<String> {
        (self.0)()
    }
}

impl fmt::Debug for CurrentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CurrentUrl(…)")
    }
}

/// The pooler between this host and a Postgres.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pooler {
    /// The host finds out: it asks each new connection whether its session keeps its settings.
    #[default]
    Auto,
    /// A pooler that lends its sessions by transaction.
    Transaction,
}

impl Default for OriginOptions {
    fn default() -> Self {
        Self {
            max_loads: 32,
            max_writes: 8,
            deadline: Duration::from_secs(2),
            pooler: Pooler::Auto,
            again: None,
        }
    }
}

/// Why a URL names no origin. Never repeats the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The URL has no scheme.
    #[error("the origin's URL has no scheme: write postgres://user@host/database or sqlite:path")]
    NoScheme,
    /// The scheme is none that this host knows.
    #[error("`{0}` is no kind of origin: write postgres://user@host/database or sqlite:path")]
    UnknownScheme(String),
    /// This build leaves out SQLite.
    #[cfg(not(feature = "sqlite"))]
    #[error("this build of Corral has no SQLite; build it with the feature `sqlite`")]
    WithoutSqlite,
    /// Another part of the URL is wrong.
    #[error("the origin's {kind} URL is wrong: {reason}")]
    Invalid {
        /// `postgres` or `sqlite`.
        kind: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Makes an origin for `postgres://…` (`postgresql://…`) or `sqlite:…`. The origin connects only
/// when it is used, so a database that is down does not keep the host from starting.
///
/// # Errors
/// The URL is wrong.
pub fn connect(url: &str, options: &OriginOptions) -> Result<Arc<dyn Origin>, ConnectError> {
    match scheme(url).ok_or(ConnectError::NoScheme)?.to_ascii_lowercase().as_str() {
        "postgres" | "postgresql" => Ok(Arc::new(PostgresOrigin::connect(url, options)?)),
        #[cfg(feature = "sqlite")]
        "sqlite" => Ok(Arc::new(SqliteOrigin::connect(url, options)?)),
        #[cfg(not(feature = "sqlite"))]
        "sqlite" => Err(ConnectError::WithoutSqlite),
        other => Err(ConnectError::UnknownScheme(other.chars().take(20).collect())),
    }
}

/// Whether two URLs differ in the user and the password at most. These are read anew where the
/// database refuses them, so what is connected by one URL need not be made anew for the other.
pub fn is_same_origin(one: &str, other: &str) -> bool {
    let bare = |url: &str| {
        let mut url = Url::parse(url).ok()?;
        let is_of_the_place = |key: &str| !matches!(key, "user" | "password");
        let place: Vec<(String, String)> =
            url.query_pairs().into_owned().filter(|(key, _)| is_of_the_place(key)).collect();
        url.set_username("").and_then(|()| url.set_password(None)).ok()?;
        url.query_pairs_mut().clear().extend_pairs(place);
        Some(url)
    };
    // The user can't be taken out of a file's URL or of one without a host: those have to be equal.
    one == other || bare(one).is_some_and(|one| Some(one) == bare(other))
}

/// What `sqlx` says of a URL, without the prefix that its error has.
pub(in crate::origin) fn invalid(kind: &'static str, error: &sqlx::Error) -> ConnectError {
    let reason = match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    };
    ConnectError::Invalid { kind, reason }
}

/// What precedes the colon, if it can be a scheme (RFC 3986). In `user:secret@host` that is the
/// user; no more of such a URL is ever repeated.
fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once(':')?;
    let is_scheme_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let starts_well = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    (starts_well && scheme.bytes().all(is_scheme_byte)).then_some(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_the_same_whoever_asks_there_and_another_one_elsewhere() {
        let url = "postgres://app:first@db/shop?sslmode=require";
        for same in [
            url,
            "postgres://app:second@db/shop?sslmode=require",
            "postgres://other@db/shop?sslmode=require",
            "postgres://db/shop?sslmode=require&user=app&password=second",
        ] {
            assert!(is_same_origin(url, same), "{same}");
        }
        for other in [
            "postgres://app:first@db2/shop?sslmode=require",
            "postgres://app:first@db/other?sslmode=require",
            "postgres://app:first@db:6432/shop?sslmode=require",
            "postgres://app:first@db/shop",
            "sqlite:shop.db",
        ] {
            assert!(!is_same_origin(url, other), "{other}");
        }
        assert!(is_same_origin("sqlite:shop.db", "sqlite:shop.db"));
        assert!(!is_same_origin("sqlite:shop.db", "sqlite:other.db"));
    }
}
