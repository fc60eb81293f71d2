//! The answer's head and body, as they come.

use std::mem::MaybeUninit;

use super::WireError;

/// The most headers of an answer.
const HEADERS: usize = 100;

/// What the head of an answer says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) cache: CacheMark,
    /// Whether the connection can be used again.
    pub(super) keeps: bool,
    framing: Framing,
}

/// What `Cache-Status` (RFC 9211) says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CacheMark {
    /// Whether the header is there.
    pub(crate) is_told: bool,
    /// Whether a cache answered.
    pub(crate) is_hit: bool,
    /// Whether Corral's near cache answered.
    pub(crate) is_near: bool,
}

impl CacheMark {
    fn of(value: &[u8]) -> Self {
        let mut mark = Self { is_told: true, ..Self::default() };
        for parameter in value.split(|byte| *byte == b';' || *byte == b',') {
            match parameter.trim_ascii() {
                b"hit" => mark.is_hit = true,
                b"detail=near" => mark.is_near = true,
                _ => {}
            }
        }
        mark
    }
}

/// How a body ends (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
    Connection,
}

/// Reads a head and returns its length with it; `None` if the head is not whole yet.
pub(super) fn head(bytes: &[u8]) -> Result<Option<(Head, usize)>, WireError> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let parse = config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut headers);
    let length = match parse.map_err(|_| WireError::Malformed)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let status = parsed.code.ok_or(WireError::Malformed)?;
    if status < 200 {
        // No request was sent that is answered in steps.
        return Err(WireError::Malformed);
    }
    let mut keeps = parsed.version == Some(1);
    let (mut cache, mut framing) = (CacheMark::default(), Framing::Connection);
    for header in parsed.headers.iter() {
        let (name, value) = (header.name, header.value.trim_ascii());
        if name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            if !matches!(framing, Framing::Chunked) {
                framing = Framing::Length(length.ok_or(WireError::Malformed)?);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            if value.eq_ignore_ascii_case(b"close") {
                keeps = false;
            } else if value.eq_ignore_ascii_case(b"keep-alive") {
                keeps = true;
            }
        } else if name.eq_ignore_ascii_case("cache-status") {
            cache = CacheMark::of(value);
        }
    }
    if status == 204 || status == 304 {
        framing = Framing::Length(0);
    }
    keeps &= !matches!(framing, Framing::Connection);
    Ok(Some((Head { status, cache, keeps, framing }, length)))
}

/// A body that is read and thrown away.
pub(super) enum DiscardedBody {
    Length(u64),
    Chunked(Chunks),
    Connection,
}

impl DiscardedBody {
    pub(super) fn new(head: &Head) -> Self {
        match head.framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunks::Size { size: 0, digits: 0 }),
            Framing::Connection => Self::Connection,
        }
    }

    pub(super) fn ends_with_the_connection(&self) -> bool {
        matches!(self, Self::Connection)
    }

    /// Takes the bytes that came; true if the body is whole. Bytes after its end are malformed, as
    /// no further request was sent.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<bool, WireError> {
        match self {
            Self::Length(left) => {
                *left = left.checked_sub(bytes.len() as u64).ok_or(WireError::Malformed)?;
                Ok(*left == 0)
            }
            Self::Chunked(chunks) => chunks.feed(bytes),
            Self::Connection => Ok(false),
        }
    }
}

/// Where in a chunked body (RFC 9112, 7.1) the bytes stand.
pub(super) enum Chunks {
    /// In the length of a chunk.
    Size { size: u64, digits: u8 },
    /// Behind it, before the end of its line.
    Extension { size: u64 },
    /// In the chunk and the end of line behind it.
    Data { left: u64 },
    /// Behind the last chunk, in a line of so many bytes; an empty line ends the body.
    Trailer { length: u64 },
    /// Behind the body.
    Done,
}

/// The most digits that a chunk's length may have: its sums then stay within 64 bits.
const SIZE_DIGITS: u8 = 15;

