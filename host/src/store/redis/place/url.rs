//! Reads where a URL leads. An error repeats nothing of a URL but its scheme and the names of parameters: the
//! rest may hold a password.

use percent_encoding::percent_decode_str;
use redis::{
    ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisResult,
};

use super::sentinels::{NamedPrimary, NodeAddress};
use super::unavailable;
use crate::store::StoreError;

/// The port on which sentinels listen unless the URL says otherwise.
const SENTINEL_PORT: u16 = 26379;

/// What follows a URL that is refused.
const FORMS: &str = "redis://, rediss://, unix:// and redis+sentinel:// are";

/// Where a URL leads.
pub(super) enum StoreTarget {
    Address(Box<ConnectionInfo>),
    Named(NamedPrimary),
}

impl StoreTarget {
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return refused("not a URL like redis://host:6379");
        };
        match scheme {
            "redis" | "rediss" | "unix" | "redis+unix" => {
                let to = address(url).map_err(|error| unavailable(&error))?;
                Ok(Self::Address(Box::new(to)))
            }
            "redis+sentinel" | "rediss+sentinel" => match named(scheme, rest) {
                Ok(named) => Ok(Self::Named(named)),
                Err(why) => refused(&format!("{scheme}://: {why}")),
            },
            "redis+cluster" | "rediss+cluster" => {
                refused(&format!("{scheme}:// has many nodes, and this is the store of one"))
            }
            _ => refused(&format!("{scheme}:// is no Redis; {FORMS}")),
        }
    }
}

fn refused<T>(why: &str) -> Result<T, StoreError> {
    Err(StoreError::Unavailable(why.to_owned()))
}

fn address(url: &str) -> RedisResult<ConnectionInfo> {
    let to = url.into_connection_info()?;
    let settings = to.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(to.set_redis_settings(settings))
}

/// Reads `user:password@host:port,…/name/db?sentinel_user=…&sentinel_password=…`.
fn named(scheme: &str, rest: &str) -> Result<NamedPrimary, String> {
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = before.split_once('/').unwrap_or((before, ""));
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (name, db) = path.split_once('/').unwrap_or((path, ""));
    let name = decoded(name, "name")?;
    if name.is_empty() {
        return Err("it names no primary; write host:26379/name".to_owned());
    }
    let db = match db {
        "" => 0,
        db => db
            .parse()
            .ok()
            .filter(|db| *db >= 0)
            .ok_or("the database after the name is no number")?,
    };
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let settings = credentials(decoded(user, "user")?, decoded(password, "password")?);
    Ok(NamedPrimary {
        sentinels: hosts.split(',').map(sentinel).collect::<Result<_, _>>()?,
        name,
        has_tls: scheme.starts_with("rediss"),
        settings: settings.set_protocol(ProtocolVersion::RESP3).set_db(db),
        sentinel_settings: of_sentinels(query)?,
    })
}

/// Reads `host`, `host:port`, or the same with an IPv6 address in brackets.
fn sentinel(text: &str) -> Result<NodeAddress, String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            rest.split_once(']').ok_or("a bracket of a sentinel's address is not closed")?
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => Some(SENTINEL_PORT),
        None => None,
        Some(port) => port.parse().ok().filter(|port| *port > 0),
    };
    if host.is_empty() {
        return Err(
            "a sentinel has no host; write host1:26379,host2:26379,host3:26379/name".to_owned()
        );
    }
    let port = port.ok_or("a sentinel's port is no number from 1 to 65535")?;
    Ok(NodeAddress { host: decoded(host, "host")?, port })
}

fn of_sentinels(query: &str) -> Result<RedisConnectionInfo, String> {
    let (mut user, mut password) = (String::new(), String::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "sentinel_user" => user = decoded(value, key)?,
            "sentinel_password" => password = decoded(value, key)?,
            _ => {
                return Err(format!(
                    "{key:?} is no parameter; sentinel_user and sentinel_password are"
                ));
            }
        }
    }
    Ok(credentials(user, password))
}

