//! Requests that hyper can't read. It answers them itself, with a status and nothing more; in the place
//! of that stands a problem document, written here byte by byte: there is no request to answer.

use hyper::StatusCode;

use super::HEAD_BYTES;
use crate::http::Problem;

/// How a request begins, as far as it is read.
#[derive(Debug, Default)]
pub(super) struct RequestLine {
    /// How many requests were answered before it.
    number: u32,
    method: [u8; 5],
    length: usize,
    is_whole: bool,
}

impl RequestLine {
    /// Takes what was read while no request was under way; `answered`: how many were before.
    pub(super) fn read(&mut self, bytes: &[u8], answered: u32) {
        if self.number != answered {
            *self = Self { number: answered, ..Self::default() };
        }
        let room = &mut self.method[self.length..];
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.length += count;
        // Nearly every head ends with what is read first.
        self.is_whole = self.is_whole || bytes.last() == Some(&b'\n') || bytes.contains(&b'\n');
    }

    /// Whether its answer has no body.
    fn is_head(&self) -> bool {
        self.method == *b"HEAD "
    }
}

/// A problem document in the place of these bytes, if they are hyper's answer to a request that it can't
/// read: a head without a body that closes the connection.
pub(super) fn in_place_of(bytes: &[u8], line: &RequestLine) -> Option<Vec<u8>> {
    let head = std::str::from_utf8(bytes).ok()?;
    let (code, rest) =
        head.strip_prefix("HTTP/1.1 ").or(head.strip_prefix("HTTP/1.0 "))?.split_once(' ')?;
    if !rest.ends_with("\r\n\r\n") || !rest.contains("content-length: 0\r\n") {
        return None;
    }
    let problem = match code {
        "400" => Problem::malformed("this is no request of HTTP/1.1, or its head is malformed"),
        "431" if !line.is_whole => Problem::target_too_long(),
        "414" => Problem::target_too_long(),
        "431" => Problem::head_too_large(HEAD_BYTES),
        _ => return None,
    };
    let (status, document) = problem.into_document();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut answer = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        StatusCode::as_u16(&status),
        document.len()
    );
    if !line.is_head() {
        answer.push_str(&document);
    }
    Some(answer.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hyper(status: &str, length: usize) -> String {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n")
    }

    fn line(begins: &[u8]) -> RequestLine {
        let mut line = RequestLine::default();
        // Byte after byte, behind another request.
        line.read(b"HEAD / HTTP/1.1\r\n", 0);
        begins.iter().for_each(|byte| line.read(&[*byte], 1));
        line
    }

    #[test]
    fn only_the_answers_to_what_is_no_request_are_replaced() {
        for (status, begins, kind) in [
            ("400 Bad Request", "no request\r\n", "malformed"),
            ("414 URI Too Long", "GET /\r\n", "target-too-long"),
            ("431 Request Header Fields Too Large", "GET /\r\n", "head-too-large"),
        ] {
            let answer =
                in_place_of(hyper(status, 0).as_bytes(), &line(begins.as_bytes())).unwrap();
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
            assert!(answer.contains(&format!("urn:corral:problem:{kind}")), "{answer}");
        }
        for other in [hyper("400 Bad Request", 7), hyper("200 OK", 0), "HTTP/1.1 400".to_owned()] {
            assert_eq!(in_place_of(other.as_bytes(), &RequestLine::default()), None, "{other}");
        }
    }

    #[test]
    fn a_head_that_ends_before_its_first_line_has_too_long_a_target() {
        let refused = hyper("431 Request Header Fields Too Large", 0);
        let answer = in_place_of(refused.as_bytes(), &line(b"GET /xxxx")).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 414 "));
    }

    #[test]
    fn who_asks_for_a_head_gets_no_body() {
        let refused = hyper("400 Bad Request", 0);
        let answer = in_place_of(refused.as_bytes(), &line(b"HEAD / HTTX\r\n")).unwrap();
        assert!(answer.ends_with(b"\r\n\r\n"));
    }
}
