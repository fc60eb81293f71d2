//! An answer in the words of RFC 9211 (`Cache-Status`) and of RFC 9111 (`Age`).

use std::fmt::Write;

use crate::cache::{Answer, Ready, Via, Why};

/// The value of `Cache-Status`: `corral; hit; ttl=283; key="v1:user.profile:42"; detail=store`.
#[must_use]
pub(super) fn cache_status(answer: &Answer) -> String {
    if let (Some(ready), Some(ttl_ms)) = (&answer.ready, answer.ttl_ms) {
        return near(ready, ttl_ms);
    }
    let mut value = String::with_capacity(96);
    value.push_str("corral");
    let (forwarded, stored, detail) = describe(answer);
    match forwarded {
        None => value.push_str("; hit"),
        Some(reason) => {
            value.push_str("; fwd=");
            value.push_str(reason);
        }
    }
    if stored {
        value.push_str("; stored");
    }
    if answer.collapsed {
        value.push_str("; collapsed");
    }
    if let Some(ttl_ms) = answer.ttl_ms {
        // Rounded towards the past: a second that is not whole is not promised.
        // Writing to a string can't fail.
        let _infallible = write!(value, "; ttl={}", ttl_ms.div_euclid(1000));
    }
    if let Some(key) = &answer.key {
        let _infallible = write!(value, "; key={}", key.quoted());
    }
    if let Some(detail) = detail {
        value.push_str("; detail=");
        value.push_str(detail);
    }
    value
}

/// As [`cache_status`], of texts that were made before.
fn near(ready: &Ready, ttl_ms: i64) -> String {
    let head = "corral; hit; ttl=";
    let mut value = String::with_capacity(head.len() + 20 + ready.status().len());
    value.push_str(head);
    let _infallible = write!(value, "{}{}", ttl_ms.div_euclid(1000), ready.status());
    value
}

/// Whether and why the request went further, whether the answer was stored, and our detail.
fn describe(answer: &Answer) -> (Option<&'static str>, bool, Option<&'static str>) {
    let miss = if answer.bypass { "request" } else { "miss" };
    match answer.via {
        Via::Near => (None, false, Some("near")),
        Via::Store => (None, false, Some("store")),
        Via::Stale => (None, false, Some("stale-while-revalidate")),
        Via::StaleIfError => (Some("stale"), false, Some("stale-if-error")),
        Via::Peer => (Some(miss), false, Some("peer")),
        Via::Loaded { stale: true } if !answer.bypass => (Some("stale"), true, None),
        Via::Loaded { .. } => (Some(miss), true, None),
        Via::Uncached(Why::StoreUnavailable) => (Some("bypass"), false, Some("store-unavailable")),
        Via::Uncached(Why::FillRejected) => (Some(miss), false, Some("fill-rejected")),
        Via::Uncached(Why::Uncached) => (Some("bypass"), false, Some("uncached")),
    }
}
