//! Five hundred clients in one process, on the same cores as the hosts. Until the last answer has
//! come the clients do as little as possible, since their processor time counts as the host's.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::time::timeout;

use super::Outcome;
use crate::client::Answer;

/// Far above every deadline of a host: a request that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// More headers than an answer of a host has.
const MOST_HEADERS: usize = 32;

/// Clients with one connection each, ready to ask all at once.
pub struct Crowd {
    members: Vec<Member>,
}

struct Member {
    stream: TcpStream,
    address: String,
}

/// The bytes that came, not yet parsed.
struct Came {
    began: Instant,
    ended: Instant,
    bytes: anyhow::Result<Vec<u8>>,
}

impl Crowd {
    /// Connects `size` clients to the hosts at `urls`, in turn.
    ///
    /// # Errors
    /// When a host does not answer.
    pub async fn gather(size: usize, urls: &[String]) -> anyhow::Result<Self> {
        let members = try_join_all(urls.iter().cycle().take(size).map(|url| Member::new(url)));
        Ok(Self { members: members.await? })
    }

    /// All members ask for `path` at the same moment. The outcomes are in the order in which the
    /// members were assigned to the hosts.
    ///
    /// # Errors
    /// If a task fails, but not for the outcome of a request.
    pub async fn ask(&mut self, path: &str) -> anyhow::Result<Vec<Outcome>> {
        let start = Arc::new(Barrier::new(self.members.len()));
        let asking = self.members.drain(..).map(|mut member| {
            let (path, start) = (path.to_owned(), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                let began = Instant::now();
                let bytes = member.exchange(&path).await;
                (member, Came { began, ended: Instant::now(), bytes })
            })
        });
        let came = try_join_all(asking.collect::<Vec<_>>()).await?;
        let outcome = |(member, Came { began, ended, bytes })| {
            self.members.push(member);
            Outcome { began, ended, answer: bytes.and_then(|bytes| read(&bytes)) }
        };
        Ok(came.into_iter().map(outcome).collect())
    }
}

impl Member {
    async fn new(url: &str) -> anyhow::Result<Self> {
        let address = url.strip_prefix("http://").context("a host's address")?.to_owned();
        let stream = TcpStream::connect(&address).await?;
        stream.set_nodelay(true)?;
        let mut member = Self { stream, address };
        let answer = read(&member.exchange("/healthz").await?)?;
        ensure!(answer.status == StatusCode::OK, "{url} answers {}", answer.status);
        Ok(member)
    }

    async fn exchange(&mut self, path: &str) -> anyhow::Result<Vec<u8>> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        let exchange = async {
            self.stream.write_all(request.as_bytes()).await?;
            let mut bytes = Vec::with_capacity(1024);
            while body(&bytes)?.is_none() {
                let more = self.stream.read_buf(&mut bytes).await?;
                ensure!(more > 0, "the connection ended before the answer did");
            }
            Ok(bytes)
        };
        timeout(LIMIT, exchange).await.with_context(|| format!("no answer within {LIMIT:?}"))?
    }
}

/// Where the body of a whole answer lies; `None` if more bytes are to come.
fn body(bytes: &[u8]) -> anyhow::Result<Option<Range<usize>>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(begin) = head.parse(bytes)? else { return Ok(None) };
    let length = head.headers.iter().find(|header| header.name == "content-length");
    let length = std::str::from_utf8(length.context("an answer without its length")?.value)?;
    let end = begin + length.parse::<usize>()?;
    Ok((end <= bytes.len()).then_some(begin..end))
}

fn read(bytes: &[u8]) -> anyhow::Result<Answer> {
    let body = body(bytes)?.context("an answer without its end")?;
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    head.parse(bytes)?;
    let mut headers = HeaderMap::new();
    for header in &*head.headers {
        headers.append(
            HeaderName::from_bytes(header.name.as_bytes())?,
            HeaderValue::from_bytes(header.value)?,
        );
    }
    let status = StatusCode::from_u16(head.code.context("an answer without a status")?)?;
    Ok(Answer { status, headers, body: Bytes::copy_from_slice(&bytes[body]) })
}
