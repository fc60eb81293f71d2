//! Configuration: plain structs, valid by construction. There is one way in, [`Config::parse`],
//! which reports every problem at once, each with its place.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::origin::{ParamType, ReadStatement, Rows, WriteStatement};

/// Everything that a host is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where reads and writes are served.
    pub listen: SocketAddr,
    /// How long requests in progress may take after SIGTERM.
    pub grace: Duration,
    /// The admin face.
    pub admin: Admin,
    /// Who may do what.
    pub access: Access,
    /// The shared cache.
    pub store: StoreConfig,
    /// The database.
    pub origin: OriginConfig,
    /// The policy.
    pub policy: PolicyConfig,
    /// Ad-hoc SQL.
    pub query: QueryConfig,
    /// Every entity, by name.
    pub entities: BTreeMap<String, Entity>,
}

/// The admin face.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Anything but loopback requires a token.
    pub listen: SocketAddr,
    /// The bearer token of the admin scope.
    pub token: Option<Secret>,
}

/// Bearer tokens by scope.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// `GET /read`, `POST /query`.
    pub read: Option<Secret>,
    /// `POST /write`, `POST /invalidate`.
    pub write: Option<Secret>,
    /// A network in front guards the write scope: it may be open beyond loopback.
    pub open: bool,
    /// Whether a client's `Cache-Control: no-cache` is obeyed.
    pub no_cache: bool,
}

/// A token. Its `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The shared cache.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// None: memory.
    pub url: Option<Secret>,
    /// Budget of one store call.
    pub timeout: Duration,
}

/// The database.
#[derive(Debug, Clone)]
pub struct OriginConfig {
    /// `postgres://…` or `sqlite:…`; none: no SQL, closures alone (as a library).
    pub url: Option<Secret>,
    /// Concurrent loads, and the size of the read pool.
    pub max_loads: usize,
    /// Concurrent writes, and the size of the write pool.
    pub max_writes: usize,
}

/// The policy.
#[derive(Debug, Clone)]
pub struct PolicyConfig {
    /// The component's file; none: the built-in one.
    pub component: Option<PathBuf>,
    /// Whether the file is watched.
    pub watch: bool,
    /// What the component is told, as it stands in `[policy.settings]`.
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// Ad-hoc SQL: a read-only transaction, hashed keys.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// Off unless enabled.
    pub enabled: bool,
    /// Fresh for so long unless the request says otherwise.
    pub ttl: Duration,
    /// The statement's time.
    pub deadline: Duration,
}

/// A named, parameterised read.
#[derive(Debug, Clone)]
pub struct Entity {
    /// `user.profile`
    pub name: String,
    /// Its parameters, in order.
    pub params: Vec<Param>,
    /// None: bound to a closure by the program that uses the library.
    pub read: Option<ReadStatement>,
    /// One object or an array.
    pub rows: Rows,
    /// Fresh for so long, before jitter.
    pub ttl: Duration,
    /// How long past that a stale value is answered while it is refreshed.
    pub stale_while_revalidate: Duration,
    /// How long past that a stale value is answered when the load fails.
    pub stale_if_error: Duration,
    /// How long a row that does not exist is remembered.
    pub negative_ttl: Duration,
    /// Templates: `user:{id}`, `team:{row.team_id}`.
    pub tags: Vec<String>,
    /// A flight, and a request, end by then.
    pub deadline: Duration,
    /// How long the near cache may answer; zero: never.
    pub near: Duration,
    /// Its writes, by name.
    pub writes: BTreeMap<String, Write>,
}

/// A parameter's declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: ParamType,
}

/// A named write.
#[derive(Debug, Clone)]
pub struct Write {
    /// `rename`
    pub name: String,
    /// Its parameters, in order.
    pub params: Vec<Param>,
    /// What it runs.
    pub statement: WriteStatement,
    /// What happens to the touched keys.
    pub then: Then,
    /// Templates: `user.profile(id)`, `tag user:{id}`.
    pub touches: Vec<String>,
}

/// What a write does with the keys it touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Removes them.
    Invalidate,
    /// Loads and fills them at once.
    WriteThrough,
}