impl Chunks {
    fn feed(&mut self, mut bytes: &[u8]) -> Result<bool, WireError> {
        while let Some((&byte, rest)) = bytes.split_first() {
            let mut next = rest;
            *self = match *self {
                Self::Size { size, digits } => Self::sized(size, digits, byte)?,
                Self::Extension { size } => match (byte, size) {
                    (b'\n', 0) => Self::Trailer { length: 0 },
                    (b'\n', size) => Self::Data { left: size + 2 },
                    _ => Self::Extension { size },
                },
                Self::Data { left } => {
                    let taken = left.min(bytes.len() as u64);
                    next = &bytes[taken as usize..];
                    match left - taken {
                        0 => Self::Size { size: 0, digits: 0 },
                        left => Self::Data { left },
                    }
                }
                Self::Trailer { length } => match (byte, length) {
                    (b'\n', 0) => Self::Done,
                    (b'\n', _) => Self::Trailer { length: 0 },
                    (b'\r', length) => Self::Trailer { length },
                    (_, length) => Self::Trailer { length: length + 1 },
                },
                Self::Done => return Err(WireError::Malformed),
            };
            bytes = next;
        }
        Ok(matches!(self, Self::Done))
    }

    fn sized(size: u64, digits: u8, byte: u8) -> Result<Self, WireError> {
        match char::from(byte).to_digit(16) {
            Some(digit) if digits < SIZE_DIGITS => {
                Ok(Self::Size { size: size * 16 + u64::from(digit), digits: digits + 1 })
            }
            None if digits > 0 && matches!(byte, b'\r' | b' ' | b';') => {
                Ok(Self::Extension { size })
            }
            Some(_) | None => Err(WireError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds an answer in pieces of this many bytes; true if it was whole with the last one.
    fn fed(answer: &str, piece: usize) -> Result<bool, WireError> {
        let (head, length) = head(answer.as_bytes())?.expect("a whole head");
        let mut body = DiscardedBody::new(&head);
        let mut done = body.feed(&[])?;
        for bytes in answer.as_bytes()[length..].chunks(piece) {
            done = body.feed(bytes)?;
        }
        Ok(done)
    }

    #[test]
    fn bodies_end_where_their_framing_says() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            &format!("{chunked}0\r\n\r\n"),
            &format!("{chunked}5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"),
            &format!("{chunked}005 \r\nhello\r\n0\r\na: b\r\nc: d\r\n\r\n"),
        ] {
            for piece in [1, 2, 3, 7, 1_000] {
                assert_eq!(fed(answer, piece), Ok(true), "{answer:?} by {piece}");
                let short = &answer[..answer.len() - 1];
                if !short.ends_with("\r\n\r") {
                    assert_eq!(fed(short, piece), Ok(false), "{short:?} by {piece}");
                }
            }
        }
    }

    #[test]
    fn what_is_too_much_or_no_length_is_malformed() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!",
            "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nmore",
            "SSH-2.0-OpenSSH\r\n\r\n",
        ] {
            assert_eq!(fed(answer, 3), Err(WireError::Malformed), "{answer:?}");
        }
    }

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let length = answer.len() - 5;
        for cut in 0..length {
            assert!(head(&answer.as_bytes()[..cut]).unwrap().is_none(), "{cut}");
        }
        assert_eq!(head(answer.as_bytes()).unwrap().unwrap().1, length);
    }

    #[test]
    fn connections_are_kept_where_both_sides_may() {
        let keeps = |answer: &str| head(answer.as_bytes()).unwrap().unwrap().0.keeps;
        assert!(keeps("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
        assert!(keeps("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nConnection: Keep-Alive\r\n\r\n"));
        assert!(!keeps("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"));
        assert!(!keeps("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
        assert!(!keeps("HTTP/1.1 200 OK\r\n\r\n"));
    }

    #[test]
    fn cache_status_is_read_as_rfc_9211_has_it() {
        let mark = |value: &str| CacheMark::of(value.as_bytes());
        let near = mark("corral; hit; ttl=283; key=\"v1:hit\"; detail=near");
        assert_eq!(near, CacheMark { is_told: true, is_hit: true, is_near: true });
        assert!(mark("corral; hit; detail=store").is_hit);
        assert!(!mark("corral; hit; detail=store").is_near);
        assert!(!mark("corral; fwd=miss; stored; key=\"hit\"").is_hit);
        assert!(mark("origin; fwd=miss, edge; hit").is_hit);
    }
}
