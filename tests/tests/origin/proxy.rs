//! A proxy between a host and Postgres: it passes messages on, leads new connections to another
//! server when told to, and can interfere with a commit.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// *Ready for query*, outside of a transaction.
const READY: &[u8] = b"Z\0\0\0\x05I";

/// More than a server sends before a client's first message.
const ROOM: usize = 16 << 10;

/// What happens to the next commit.
#[derive(Debug, Clone)]
pub(crate) enum Meddling {
    /// Another statement arrives in its place: `(from, to)` in the client's text.
    Instead(&'static str, &'static str),
    /// The commit is carried out, and the client is told something else. Then the connection ends,
    /// or goes on as if the server were ready.
    Lie { told: Vec<u8>, goes_on: bool },
    /// The commit never arrives, and the client is told something else. Then the connection ends.
    Swallow { told: Vec<u8> },
}

/// A proxy. It ends on drop.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

struct Shared {
    target: Mutex<u16>,
    meddling: Mutex<Option<Meddling>>,
}

impl Proxy {
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { target: Mutex::new(port), meddling: Mutex::new(None) });
        let for_all = Arc::clone(&shared);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, Arc::clone(&for_all)));
            }
        });
        Self { address, shared, listening }
    }

    /// The URL to it, without TLS, so that messages can be read.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres?sslmode=disable", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Leads new connections to this port; open ones stay where they are.
    pub(crate) fn point_to(&self, port: u16) {
        *self.shared.target.lock().unwrap() = port;
    }

    /// Interferes with the next commit.
    pub(crate) fn meddle(&self, meddling: Meddling) {
        *self.shared.meddling.lock().unwrap() = Some(meddling);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// An *error response* in Postgres' form.
pub(crate) fn error(severity: &str, code: &str) -> Vec<u8> {
    framed(b'E', format!("S{severity}\0V{severity}\0C{code}\0Mforged\0\0").as_bytes())
}

async fn carry(client: TcpStream, shared: Arc<Shared>) {
    let port = *shared.target.lock().unwrap();
    if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
        let session = Session { client, server, shared, sent: BytesMut::new(), is_begun: false };
        // A broken connection ends here as anywhere else, with both of its sides.
        let _ = session.run().await;
    }
}

struct Session {
    client: TcpStream,
    server: TcpStream,
    shared: Arc<Shared>,
    /// What the client sent and is not yet split into messages.
    sent: BytesMut,
    is_begun: bool,
}

impl Session {
    async fn run(mut self) -> io::Result<()> {
        let mut answered = BytesMut::new();
        loop {
            // Whole messages at a time: while PgBouncer logs in, it takes a part of a message for a
            // sign of a broken server, and then waits for fifteen seconds.
            answered.reserve(ROOM);
            tokio::select! {
                read = self.client.read_buf(&mut self.sent) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    while let Some(message) = self.next_message() {
                        self.pass(&message).await?;
                    }
                }
                read = self.server.read_buf(&mut answered) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    self.client.write_all_buf(&mut answered).await?;
                }
            }
        }
    }

    /// A whole message of the client's. The first one has no letter before its length.
    fn next_message(&mut self) -> Option<Bytes> {
        let letter = usize::from(self.is_begun);
        let length = self.sent.get(letter..letter + 4)?.get_u32() as usize + letter;
        if self.sent.len() < length {
            return None;
        }
        self.is_begun = true;
        Some(self.sent.split_to(length).freeze())
    }

    async fn pass(&mut self, message: &[u8]) -> io::Result<()> {
        let is_commit = message.starts_with(b"Q") && message[5..].starts_with(b"COMMIT");
        let meddling = is_commit.then(|| self.shared.meddling.lock().unwrap().take()).flatten();
        match meddling {
            None => self.server.write_all(message).await,
            Some(Meddling::Instead(from, to)) => {
                let text = std::str::from_utf8(&message[5..]).unwrap().replacen(from, to, 1);
                self.server.write_all(&framed(b'Q', text.as_bytes())).await
            }
            Some(Meddling::Lie { told, goes_on }) => {
                self.server.write_all(message).await?;
                self.until_ready().await?;
                self.client.write_all(&told).await?;
                if goes_on { self.client.write_all(READY).await } else { Err(broken()) }
            }
            Some(Meddling::Swallow { told }) => {
                self.client.write_all(&told).await?;
                Err(broken())
            }
        }
    }

    /// Collects the server's answer.
    async fn until_ready(&mut self) -> io::Result<()> {
        let mut answer = BytesMut::new();
        while !answer.ends_with(READY) && self.server.read_buf(&mut answer).await? > 0 {}
        Ok(())
    }
}

fn framed(letter: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![letter];
    message.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    message.extend(body);
    message
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}
