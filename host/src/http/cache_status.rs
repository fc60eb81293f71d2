//! An answer in the words of RFC 9211 (`Cache-Status`) and of RFC 9111 (`Age`).

use crate::cache::{Answer, Ready, Via, Why};
use crate::name::StoreKey;

/// The value of `Cache-Status`: `corral; hit; ttl=283; key="v1:user.profile:42"; detail=store`.
#[must_use]
pub(super) fn cache_status(answer: &Answer) -> String {
    if let (Some(ready), Some(ttl_ms)) = (&answer.ready, answer.ttl_ms) {
        return near(ready, ttl_ms);
    }
    let (head, tail) = describe(answer);
    let mut digits = itoa::Buffer::new();
    // Rounded towards the past: a second that is not whole is not promised.
    let ttl = answer.ttl_ms.map(|ms| digits.format(ms.div_euclid(1000)));
    let key = answer.key.as_ref().map(StoreKey::escaped);
    let around = |is_so: bool, text: &'static str| if is_so { text } else { "" };
    joined([
        head,
        around(answer.collapsed, "; collapsed"),
        around(ttl.is_some(), "; ttl="),
        ttl.unwrap_or_default(),
        around(key.is_some(), "; key=\""),
        key.as_deref().unwrap_or_default(),
        around(key.is_some(), "\""),
        tail,
    ])
}

/// As [`cache_status`], of texts that were made before.
fn near(ready: &Ready, ttl_ms: i64) -> String {
    let mut digits = itoa::Buffer::new();
    joined(["corral; hit; ttl=", digits.format(ttl_ms.div_euclid(1000)), ready.status()])
}

/// The parts in one text of just their length: what has room to spare is allocated once more to be shared.
fn joined<const N: usize>(parts: [&str; N]) -> String {
    let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| text.push_str(part));
    text
}

/// How the request was answered and whether the answer was stored, and our detail.
fn describe(answer: &Answer) -> (&'static str, &'static str) {
    let miss = if answer.bypass { "corral; fwd=request" } else { "corral; fwd=miss" };
    match answer.via {
        Via::Near => ("corral; hit", "; detail=near"),
        Via::Store => ("corral; hit", "; detail=store"),
        Via::Stale => ("corral; hit", "; detail=stale-while-revalidate"),
        Via::StaleIfError => ("corral; fwd=stale", "; detail=stale-if-error"),
        Via::Peer => (miss, "; detail=peer"),
        Via::Loaded { .. } if answer.bypass => ("corral; fwd=request; stored", ""),
        Via::Loaded { stale: true } => ("corral; fwd=stale; stored", ""),
        Via::Loaded { stale: false } => ("corral; fwd=miss; stored", ""),
        Via::Uncached(Why::StoreUnavailable) => {
            ("corral; fwd=bypass", "; detail=store-unavailable")
        }
        Via::Uncached(Why::FillRejected) => (miss, "; detail=fill-rejected"),
        Via::Uncached(Why::TooManyTags) => (miss, "; detail=too-many-tags"),
        Via::Uncached(Why::Untaggable) => (miss, "; detail=untaggable"),
        Via::Uncached(Why::Uncached) => ("corral; fwd=bypass", "; detail=uncached"),
    }
}
