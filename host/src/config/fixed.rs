//! The sections that every configuration has, written or not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::section::Section;
use super::values::{self, DurationBounds};
use super::{
    Access, AdminConfig, NearConfig, OriginConfig, PolicyConfig, QueryConfig, StoreConfig, settings,
};
use crate::origin::{BODY_LIMIT, Pooler};
use crate::policy::Limits;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7070);
const DEFAULT_ADMIN_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7071);

/// Two or three rounds of the health checks that balancers make by default, every two seconds.
const DEFAULT_DRAIN: Duration = Duration::from_secs(5);
/// With the drain before it, less than service managers wait before they kill: 30 to 90 seconds.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// A process that takes longer than an hour to stop is not stopping.
const GRACE: DurationBounds =
    DurationBounds { least: Duration::ZERO, most: Duration::from_secs(3600) };

/// Many times a store's usual answer, and little enough that a reader hardly notices it.
const DEFAULT_STORE_TIMEOUT: Duration = Duration::from_millis(50);
/// A store that takes longer than ten seconds is down.
const STORE_TIMEOUT: DurationBounds =
    DurationBounds { least: MILLISECOND, most: Duration::from_secs(10) };

/// A hundred thousand small rows, and little beside the memory of any server.
const DEFAULT_NEAR_BYTES: u64 = 64 << 20;

/// What a small Postgres can serve to one of several hosts.
const DEFAULT_MAX_LOADS: usize = 32;
/// Writes are short, and each holds a lock.
const DEFAULT_MAX_WRITES: usize = 8;
/// Each is a connection; more than a thousand from one process overwhelm any Postgres.
const MAX_CONNECTIONS: usize = 1000;

/// Several rounds of most flights, and short enough that the operator still watches the exchange.
const DEFAULT_PROBATION: Duration = Duration::from_secs(60);
/// A policy that is on probation for longer than a day is not trusted at all.
const PROBATION: DurationBounds =
    DurationBounds { least: Duration::ZERO, most: Duration::from_secs(24 * 3600) };

/// A thread for each core is enough, and larger servers run several hosts.
const THREADS: RangeInclusive<usize> = 1..=1024;

const DEFAULT_QUERY_TTL: Duration = Duration::from_secs(60);
/// The client chooses a query's tags and lifetime, so only this limit is sure to end a wrong
/// answer.
const DEFAULT_QUERY_MAX_TTL: Duration = Duration::from_secs(3600);
/// An eighth of what entities have: queries are for people and reports.
const DEFAULT_QUERY_LOADS: usize = 4;
/// Some thousand rows. Clients choose how many answers there are, so each is small.
const DEFAULT_QUERY_BYTES: u64 = 1 << 20;
/// What any answer may have.
const QUERY_BYTES: RangeInclusive<u64> = 1 << 10..=BODY_LIMIT as u64;

/// The contract counts in milliseconds.
const MILLISECOND: Duration = Duration::from_millis(1);

/// Thirty days. The contract's `u32` of milliseconds ends at 49.7 days, and jitter has to fit in
/// before that. Besides, a value that no write invalidates must end by itself.
pub(super) const MAX_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// A base lifetime.
pub(super) const LIFETIME: DurationBounds =
    DurationBounds { least: MILLISECOND, most: MAX_LIFETIME };
/// A lifetime that may be zero, which means that there is none.
pub(super) const WINDOW: DurationBounds =
    DurationBounds { least: Duration::ZERO, most: MAX_LIFETIME };

/// How long a caller is kept waiting unless the configuration says otherwise.
pub(super) const DEFAULT_DEADLINE: Duration = Duration::from_secs(2);
/// No caller of an HTTP read waits longer than five minutes: proxies in between give up before. And the
/// mark of an invalidated tag lives for twice the longest deadline.
pub(super) const DEADLINE: DurationBounds =
    DurationBounds { least: MILLISECOND, most: Duration::from_secs(300) };

/// A call occupies a serving thread: within a second, hundreds of readers wait behind it.
const CALL: DurationBounds = DurationBounds { least: MILLISECOND, most: Duration::from_secs(1) };
/// A read that finds no warm instance waits for this.
const START: DurationBounds = DurationBounds { least: MILLISECOND, most: Duration::from_secs(60) };
/// The push of a policy waits for this.
const GATE: DurationBounds = DurationBounds { least: MILLISECOND, most: Duration::from_secs(300) };
/// One page at least, and what 32 bits can address.
const MEMORY: RangeInclusive<u64> = 64 << 10..=4 << 30;
/// The smallest policies have a few kilobytes; a file beyond a gigabyte is not a policy.
const COMPONENT: RangeInclusive<u64> = 1 << 10..=1 << 30;

