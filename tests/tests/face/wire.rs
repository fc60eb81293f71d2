//! HTTP/1.1 by hand: requests that no client library would send, and answers that are read
//! strictly.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::common::SOON;

/// One connection.
pub(super) struct Wire {
    stream: TcpStream,
    /// Bytes that were read and not yet parsed.
    ahead: Vec<u8>,
}

/// The parts of an answer that a program needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// The host will close the connection.
    pub(super) closes: bool,
}

/// What came instead of an answer.
#[derive(Debug)]
#[expect(dead_code, reason = "`Debug` shows what came, when a test fails")]
pub(super) enum Broken {
    /// The connection ended before the first byte of an answer.
    Silence,
    /// The connection ended in the middle of an answer.
    Torn(String),
    /// The answer is not HTTP.
    Malformed(String),
    /// Nothing came for too long.
    Hang,
}

impl Wire {
    pub(super) async fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, ahead: Vec::new() })
    }

    /// Sends a request and reads its answer. A host may answer and close before it has read
    /// everything.
    pub(super) async fn exchange(
        &mut self,
        request: &[u8],
        is_head: bool,
    ) -> Result<Reply, Broken> {
        let exchange = async {
            let _cut_short = self.stream.write_all(request).await;
            self.reply(is_head).await
        };
        timeout(SOON, exchange).await.unwrap_or(Err(Broken::Hang))
    }

    /// Sends bytes and an end, and reads every answer. If the bytes begin like a HEAD request, no
    /// answer has a body.
    pub(super) async fn send_all(mut self, bytes: &[u8]) -> Result<Vec<Reply>, Broken> {
        let is_head = bytes.starts_with(b"HEAD ");
        let exchange = async {
            let _cut_short = self.stream.write_all(bytes).await;
            let _cut_short = self.stream.shutdown().await;
            let mut replies = Vec::new();
            loop {
                match self.reply(is_head).await {
                    Ok(reply) => replies.push(reply),
                    Err(Broken::Silence) => return Ok(replies),
                    Err(broken) => return Err(broken),
                }
            }
        };
        timeout(SOON, exchange).await.unwrap_or(Err(Broken::Hang))
    }

    async fn reply(&mut self, is_head: bool) -> Result<Reply, Broken> {
        loop {
            let head = self.head().await?;
            if head.status >= 200 {
                return self.body(head, is_head).await;
            }
        }
    }

    async fn head(&mut self) -> Result<Head, Broken> {
        let end = loop {
            if let Some(at) = find(&self.ahead, b"\r\n\r\n") {
                break at;
            }
            self.more().await?;
        };
        let bytes: Vec<u8> = self.ahead.drain(..end + 4).collect();
        let malformed = || Broken::Malformed(bytes.escape_ascii().to_string());
        let text = std::str::from_utf8(&bytes[..end]).map_err(|_| malformed())?;
        Head::parse(text).ok_or_else(malformed)
    }

    async fn body(&mut self, head: Head, is_head: bool) -> Result<Reply, Broken> {
        let bodiless = is_head || matches!(head.status, 204 | 304);
        let length = match head.length {
            _ if bodiless => 0,
            Some(length) => length,
            None => return Err(Broken::Malformed("no content-length".to_owned())),
        };
        while self.ahead.len() < length {
            self.more().await?;
        }
        let body = self.ahead.drain(..length).collect();
        Ok(Reply { status: head.status, body, closes: head.closes })
    }

    async fn more(&mut self) -> Result<(), Broken> {
        match self.stream.read_buf(&mut self.ahead).await {
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) if self.ahead.is_empty() => Err(Broken::Silence),
            Ok(0) | Err(_) => Err(Broken::Torn(self.ahead.escape_ascii().to_string())),
        }
    }
}

struct Head {
    status: u16,
    length: Option<usize>,
    closes: bool,
}

impl Head {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let status = lines.next()?;
        let rest = status.strip_prefix("HTTP/1.1 ").or(status.strip_prefix("HTTP/1.0 "))?;
        let (code, _reason) = rest.split_once(' ')?;
        let status = code.parse().ok().filter(|status| (100..600).contains(status))?;
        let mut head = Self { status, length: None, closes: false };
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = Some(value.parse().ok()?),
                "connection" => head.closes = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        Some(head)
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

#[tokio::test]
async fn answers_are_read_strictly() {
    let replies = answers_of(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 404 N\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let first = Reply { status: 200, body: b"hi".to_vec(), closes: false };
    let second = Reply { status: 404, body: Vec::new(), closes: true };
    assert_eq!(replies.await.unwrap(), [first, second]);
    for broken in [
        &b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n"[..],
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
        b"garbage",
    ] {
        assert!(answers_of(broken).await.is_err(), "{}", broken.escape_ascii());
    }
}

/// The answers that a client reads from a server that says this.
async fn answers_of(said: &'static [u8]) -> Result<Vec<Reply>, Broken> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wire = Wire::connect(&listener.local_addr().unwrap().to_string()).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(said).await.unwrap();
    });
    wire.send_all(b"").await
}
