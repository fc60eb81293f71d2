//! Requests that hyper can't read. It answers them itself, with a status and nothing more; in the place
//! of that stands a problem document, written here byte by byte: there is no request to answer.

use axum::http::StatusCode;

use super::HEAD_BYTES;
use crate::http::Problem;

/// A problem document in the place of these bytes, if they are hyper's answer to a request that it can't
/// read: a head without a body that closes the connection.
pub(super) fn in_place_of(bytes: &[u8]) -> Option<Vec<u8>> {
    let head = std::str::from_utf8(bytes).ok()?;
    let (code, rest) =
        head.strip_prefix("HTTP/1.1 ").or(head.strip_prefix("HTTP/1.0 "))?.split_once(' ')?;
    if !rest.ends_with("\r\n\r\n") || !rest.contains("content-length: 0\r\n") {
        return None;
    }
    let problem = match code {
        "400" => Problem::malformed("this is no request of HTTP/1.1, or its head is malformed"),
        "414" => Problem::target_too_long(),
        "431" => Problem::head_too_large(HEAD_BYTES),
        _ => return None,
    };
    let (status, document) = problem.into_document();
    let reason = status.canonical_reason().unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{document}",
        StatusCode::as_u16(&status),
        document.len()
    );
    Some(answer.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answers_to_what_is_no_request_are_replaced() {
        let head = |status: &str, length: usize| {
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n")
        };
        for (status, kind) in [
            ("400 Bad Request", "malformed"),
            ("414 URI Too Long", "target-too-long"),
            ("431 Request Header Fields Too Large", "head-too-large"),
        ] {
            let answer = in_place_of(head(status, 0).as_bytes()).unwrap();
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
            assert!(answer.contains(&format!("urn:corral:problem:{kind}")), "{answer}");
        }
        for other in [head("400 Bad Request", 7), head("200 OK", 0), "HTTP/1.1 400".to_owned()] {
            assert_eq!(in_place_of(other.as_bytes()), None, "{other}");
        }
    }
}
