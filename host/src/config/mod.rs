//! Configuration: plain structs, valid by construction. There is one way in, [`Config::parse`],
//! which reports every problem at once, each with its place.

mod declared;
mod document;
mod entity;
mod environment;
mod fixed;
mod http;
mod locate;
mod problem;
mod section;
mod settings;
mod syntax;
pub(crate) mod template;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use crate::name::Prefix;
use crate::origin::{ParamType, Pooler, ReadStatement, Rows, WriteStatement};
use crate::policy::Limits;
use document::Document;
pub(crate) use document::suggestion;
pub use environment::Environment;
pub use locate::locate;
pub use problem::{ConfigErrors, Location, ProblemAt};
use section::Section;
use syntax::SyntaxError;
pub use template::{TagTemplate, TouchText};
pub(crate) use values::duration_text;

/// Everything that a host is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file that it was read from; `None` if it was not read from a file.
    pub file: Option<PathBuf>,
    /// Where reads and writes are served.
    pub listen: SocketAddr,
    /// How long the host serves on after SIGTERM, so that balancers learn that it is not ready any
    /// more.
    pub drain: Duration,
    /// How long requests in progress may take once no new request is served.
    pub grace: Duration,
    /// Threads that serve: as many as there are cores, unless the configuration says otherwise.
    pub threads: usize,
    /// Connections and answers of both faces.
    pub http: HttpConfig,
    /// The admin face.
    pub admin: AdminConfig,
    /// What applications may do: tokens by scope.
    pub access: Access,
    /// The shared cache.
    pub store: StoreConfig,
    /// The cache in front of the store.
    pub near: NearConfig,
    /// The database.
    pub origin: OriginConfig,
    /// The policy.
    pub policy: PolicyConfig,
    /// Ad-hoc SQL.
    pub query: QueryConfig,
    /// Every entity, by name.
    pub entities: BTreeMap<String, EntityConfig>,
}

impl Config {
    /// Reads a file; the environment of this process takes precedence.
    ///
    /// # Errors
    /// Every problem that [`Config::parse`] finds, or that the file can't be read.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let config = Self::parse(&text, &file, &Environment::of_process())?;
                Ok(Self { file: Some(path.to_owned()), ..config })
            }
            Err(error) => Err(ConfigErrors::new(vec![ProblemAt {
                message: format!("can't be read: {error}"),
                path: String::new(),
                place: Location::File(file),
            }])),
        }
    }

    /// Reads a text. `file` names it in problems, and relative paths are relative to its folder.
    ///
    /// # Errors
    /// Every problem at once. If the text is not TOML, only the problems of its syntax: what the
    /// rest means would be a guess.
    pub fn parse(text: &str, file: &str, environment: &Environment) -> Result<Self, ConfigErrors> {
        let document = Document::new(text, file, environment);
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            let config = Self::read(&document, table.get_ref());
            let problems = document.into_problems();
            return if problems.is_empty() { Ok(config) } else { Err(ConfigErrors::new(problems)) };
        }
        let errors = errors.iter().map(|error| SyntaxError {
            message: error.message(),
            span: error.span().unwrap_or_default(),
        });
        Err(ConfigErrors::new(syntax::problems(&document, errors)))
    }

    /// What the document says; meaningless if a problem was reported.
    fn read<'a>(document: &'a Document<'a>, table: &'a DeTable<'a>) -> Self {
        let mut root = Section::root(document, table);
        let (listen, drain, grace, threads) = fixed::top(&mut root);
        let http = http::http(&mut root);
        let (admin, access) = fixed::faces(&mut root, listen);
        let store = fixed::store(&mut root);
        let near = fixed::near(&mut root);
        let policy = fixed::policy(&mut root, Path::new(document.file()).parent());
        let query = fixed::query(&mut root, listen, &access);
        let entities = entity::entities(&mut root);
        let needs_origin = match entities.first_with_sql {
            Some(name) => Some(format!("entity {name:?}")),
            None => query.enabled.then(|| "query.enabled".to_owned()),
        };
        let origin = fixed::origin(&mut root, needs_origin.as_deref());
        root.finish();
        let entities = entities.by_name;
        Self {
            file: None,
            listen,
            drain,
            grace,
            threads,
            http,
            admin,
            access,
            store,
            near,
            origin,
            policy,
            query,
            entities,
        }
    }
}

/// What both HTTP faces do with connections and answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// How long a connection may be without a request.
    pub idle: Duration,
    /// Connections that are served at once, unless the process may open fewer files.
    pub max_connections: usize,
    /// Names of this host by which requests may call a scope without a token, beside addresses,
    /// `localhost` and names without a dot; in lower case.
    pub hosts: Vec<String>,
    /// What answers tell the caches in front: the header `Cache-Control`.
    pub cache_control: String,
}

/// The admin face.
#[derive(Debug, Clone, PartialEq)]
pub struct AdminConfig {
    /// Anything but loopback requires a token.
    pub listen: SocketAddr,
    /// The bearer token of the admin scope.
    pub token: Option<Secret>,
}

/// Bearer tokens by scope.
#[derive(Debug, Clone, Default, PartialEq)]
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

/// A token, or a URL that may hold a password. Its `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The shared cache.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreConfig {
    /// `None` means the memory of this process.
    pub url: Option<Secret>,
    /// How long the store may be silent in one call.
    pub timeout: Duration,
    /// What stands before every name and channel.
    pub prefix: Prefix,
}

