//! Whether a request may come from a web page. A browser sends what any page asks of it, from inside
//! the network that it is in, and what guards an open scope is that network alone. So there a page of
//! another origin is refused, and so is a page that has rebound its own name to the host's address:
//! the name in `Host` betrays it. Programs that are no browsers send neither `Origin` nor
//! `Sec-Fetch-Site`, and ask by an address or a name that is the host's.

use std::net::Ipv6Addr;

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, HeaderValue, ORIGIN};

use super::problem::Problem;

/// What a browser says about where a request comes from; a page can't change it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names under which an open scope may be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pages<'a> {
    /// `hosts` of the configuration, in lower case.
    hosts: &'a [String],
}

impl<'a> Pages<'a> {
    /// `hosts`: the names that the configuration allows beside those that no page can have.
    pub(super) fn new(hosts: &'a [String]) -> Self {
        Self { hosts }
    }

    /// Lets a request with these headers pass unless a page of another origin made it, or may have.
    ///
    /// # Errors
    /// The problem document to answer with.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host = match headers.get(HOST) {
            Some(host) => Some(host.to_str().map_err(|_| Problem::strange_host())?),
            None => None,
        };
        // Of so few names a plain loop is the fastest search.
        let is_of_a_page = headers.keys().any(|name| name == SEC_FETCH_SITE || name == ORIGIN);
        if is_of_a_page && !is_of_ours(headers, host) {
            return Err(Problem::foreign_page());
        }
        // Browsers speak HTTP/1.1 at least, which has a host.
        match host.is_none_or(|host| self.is_ours(host)) {
            true => Ok(()),
            false => Err(Problem::strange_host()),
        }
    }

    /// Whether a foreign web page can't have this name: it is an address, `localhost`, a name without a dot,
    /// which can't be registered, or a name of the configuration. A name that ends in a number is an address
    /// or nothing (URL Standard, section 3.5).
    fn is_ours(&self, host: &str) -> bool {
        if let Some(address) = host.strip_prefix('[') {
            let address = address.split_once(']').map(|(address, _port)| address);
            return address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
        }
        let name = host.bytes().position(|byte| byte == b':').map_or(host, |port| &host[..port]);
        let name = name.strip_suffix('.').unwrap_or(name);
        let Some(dot) = name.bytes().rposition(|byte| byte == b'.') else {
            return !name.is_empty();
        };
        let top = &name[dot + 1..];
        let is_number = !top.is_empty() && top.bytes().all(|byte| byte.is_ascii_digit());
        is_number
            || top.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(name))
    }
}

/// Whether all that a browser says of the page is that it is one of this host.
fn is_of_ours(headers: &HeaderMap, host: Option<&str>) -> bool {
    let is_same = |origin: &HeaderValue| {
        host.zip(origin.to_str().ok()).is_some_and(|(host, origin)| same(host, origin))
    };
    headers.get_all(SEC_FETCH_SITE).iter().all(|site| is_own(site.as_bytes()))
        && headers.get_all(ORIGIN).iter().all(is_same)
}

/// The page is the host's own, or no page asks: the user typed the address.
fn is_own(site: &[u8]) -> bool {
    site == b"same-origin" || site == b"none"
}

/// Whether a page of this origin is of the host that was asked. Its scheme may be another one where a
/// proxy in front ends TLS.
fn same(host: &str, origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let port = if scheme == "https" { ":443" } else { ":80" };
    let bare =
        |authority: &str| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
    !authority.is_empty() && bare(host) == bare(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&'static str, &str)]) -> u16 {
        let hosts = ["cache.internal".to_owned()];
        let pages = Pages::new(&hosts);
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        match pages.check(&headers) {
            Ok(()) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }

    #[test]
    fn an_open_scope_is_asked_by_names_that_no_page_can_have() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:7070",
            "10.0.0.7:80",
            "[::1]:7070",
            "localhost:7070",
            "LOCALHOST",
            "corral.localhost",
            "corral",
            "corral:7070",
            "cache.internal:7070",
            "Cache.Internal.",
        ] {
            assert_eq!(answer(&[("host", host)]), 200, "{host}");
        }
        for host in [
            "",
            ":7070",
            "evil.example",
            "evil.example:7070",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "cache.internal.evil.example",
            "xcache.internal",
            "127.0.0.1.x1",
            "evil..",
            ".",
            "[evil.example]",
            "[::1",
        ] {
            assert_eq!(answer(&[("host", host)]), 403, "{host}");
        }
        assert_eq!(answer(&[]), 200, "HTTP/1.0");
    }

    #[test]
    fn a_page_is_of_the_host_that_it_asks_or_is_refused() {
        let host = ("host", "localhost:7070");
        for own in [
            &[("sec-fetch-site", "same-origin")][..],
            &[("sec-fetch-site", "none")],
            &[("origin", "http://localhost:7070")],
            &[("origin", "https://LOCALHOST:7070"), ("sec-fetch-site", "same-origin")],
        ] {
            assert_eq!(answer(&[&[host], own].concat()), 200, "{own:?}");
        }
        assert_eq!(answer(&[("host", "localhost"), ("origin", "http://localhost:80")]), 200);
        for foreign in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "")],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "http://")],
            &[("origin", "http://localhost:7071")],
            &[("origin", "http://localhost:7070"), ("sec-fetch-site", "cross-site")],
        ] {
            assert_eq!(answer(&[&[host], foreign].concat()), 403, "{foreign:?}");
        }
        assert_eq!(answer(&[("origin", "http://localhost")]), 403, "a page without a host");
    }
}
