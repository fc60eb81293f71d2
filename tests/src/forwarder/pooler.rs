//! A pooler in front of Postgres that answers in the database's name: at a `COMMIT` it tells its
//! client of a failure of its own, whether or not the database has committed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// "Will you speak TLS?" and "will you encrypt by GSS?". A client asks before its session begins,
/// in the form of a session's first message.
const QUESTIONS: [u32; 2] = [80_877_103, 80_877_104];

/// What a client is told in place of its commit's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// `FATAL`, and the connection ends.
    Fatal,
    /// `PANIC`, and the connection ends.
    Panic,
    /// Nothing: the connection just ends.
    Cut,
}

/// What happens to the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// The database never gets it, and rolls back.
    Never,
    /// The database has carried it out before the client is told of a failure.
    Before,
    /// The database gets it so long after the client was told of a failure.
    Later(Duration),
}

/// How a commit is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What the client is told.
    pub ending: Ending,
    /// What happens to the commit.
    pub passing: Passing,
}

/// A pooler. It ends on drop.
pub struct Pooler {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    armed: Mutex<Option<Fault>>,
    broken: AtomicUsize,
}

impl Pooler {
    /// A pooler in front of the Postgres that listens on this port.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let for_all = Arc::clone(&shared);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&for_all);
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                        // A broken connection ends here as anywhere else, with both of its sides.
                        let _ = Session::new(client, server, shared).run().await;
                    }
                });
            }
        });
        Ok(Self { address, shared, listening })
    }

    /// `postgres://postgres@127.0.0.1:…/postgres`
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address)
    }

    /// Breaks the next commit, whichever connection it comes on.
    pub fn break_commit(&self, fault: Fault) {
        *self.shared.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// How many commits were broken so far.
    #[must_use]
    pub fn broken(&self) -> usize {
        self.shared.broken.load(Ordering::SeqCst)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Shared {
    fn take(&self) -> Option<Fault> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// One client, and its session with the database.
struct Session {
    client: TcpStream,
    server: TcpStream,
    shared: Arc<Shared>,
    /// What the client sent and is not yet split into messages.
    sent: BytesMut,
    begun: bool,
}

impl Session {
    fn new(client: TcpStream, server: TcpStream, shared: Arc<Shared>) -> Self {
        Self { client, server, shared, sent: BytesMut::new(), begun: false }
    }

    async fn run(mut self) -> anyhow::Result<()> {
        self.client.set_nodelay(true)?;
        self.server.set_nodelay(true)?;
        let mut answered = BytesMut::new();
        loop {
            tokio::select! {
                read = self.client.read_buf(&mut self.sent) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    while let Some(message) = self.next_message() {
                        match is_commit(&message).then(|| self.shared.take()).flatten() {
                            None => self.server.write_all(&message).await?,
                            Some(fault) => return self.strike(fault, message).await,
                        }
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
        let letter = usize::from(self.begun);
        let length = self.sent.get(letter..letter + 4)?.get_u32() as usize + letter;
        if self.sent.len() < length {
            return None;
        }
        let message = self.sent.split_to(length).freeze();
        if !self.begun {
            self.begun =
                !message.get(4..8).is_some_and(|mut code| QUESTIONS.contains(&code.get_u32()));
        }
        Some(message)
    }

    async fn strike(mut self, fault: Fault, commit: Bytes) -> anyhow::Result<()> {
        let ending = fault.ending.bytes();
        match fault.passing {
            Passing::Never => {
                // A client that was told of the failure may ask the database at once, and by then
                // the database has to know.
                self.server.shutdown().await?;
                while self.server.read_buf(&mut self.sent).await? > 0 {}
            }
            Passing::Before => self.commit(&commit).await?,
            Passing::Later(_) => {}
        }
        self.shared.broken.fetch_add(1, Ordering::SeqCst);
        self.client.write_all(&ending).await?;
        self.client.shutdown().await?;
        if let Passing::Later(after) = fault.passing {
            sleep(after).await;
            self.commit(&commit).await?;
        }
        Ok(())
    }

    /// Has the database carry out the commit, and returns its answer.
    async fn commit(&mut self, commit: &[u8]) -> anyhow::Result<()> {
        self.server.write_all(commit).await?;
        let mut answer = BytesMut::new();
        while !is_ready(&answer) && self.server.read_buf(&mut answer).await? > 0 {}
        Ok(())
    }
}

/// Whether the message is a simple query (`Q`) that ends a transaction, or holds several queries of
/// which one does.
fn is_commit(message: &[u8]) -> bool {
    let Some((b'Q', rest)) = message.split_first() else { return false };
    let text = String::from_utf8_lossy(rest.get(4..).unwrap_or_default());
    text.split(';').any(|statement| {
        let statement = statement.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        statement.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("commit"))
    })
}

/// Whether the answer holds a whole *ready for query* (`Z`).
fn is_ready(mut answer: &[u8]) -> bool {
    while let [letter, length @ ..] = answer
        && let Some(mut length) = length.get(..4)
    {
        let end = length.get_u32() as usize + 1;
        if answer.len() < end {
            return false;
        }
        if *letter == b'Z' {
            return true;
        }
        answer = &answer[end..];
    }
    false
}

impl Ending {
    /// An *error response* (`E`) in the database's form.
    fn bytes(self) -> Vec<u8> {
        let (severity, code) = match self {
            // As a pooler answers for a server that it has lost.
            Self::Fatal => ("FATAL", "58000"),
            Self::Panic => ("PANIC", "XX000"),
            Self::Cut => return Vec::new(),
        };
        let text = "terminating connection";
        let fields = format!("S{severity}\0V{severity}\0C{code}\0M{text}\0\0");
        let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
        let mut bytes = vec![b'E'];
        bytes.extend(length.to_be_bytes());
        bytes.extend(fields.as_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_told_from_other_queries() {
        for (text, commits) in [
            ("COMMIT", true),
            ("commit;", true),
            ("SELECT 1; COMMIT", true),
            ("SELECT 'COMMIT'", false),
            ("BEGIN", false),
        ] {
            let mut message = vec![b'Q', 0, 0, 0, 0];
            message.extend(text.as_bytes());
            message.push(0);
            assert_eq!(is_commit(&message), commits, "{text}");
        }
        assert!(!is_commit(b"X\0\0\0\x04"));
    }

    #[test]
    fn an_answer_is_complete_when_the_database_is_ready() {
        let answer = b"C\0\0\0\x0bCOMMIT\0Z\0\0\0\x05I";
        assert!(is_ready(answer));
        for end in 0..answer.len() {
            assert!(!is_ready(&answer[..end]), "{end}");
        }
    }
}
