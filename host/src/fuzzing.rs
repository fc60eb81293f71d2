//! What reads bytes of somebody else and is nobody's business otherwise, for the project's own fuzzing.

use bytes::BytesMut;

/// Reads what a Redis answers; whether all of it was understood.
#[must_use]
pub fn replies(bytes: &[u8]) -> bool {
    crate::store::understands(BytesMut::from(bytes))
}

/// Reads a query string; whether it was understood.
#[must_use]
pub fn query_string(text: &str) -> bool {
    crate::http::understands(text)
}
