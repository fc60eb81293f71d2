//! The parsers of foreign bytes that are private otherwise, for the project's own fuzzing.

use bytes::BytesMut;

/// Reads what a Redis answers; true if all of it was understood.
#[must_use]
pub fn replies(bytes: &[u8]) -> bool {
    crate::store::understands(BytesMut::from(bytes))
}

/// Reads a query string; true if it was understood.
#[must_use]
pub fn query_string(text: &str) -> bool {
    crate::http::understands(text)
}