const STORE_SCHEMES: [&str; 8] = [
    "redis://",
    "rediss://",
    "unix://",
    "redis+unix://",
    "redis+sentinel://",
    "rediss+sentinel://",
    "redis+cluster://",
    "rediss+cluster://",
];
const ORIGIN_SCHEMES: [&str; 3] = ["postgres://", "postgresql://", "sqlite:"];
const POOLERS: [(&str, Pooler); 2] = [("auto", Pooler::Auto), ("transaction", Pooler::Transaction)];

/// The keys outside any table: `listen`, `drain`, `grace`, `threads`.
pub(super) fn top(root: &mut Section<'_>) -> (SocketAddr, Duration, Duration, usize) {
    let listen = root.take("listen", values::address).unwrap_or(DEFAULT_LISTEN);
    let drain = root.take("drain", |raw| values::duration(raw, GRACE)).unwrap_or(DEFAULT_DRAIN);
    let grace = root.take("grace", |raw| values::duration(raw, GRACE)).unwrap_or(DEFAULT_GRACE);
    let threads = root.take("threads", |raw| values::count(raw, THREADS));
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    (listen, drain, grace, threads.unwrap_or_else(cores))
}

/// `[admin]` and `[access]`, which are checked against each other and against `listen`.
pub(super) fn faces(root: &mut Section<'_>, listen: SocketAddr) -> (AdminConfig, Access) {
    let mut section = root.section("admin");
    let admin = AdminConfig {
        listen: section.take("listen", values::address).unwrap_or(DEFAULT_ADMIN_LISTEN),
        token: section.take("token", values::token),
    };
    if !admin.listen.ip().is_loopback() && !section.has("token") {
        let why = "is not loopback, and without admin.token any client may exchange the \
                   policy; set admin.token or listen on 127.0.0.1";
        section.complain("listen", format!("{} {why}", admin.listen));
    }
    let access = access(root, &admin, listen);
    section.finish();
    (admin, access)
}

fn access(root: &mut Section<'_>, admin: &AdminConfig, listen: SocketAddr) -> Access {
    let mut section = root.section("access");
    let access = Access {
        read: section.take("read", values::token),
        write: section.take("write", values::token),
        open: section.take("open", values::boolean).unwrap_or(false),
        no_cache: section.take("no_cache", values::boolean).unwrap_or(false),
    };
    if !listen.ip().is_loopback() && !section.has("write") && !access.open {
        let why = "is not loopback, and without access.write any client may write; set \
                   access.write, or access.open = true if a network in front guards it";
        root.complain("listen", format!("{listen} {why}"));
    }
    // One token for read and write is legal: an application that does both sends one. The admin
    // token is more than any application should hold.
    for (key, token) in [("read", &access.read), ("write", &access.write)] {
        if token.is_some() && *token == admin.token {
            section.complain(
                key,
                "the same token as admin.token, so applications may exchange the policy; \
                 write another one",
            );
        }
    }
    section.finish();
    access
}

/// `[store]`
pub(super) fn store(root: &mut Section<'_>) -> StoreConfig {
    let mut section = root.section("store");
    let store = StoreConfig {
        url: section.take("url", |raw| values::url(raw, &STORE_SCHEMES)),
        timeout: section
            .take("timeout", |raw| values::duration(raw, STORE_TIMEOUT))
            .unwrap_or(DEFAULT_STORE_TIMEOUT),
        prefix: section.take("prefix", values::prefix).unwrap_or_default(),
    };
    section.finish();
    store
}

/// `[near]`
pub(super) fn near(root: &mut Section<'_>) -> NearConfig {
    let mut section = root.section("near");
    let bytes = section.take("bytes", values::bytes).unwrap_or(DEFAULT_NEAR_BYTES);
    section.finish();
    NearConfig { bytes }
}

