//! HTTP on a thread of its own, one request at a time, so that a measured request does not wait
//! behind the load that the same process makes.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// The pause between two looks: short compared with everything that is measured.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// Far longer than any wait.
const SOON: Duration = Duration::from_secs(60);

/// A connection without a request for so long is replaced, since the server may close it at any
/// moment.
const IDLE: Duration = Duration::from_secs(2);

/// A persistent connection.
pub(super) struct Wire {
    address: String,
    stream: BufReader<TcpStream>,
    used: Instant,
}

/// A complete answer; names of headers in lower case.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Wire {
    /// Connects to `host:port`, or to the authority of `http://host:port`.
    pub(super) fn to(url: &str) -> anyhow::Result<Self> {
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let stream = connect(&address)?;
        Ok(Self { address, stream, used: Instant::now() })
    }

    pub(super) fn request(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> anyhow::Result<Reply> {
        if self.used.elapsed() > IDLE {
            self.stream = connect(&self.address)?;
        }
        let length = body.len();
        // Every body that is sent here is a component.
        let kind = if body.is_empty() { "" } else { "content-type: application/wasm\r\n" };
        let mut message = format!(
            "{method} {path} HTTP/1.1\r\nhost: local\r\n{kind}content-length: {length}\r\n\r\n"
        )
        .into_bytes();
        message.extend(body);
        self.stream.get_mut().write_all(&message)?;
        let status = self.line()?;
        let status = status.split(' ').nth(1).context("a status")?.parse()?;
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").context("a length")?.parse()?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        self.used = Instant::now();
        Ok(Reply { status, headers, body })
    }

    /// Asks for `path` until `is_new` holds for the header's text; returns the moment of the first
    /// such answer.
    pub(super) fn until(
        &mut self,
        path: &str,
        header: &str,
        is_new: impl Fn(&str) -> bool,
    ) -> anyhow::Result<Instant> {
        let began = Instant::now();
        loop {
            let reply = self.request("GET", path, b"")?;
            if reply.headers.get(header).is_some_and(|text| is_new(text)) {
                return Ok(Instant::now());
            }
            ensure!(began.elapsed() < SOON, "no new {header} within {SOON:?}");
            sleep(LOOK_EVERY);
        }
    }

    /// Asks for `path` as often as [`Wire::until`] does, until `time` is over.
    pub(super) fn look(&mut self, path: &str, time: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < time {
            self.request("GET", path, b"")?;
            sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "the connection was closed");
        Ok(line.trim_end().to_owned())
    }
}

fn connect(address: &str) -> anyhow::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SOON))?;
    Ok(BufReader::new(stream))
}
