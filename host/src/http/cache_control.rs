//! What caches in front are told: whether they may keep an answer. Of a write they hear nothing, so
//! unless the configuration says otherwise they ask each time, with the answer's `ETag`.

use std::collections::HashMap;

use axum::http::HeaderValue;

use crate::config::Config;

/// The values of `Cache-Control`, made once.
#[derive(Debug)]
pub(super) struct CacheControl {
    usual: HeaderValue,
    /// Those of entities that have their own.
    own: HashMap<String, HeaderValue>,
}

impl CacheControl {
    pub(super) fn new(config: &Config) -> Self {
        let own = config.entities.values().filter_map(|entity| {
            Some((entity.name.clone(), header(entity.cache_control.as_deref()?)))
        });
        Self { usual: header(&config.http.cache_control), own: own.collect() }
    }

    /// For an entity's answers.
    pub(super) fn of(&self, entity: &str) -> HeaderValue {
        self.own.get(entity).unwrap_or(&self.usual).clone()
    }

    /// For what is of no entity.
    pub(super) fn usual(&self) -> HeaderValue {
        self.usual.clone()
    }
}

fn header(text: &str) -> HeaderValue {
    // The usual one, which no request has to count.
    if text == "no-cache" {
        return HeaderValue::from_static("no-cache");
    }
    // The configuration takes nothing that is no header.
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("no-store"))
}
