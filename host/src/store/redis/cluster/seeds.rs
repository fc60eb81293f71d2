//! The nodes that a URL names: `redis+cluster://user:password@host:port,host:port`.

use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use super::view::MemberAddress;
use crate::store::StoreError;
use crate::store::redis::unavailable;

/// The port of a node that is named without one.
const PORT: u16 = 6379;

/// The first nodes to ask, and how to log in to every node.
#[derive(Clone)]
pub(super) struct Seeds {
    /// `redis` or `rediss`.
    scheme: &'static str,
    /// `user:password@`, as the URL has it, or nothing.
    login: String,
    addresses: Vec<MemberAddress>,
}

impl Seeds {
    /// Reads what follows `redis+cluster://` (or `rediss+cluster://`, with TLS) in a URL.
    ///
    /// # Errors
    /// What is wrong, without the password.
    pub(super) fn read(rest: &str, with_tls: bool) -> Result<Self, String> {
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, hosts) = match rest.rsplit_once('@') {
            Some((login, hosts)) => (format!("{login}@"), hosts),
            None => (String::new(), rest),
        };
        if let Some(at) = hosts.find(['/', '?', '#']) {
            let what = &hosts[at..];
            return Err(format!(
                "a cluster has one database and no options, so {what:?} has no meaning"
            ));
        }
        let addresses = hosts.split(',').map(read_host).collect::<Result<_, _>>()?;
        Ok(Self { scheme: if with_tls { "rediss" } else { "redis" }, login, addresses })
    }

    pub(super) fn addresses(&self) -> &[MemberAddress] {
        &self.addresses
    }

    /// How to connect to the node at this address.
    pub(super) fn login(&self, (host, port): &MemberAddress) -> Result<ConnectionInfo, StoreError> {
        let Self { scheme, login, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let info = format!("{scheme}://{login}{host}:{port}").into_connection_info();
        let info = info.map_err(|error| unavailable(&error))?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Ok(info.set_redis_settings(settings))
    }
}

/// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(super) fn read_host(text: &str) -> Result<MemberAddress, String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(
            "a node has no host; a cluster is redis+cluster://host:port,host:port".to_owned()
        );
    }
    let port = port.map_or(Ok(PORT), str::parse);
    Ok((host.to_owned(), port.map_err(|_| format!("{text:?} is no host and port"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(rest: &str) -> Vec<MemberAddress> {
        Seeds::read(rest, false).unwrap().addresses
    }

    #[test]
    fn nodes_are_named_with_or_without_a_port_and_a_login() {
        let of = |host: &str, port| (host.to_owned(), port);
        assert_eq!(addresses("n1:7000,n2/"), [of("n1", 7000), of("n2", 6379)]);
        assert_eq!(addresses("u:p@[::1]:7000,[::2]"), [of("::1", 7000), of("::2", 6379)]);
        let info = Seeds::read("u:p%40q@n1:7000", true).unwrap().login(&of("::1", 7)).unwrap();
        assert_eq!(info.redis_settings().password(), Some("p@q"));
        assert_eq!(info.addr().to_string(), "::1:7");
    }

    #[test]
    fn what_can_not_be_a_cluster_is_said_without_the_password() {
        for (rest, why) in [
            ("u:secret@", "has no host"),
            ("u:secret@n1:x", "\"n1:x\" is no host and port"),
            ("u:secret@n1/2", "one database"),
            ("n1,,n2", "has no host"),
        ] {
            let error = Seeds::read(rest, false).err().unwrap();
            assert!(error.contains(why) && !error.contains("secret"), "{error}");
        }
    }
}