/// The cache in front of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearConfig {
    /// How much memory all its entries together may take; 0 if there is no near cache.
    pub bytes: u64,
}

/// The database.
#[derive(Debug, Clone, PartialEq)]
pub struct OriginConfig {
    /// `postgres://…` or `sqlite:…`; `None` if there is no SQL, only closures (as a library).
    pub url: Option<Secret>,
    /// Concurrent loads, and the size of the read pool.
    pub max_loads: usize,
    /// Concurrent writes, and the size of the write pool.
    pub max_writes: usize,
    /// The pooler, if any, in front of a Postgres.
    pub pooler: Pooler,
}

/// The policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyConfig {
    /// The component's file; `None` for the built-in policy.
    pub component: Option<PathBuf>,
    /// The folder for compiled policies that have no watched file beside which to keep them, so
    /// that a host that is started again need not compile; `None` if they are not kept.
    pub cache: Option<PathBuf>,
    /// Whether the file is watched, and the settings in the configuration's own file.
    pub watch: bool,
    /// How long after coming into force a policy is rolled back for a handful of failures; if zero,
    /// only their rate counts.
    pub probation: Duration,
    /// Whether a watched file may bring a policy, or settings, that give reads other keys.
    pub allow_rename: bool,
    /// What the component is told, as it stands in `[policy.settings]`.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// What the component may use.
    pub limits: Limits,
}

/// Ad-hoc SQL: a read-only transaction, hashed keys, and connections and limits of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryConfig {
    /// Off unless enabled.
    pub enabled: bool,
    /// The database of `origin.url` under another role; `None` for the role of `origin.url`.
    pub url: Option<Secret>,
    /// Concurrent queries, and the size of their own pool: they take no connection from entities.
    pub max_loads: usize,
    /// How long an answer is fresh, unless the request says otherwise.
    pub ttl: Duration,
    /// The longest lifetime that a request may ask for.
    pub max_ttl: Duration,
    /// The largest answer, in bytes.
    pub max_bytes: u64,
    /// The statement's time.
    pub deadline: Duration,
}

/// A named, parameterised read.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityConfig {
    /// `user.profile`
    pub name: String,
    /// Its parameters, in order.
    pub params: Vec<Param>,
    /// `None` if the program that uses the library binds a closure.
    pub read: Option<ReadStatement>,
    /// One object or an array.
    pub rows: Rows,
    /// How long a value is fresh, before jitter.
    pub ttl: Duration,
    /// How long after its `ttl` a stale value is answered while it is refreshed.
    pub stale_while_revalidate: Duration,
    /// How long after its `ttl` a stale value is answered when the load fails.
    pub stale_if_error: Duration,
    /// How long a row that does not exist is remembered.
    pub negative_ttl: Duration,
    /// What its values carry: `user:{id}`, `team:{row.team_id}`.
    pub tags: Vec<TagTemplate>,
    /// The relations that its answer depends on, where the host's own derivation is wrong or too
    /// wide. Empty if the host's derivation counts.
    pub depends: Vec<String>,
    /// A request ends after this long.
    pub deadline: Duration,
    /// A load ends after this long: one that outlasts its readers' deadline fills for the next
    /// reader.
    pub load_limit: Duration,
    /// How long the near cache may answer before the store is asked again; zero if it never may. A
    /// write on another host may stay unknown here for as long as news of it takes, and at most for
    /// this long.
    pub near: Duration,
    /// What its answers tell the caches in front; `None` if the same as all answers.
    pub cache_control: Option<String>,
    /// Its writes, by name.
    pub writes: BTreeMap<String, WriteConfig>,
}

impl EntityConfig {
    /// The columns that its tags need: its read has to answer them.
    #[must_use]
    pub fn tagged_columns(&self) -> Vec<String> {
        template::columns(self.tags.iter().flat_map(TagTemplate::sources))
    }
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
#[derive(Debug, Clone, PartialEq)]
pub struct WriteConfig {
    /// `rename`
    pub name: String,
    /// Its parameters, in order.
    pub params: Vec<Param>,
    /// What it runs.
    pub statement: WriteStatement,
    /// What happens to the touched keys.
    pub then: Then,
    /// What it makes untrue: `user.profile(id)`, `tag user:{id}`.
    pub touches: Vec<TouchText>,
    /// `touches = "nothing"`: the write touches nothing, on purpose.
    pub touches_nothing: bool,
    /// What `corral check` would refuse of it, and is allowed on purpose.
    pub allowed: Vec<Allowed>,
}

impl WriteConfig {
    /// The columns that its touches need, under the names by which its statement has to return them:
    /// `team_id`, and `old.team_id` for the value before the write.
    #[must_use]
    pub fn touched_columns(&self) -> Vec<String> {
        template::columns(self.touches.iter().flat_map(TouchText::sources))
    }
}

/// What a write may leave stale, because its author says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// `unread-tags`: it touches tags that no read of this configuration carries.
    UnreadTags,
    /// `stale-absence`: reads that found nothing go on to find nothing, for their lifetime.
    StaleAbsence,
    /// `stale-moves`: a read that lists a row under a column's old value goes on to list it.
    StaleMoves,
    /// `stale-reads`: reads that use what the write changes, and that it does not touch, stay as
    /// they were for their lifetime.
    StaleReads,
}

/// What a write does with the keys it touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Removes them.
    Invalidate,
    /// Loads and fills them at once.
    WriteThrough,
}
