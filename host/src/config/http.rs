//! What both HTTP faces do with connections and answers: keys outside any table.

use std::time::Duration;

use super::HttpConfig;
use super::section::{Item, Raw, Section};
use super::values::{self, DurationBounds, shown};

/// Above the idle time of common load balancers (60 s): the side that closes first must be the one
/// that sends requests, or a request meets a connection that is just being closed.
const DEFAULT_IDLE: Duration = Duration::from_secs(75);
/// A connection that is idle for longer than a day is forgotten by firewalls and balancers in
/// between.
const IDLE: DurationBounds =
    DurationBounds { least: Duration::from_secs(1), most: Duration::from_secs(24 * 3600) };

/// A client in front of a few hosts has hundreds; this is ten times that.
const DEFAULT_MAX_CONNECTIONS: usize = 10_000;
/// No process opens more files than that.
const MAX_CONNECTIONS: usize = 1_000_000;

/// A cache in front asks each time, since it does not hear of writes.
const DEFAULT_CACHE_CONTROL: &str = "no-cache";

/// `idle`, `max_connections`, `hosts`, `cache_control`.
pub(super) fn http(root: &mut Section<'_>) -> HttpConfig {
    let idle = root.take("idle", |raw| values::duration(raw, IDLE));
    let max_connections =
        root.take("max_connections", |raw| values::count(raw, 1..=MAX_CONNECTIONS));
    HttpConfig {
        idle: idle.unwrap_or(DEFAULT_IDLE),
        max_connections: max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS),
        hosts: hosts(root),
        cache_control: cache_control(root).unwrap_or_else(|| DEFAULT_CACHE_CONTROL.to_owned()),
    }
}

/// `cache_control`, of the root or of an entity.
pub(super) fn cache_control(section: &mut Section<'_>) -> Option<String> {
    section.take("cache_control", directives)
}

fn hosts(root: &mut Section<'_>) -> Vec<String> {
    let mut hosts = Vec::new();
    for Item { text, spot } in root.texts("hosts") {
        match host(&text) {
            Ok(host) => hosts.push(host),
            Err(message) => root.complain_at(&spot, message),
        }
    }
    hosts
}

/// A name as it stands in a URL, without a port.
fn host(text: &str) -> Result<String, String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() || !name.bytes().all(legal) {
        return Err(format!(
            "{} is no name of a host; write one without scheme and port, such as \
             \"cache.internal\"",
            shown(text)
        ));
    }
    Ok(name.to_ascii_lowercase())
}

/// The value of a header `Cache-Control`.
fn directives(raw: Raw<'_>) -> Result<String, String> {
    let text = values::text(raw)?;
    let legal = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    let is_directive = |directive: &str| {
        let name = directive.trim().split('=').next().unwrap_or_default();
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !text.bytes().all(legal) || !text.split(',').all(is_directive) {
        return Err(format!(
            "{} is no value of Cache-Control; write \"no-cache\", \"no-store\" or \"private, \
             max-age=5\"",
            shown(&text)
        ));
    }
    Ok(text)
}
