//! What caches in front are told: whether they may keep an answer. Of a write they hear nothing, so
//! unless the configuration says otherwise they ask each time, with the answer's `ETag`.

use hyper::header::HeaderValue;

use crate::config::Config;

/// `Cache-Control` of an entity's answers.
pub(super) fn of(config: &Config, entity: &str) -> HeaderValue {
    let own = config.entities.get(entity).and_then(|entity| entity.cache_control.as_deref());
    header(own.unwrap_or(&config.http.cache_control))
}

/// Of what is of no entity.
pub(super) fn usual(config: &Config) -> HeaderValue {
    header(&config.http.cache_control)
}

fn header(text: &str) -> HeaderValue {
    // The usual one, which no request has to count.
    if text == "no-cache" {
        return HeaderValue::from_static("no-cache");
    }
    // The configuration takes nothing that is no header.
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("no-store"))
}