/// `[origin]`. `needed_by` names the part of the configuration that needs a database.
pub(super) fn origin(root: &mut Section<'_>, needed_by: Option<&str>) -> OriginConfig {
    let mut section = root.section("origin");
    let connections = 1..=MAX_CONNECTIONS;
    let origin = OriginConfig {
        url: section.take("url", |raw| values::url(raw, &ORIGIN_SCHEMES)),
        max_loads: section
            .take("max_loads", |raw| values::count(raw, connections.clone()))
            .unwrap_or(DEFAULT_MAX_LOADS),
        max_writes: section
            .take("max_writes", |raw| values::count(raw, connections))
            .unwrap_or(DEFAULT_MAX_WRITES),
        pooler: section.take("pooler", |raw| values::choice(raw, &POOLERS)).unwrap_or_default(),
    };
    if let (Some(who), false) = (needed_by, section.has("url")) {
        let what = "write \"postgres://app@127.0.0.1/shop\" or \"sqlite:shop.db\"";
        section.complain("url", format!("missing, and {who} needs a database; {what}"));
    }
    section.finish();
    origin
}

/// `[policy]`. A relative file is relative to the configuration's folder.
pub(super) fn policy(root: &mut Section<'_>, folder: Option<&Path>) -> PolicyConfig {
    let mut section = root.section("policy");
    let mut path = |key| {
        section.take(key, |raw| match values::text(raw)? {
            path if path.is_empty() => {
                Err("an empty path; write one, or leave the key out".to_owned())
            }
            path => Ok(folder.unwrap_or(Path::new("")).join(path)),
        })
    };
    let (component, cache) = (path("component"), path("cache"));
    let watch = section.take("watch", values::boolean).unwrap_or(true);
    let probation = section.take("probation", |raw| values::duration(raw, PROBATION));
    let probation = probation.unwrap_or(DEFAULT_PROBATION);
    let allow_rename = section.take("allow_rename", values::boolean).unwrap_or(false);
    let settings = settings::read(section.section("settings"));
    let limits = limits(section.section("limits"));
    section.finish();
    PolicyConfig { component, cache, watch, probation, allow_rename, settings, limits }
}

/// `[policy.limits]`. A policy in an interpreted language needs wider limits than the defaults.
fn limits(mut section: Section<'_>) -> Limits {
    let mut limits = Limits::default();
    let mut duration = |key, bounds, limit: &mut Duration| {
        *limit = section.take(key, |raw| values::duration(raw, bounds)).unwrap_or(*limit);
    };
    duration("call", CALL, &mut limits.call);
    duration("start", START, &mut limits.start);
    duration("gate", GATE, &mut limits.gate);
    let mut size = |key, range, limit: &mut usize| {
        let size = section.take(key, |raw| values::size(raw, range));
        *limit = size.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(*limit);
    };
    size("memory", MEMORY, &mut limits.memory_bytes);
    size("component", COMPONENT, &mut limits.component_bytes);
    section.finish();
    limits
}

/// `[query]`, which every client of the read scope may use.
pub(super) fn query(root: &mut Section<'_>, listen: SocketAddr, access: &Access) -> QueryConfig {
    let mut section = root.section("query");
    let query = QueryConfig {
        enabled: section.take("enabled", values::boolean).unwrap_or(false),
        url: section.take("url", |raw| values::url(raw, &ORIGIN_SCHEMES)),
        max_loads: section
            .take("max_loads", |raw| values::count(raw, 1..=MAX_CONNECTIONS))
            .unwrap_or(DEFAULT_QUERY_LOADS),
        max_ttl: section
            .take("max_ttl", |raw| values::duration(raw, LIFETIME))
            .unwrap_or(DEFAULT_QUERY_MAX_TTL),
        max_bytes: section
            .take("max_bytes", |raw| values::size(raw, QUERY_BYTES))
            .unwrap_or(DEFAULT_QUERY_BYTES),
        ttl: section
            .take("ttl", |raw| values::duration(raw, LIFETIME))
            .unwrap_or(DEFAULT_QUERY_TTL),
        deadline: section
            .take("deadline", |raw| values::duration(raw, DEADLINE))
            .unwrap_or(DEFAULT_DEADLINE),
    };
    if query.enabled && !listen.ip().is_loopback() && access.read.is_none() {
        let why = "is not loopback, and without access.read any client may run any query on the \
                   database; set access.read, or listen on 127.0.0.1";
        section.complain("enabled", format!("{listen} {why}"));
    }
    if query.ttl > query.max_ttl {
        let most = humantime::format_duration(query.max_ttl);
        section
            .complain("ttl", format!("it is longer than query.max_ttl; write at most \"{most}\""));
    }
    section.finish();
    query
}
