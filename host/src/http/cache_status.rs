//! An answer in the words of RFC 9211 (`Cache-Status`) and of RFC 9111 (`Age`).

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
        value.push_str("; ttl=");
        push_seconds(&mut value, ttl_ms);
    }
    if let Some(key) = &answer.key {
        value.push_str("; key=");
        key.push_quoted(&mut value);
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
    push_seconds(&mut value, ttl_ms);
    value.push_str(ready.status());
    value
}

fn push_seconds(value: &mut String, ms: i64) {
    value.push_str(itoa::Buffer::new().format(ms.div_euclid(1000)));
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
        Via::Uncached(Why::TooManyTags) => (Some(miss), false, Some("too-many-tags")),
        Via::Uncached(Why::Untaggable) => (Some(miss), false, Some("untaggable")),
        Via::Uncached(Why::Uncached) => (Some("bypass"), false, Some("uncached")),
    }
}