fn credentials(user: String, password: String) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default();
    if !user.is_empty() {
        settings = settings.set_username(user);
    }
    if !password.is_empty() {
        settings = settings.set_password(password);
    }
    settings
}

fn decoded(text: &str, what: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| format!("the {what} is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use redis::ConnectionAddr;

    use super::*;

    fn parsed(url: &str) -> NamedPrimary {
        match StoreTarget::parse(url) {
            Ok(StoreTarget::Named(named)) => named,
            Ok(StoreTarget::Address(_)) => panic!("{url} is an address"),
            Err(error) => panic!("{url}: {error}"),
        }
    }

    fn at(named: &NamedPrimary) -> Vec<String> {
        named.sentinels.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sentinels_have_a_default_port_and_may_have_ipv6_addresses() {
        let named = parsed("redis+sentinel://a:1,b,[::1]:7,[fe80::2]/main");
        assert_eq!(at(&named), ["a:1", "b:26379", "[::1]:7", "[fe80::2]:26379"]);
        assert_eq!((named.name.as_str(), named.has_tls), ("main", false));
        assert_eq!(named.settings.db(), 0);
        assert!(
            named.settings.password().is_none() && named.sentinel_settings.password().is_none()
        );
    }

    #[test]
    fn the_primary_and_its_sentinels_have_credentials_of_their_own() {
        let named = parsed(
            "rediss+sentinel://us%40er:p%2Fa+ss@h/my%20name/3?sentinel_user=s&sentinel_password=p%26w",
        );
        assert_eq!((named.name.as_str(), named.has_tls), ("my name", true));
        let settings = &named.settings;
        assert_eq!((settings.username(), settings.password()), (Some("us@er"), Some("p/a+ss")));
        assert_eq!(settings.db(), 3);
        let settings = &named.sentinel_settings;
        assert_eq!((settings.username(), settings.password()), (Some("s"), Some("p&w")));
        assert_eq!(settings.db(), 0);
    }

    #[test]
    fn a_password_needs_no_user() {
        let named = parsed("redis+sentinel://:secret@h/main?sentinel_password=p");
        assert_eq!((named.settings.username(), named.settings.password()), (None, Some("secret")));
        assert_eq!(named.sentinel_settings.password(), Some("p"));
    }

    #[test]
    fn a_socket_is_an_address() {
        for url in ["unix:///run/redis.sock?db=2&pass=secret", "redis+unix:///run/redis.sock?db=2"]
        {
            let Ok(StoreTarget::Address(to)) = StoreTarget::parse(url) else {
                panic!("{url} was refused")
            };
            assert_eq!(to.addr(), &ConnectionAddr::Unix("/run/redis.sock".into()));
            assert_eq!(to.redis_settings().db(), 2);
        }
    }

    #[test]
    fn what_can_never_work_is_refused_with_the_reason_and_without_the_password() {
        for (url, reason) in [
            ("redis+sentinel://u:secret@h:1,h:2", "it names no primary"),
            ("redis+sentinel://u:secret@/main", "a sentinel has no host"),
            ("redis+sentinel://u:secret@h,,i/main", "a sentinel has no host"),
            ("redis+sentinel://u:secret@h:0/main", "a sentinel's port"),
            ("redis+sentinel://u:secret@h:x/main", "a sentinel's port"),
            ("redis+sentinel://u:secret@[::1/main", "a bracket"),
            ("redis+sentinel://u:secret@[::1]7/main", "a sentinel's port"),
            ("redis+sentinel://u:secret@h/main/x", "the database"),
            ("redis+sentinel://u:secret@h/main?user=secret", "\"user\" is no parameter"),
            ("redis+sentinel://u:secret%ff@h/main", "the password is no UTF-8"),
            ("redis+cluster://u:secret@h:1", "redis+cluster:// has many nodes"),
            ("unix://secret/run/redis.sock?pass=secret", "Missing path"),
            ("memcached://u:secret@h", "memcached:// is no Redis"),
        ] {
            let Err(error) = StoreTarget::parse(url) else { panic!("{url} was accepted") };
            let why = error.to_string();
            assert!(why.contains(reason) && !why.contains("secret"), "{url}: {why}");
        }
    }
}
