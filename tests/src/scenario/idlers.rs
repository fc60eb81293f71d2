//! Connections that send nothing, send half a request, or read nothing of their answer, while
//! others work: how fast the others are, what the host spends, and which connections it cuts off
//! when.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hyper::StatusCode;
use serde::Serialize;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::median;
use crate::load::{Load, Outcome, Turn};
use crate::servers::{Host, Redis, resident_bytes};

/// Connections that are opened at the same moment: fewer than the queue of the host's system holds.
const AT_ONCE: usize = 256;

/// Number of large values; each answer is a copy of its own.
const LARGE: usize = 4;

/// How much of an answer the client's system receives at most before its program reads.
const RECEIVED: u32 = 16 << 10;

/// The pause between two bytes of a head that never ends.
const DRIP: Duration = Duration::from_secs(3);

/// How often a client's system asks whether the connection is still there. If more clients connect
/// than the queue of the host's system holds, that system forgets some connections whose clients
/// believe that they are connected, and tells only those clients that ask.
const ASK: Duration = Duration::from_secs(5);

/// The pause between two looks at the host's memory and files.
const LOOK: Duration = Duration::from_millis(100);

/// How many connections of each kind, and how they are measured.
#[derive(Debug, Clone, Copy)]
pub struct Idlers {
    /// Connections that send nothing.
    pub silent: usize,
    /// Connections that send half a request, a byte every few seconds.
    pub half: usize,
    /// Connections that ask for ten megabytes and read nothing.
    pub never: usize,
    /// Connections that work (*good* ones).
    pub good: usize,
    /// How long the good ones are measured before the others come.
    pub before: Duration,
    /// `max_connections` of the host.
    pub max_connections: usize,
    /// How soon all of the others have to be cut off.
    pub within: Duration,
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Requests a second of the good ones, before the others came and while they were there.
    pub rate: [f64; 2],
    /// Requests of the good ones that were not answered with 200.
    pub failed: usize,
    /// The connections that sent nothing.
    pub silent: Gone,
    /// The connections that sent half a request.
    pub half: Gone,
    /// The connections that read nothing.
    pub never: Gone,
    /// The host's memory in MiB: before the others came, the most, and after they were gone.
    pub memory_mib: [f64; 3],
    /// The host's open files at the same moments.
    pub files: [usize; 3],
}

/// How connections of a kind were cut off.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Gone {
    /// How many were opened.
    pub opened: usize,
    /// How many of them were cut off in time.
    pub cut: usize,
    /// After how many seconds they were cut off: the least, the median, the most.
    pub after_s: [f64; 3],
}

impl Report {
    /// Whether all connections were cut off that had to be, and no others.
    #[must_use]
    pub fn holds(&self) -> bool {
        let gone = [&self.silent, &self.half, &self.never];
        self.failed == 0 && gone.iter().all(|gone| gone.cut == gone.opened)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, failed, memory_mib, files, .. } = self;
        writeln!(f, "good ones: {:.0} requests a second before, {:.0} then", rate[0], rate[1])?;
        writeln!(f, "           {failed} failed")?;
        for (what, gone) in
            [("silent", &self.silent), ("half-sent", &self.half), ("never read", &self.never)]
        {
            let Gone { opened, cut, after_s: [least, median, most] } = gone;
            writeln!(
                f,
                "{what}: {cut} of {opened} cut off after {median:.1} s ({least:.1} to {most:.1})"
            )?;
        }
        let [before, most, after] = memory_mib;
        writeln!(f, "memory: {before:.0} MiB before, {most:.0} at most, {after:.0} afterwards")?;
        let [before, most, after] = files;
        write!(f, "open files: {before} before, {most} at most, {after} afterwards")
    }
}

impl Idlers {
    /// Lets the other connections come, and waits until they are gone.
    ///
    /// # Errors
    /// When a server does not come up.
    pub async fn run(self) -> anyhow::Result<Report> {
        let redis = Redis::start().await?;
        let home = tempfile::tempdir()?;
        // An empty file is a database without tables.
        fs::write(home.path().join("none.db"), "")?;
        let host = Host::start(&self.config(&redis, home.path())).await?;
        let pid = host.pid().context("it runs")?;
        for id in 0..LARGE {
            let answer = host.get(&format!("/read/large?id={id}")).await?;
            ensure!(answer.status == StatusCode::OK, "/read/large: {}", answer.status);
        }
        let url = host.url("/read/small?id=1");
        let load = Load::start(self.good, move |client, _turn: Turn| {
            let url = url.clone();
            async move { Outcome::of(&client, &url).await.content().is_ok() }
        });
        let (began, done) = (Instant::now(), load.done());
        sleep(self.before).await;
        let before = rate(&load, done, began);
        let looked = Spent::of(pid)?;
        let watch = Watch::start(pid);
        let (began, done) = (Instant::now(), load.done());
        let [silent, half, never] = self.come(&host).await?;
        let then = rate(&load, done, began);
        let most = watch.stop().await?;
        // The memory of the last connections is given back by then.
        sleep(LOOK * 10).await;
        let after = Spent::of(pid)?;
        let failed = load.stop().await?.into_iter().filter(|good| !good).count();
        Ok(Report {
            rate: [before, then],
            failed,
            silent,
            half,
            never,
            memory_mib: [looked, most, after].map(|spent| spent.memory_mib),
            files: [looked, most, after].map(|spent| spent.files),
        })
    }

    fn config(self, redis: &Redis, home: &Path) -> String {
        let (url, home) = (redis.url(), home.display());
        format!(
            r#"max_connections = {}
[store]
url = "{url}"
timeout = "5s"
[origin]
url = "sqlite:{home}/none.db"
[entity.small]
params = ["id:int8"]
read = "SELECT $1 AS id"
ttl = "1h"
[entity.large]
params = ["id:int8"]
read = "SELECT $1 AS id, hex(zeroblob(5000000)) AS text"
ttl = "1h"
deadline = "60s"
"#,
            self.max_connections
        )
    }

    /// Opens all of the other connections, and waits until each is cut off or its time is over.
    async fn come(self, host: &Host) -> anyhow::Result<[Gone; 3]> {
        let address: SocketAddr = host.url("").replace("http://", "").parse()?;
        let gate = Arc::new(Semaphore::new(AT_ONCE));
        let mut idlers = JoinSet::new();
        let kinds = [Kind::Silent, Kind::Half, Kind::Never];
        let mut gone =
            [self.silent, self.half, self.never].map(|opened| Gone { opened, ..Gone::default() });
        for nth in 0..gone.iter().map(|gone| gone.opened).max().unwrap_or(0) {
            for (kind, gone) in kinds.into_iter().zip(&gone) {
                if nth < gone.opened {
                    let (gate, within) = (Arc::clone(&gate), self.within);
                    let idle = async move { timeout(within, idle(address, kind, nth, gate)).await };
                    idlers.spawn(async move { (kind, idle.await) });
                }
            }
        }
        let mut times = [const { Vec::new() }; 3];
        while let Some(idler) = idlers.join_next().await {
            if let (kind, Ok(stayed)) = idler? {
                times[kind as usize].push(stayed?.as_secs_f64());
            }
        }
        for (gone, times) in gone.iter_mut().zip(times) {
            let least = times.iter().copied().fold(f64::INFINITY, f64::min);
            let most = times.iter().copied().fold(0.0, f64::max);
            gone.cut = times.len();
            gone.after_s = [least.min(most), median(times), most];
        }
        Ok(gone)
    }
}

/// What a connection does instead of working.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Silent,
    Half,
    Never,
}

/// Opens a connection, waits until it is cut off, and returns for how long it stayed.
async fn idle(
    address: SocketAddr,
    kind: Kind,
    nth: usize,
    gate: Arc<Semaphore>,
) -> anyhow::Result<Duration> {
    let opening = gate.acquire().await?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVED)?;
    SockRef::from(&socket)
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(ASK).with_interval(ASK))?;
    let mut stream = socket.connect(address).await?;
    drop(opening);
    let began = Instant::now();
    match kind {
        Kind::Silent => while read(&mut stream).await {},
        Kind::Half => {
            // A write fails once the connection has ended.
            let mut head = b"GET /read/small?id=1 HTTP/1.1\r\nhost: corral\r\nx: ".as_slice();
            while stream.write_all(head).await.is_ok()
                && timeout(DRIP, read(&mut stream)).await.unwrap_or(true)
            {
                head = b"y";
            }
        }
        Kind::Never => {
            let large = nth % LARGE;
            let head = format!("GET /read/large?id={large} HTTP/1.1\r\nhost: corral\r\n\r\n");
            // The host may cut the connection off before it has asked.
            let asked = stream.write_all(head.as_bytes()).await.is_ok();
            // A reset shows as an error of the socket, without any read.
            while asked && stream.take_error()?.is_none() {
                sleep(LOOK).await;
            }
        }
    }
    Ok(began.elapsed())
}

/// Whether there may be more to read.
async fn read(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 64]).await, Ok(1..))
}

fn rate(load: &Load<bool>, done: usize, since: Instant) -> f64 {
    (load.done() - done) as f64 / since.elapsed().as_secs_f64()
}

/// What a process uses.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    memory_mib: f64,
    files: usize,
}

impl Spent {
    fn of(pid: u32) -> anyhow::Result<Self> {
        let memory_mib = resident_bytes(pid)? as f64 / f64::from(1 << 20);
        let files = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        Ok(Self { memory_mib, files })
    }
}

/// Looks at a process again and again, and keeps the largest figures.
struct Watch {
    end: Arc<AtomicBool>,
    most: JoinHandle<anyhow::Result<Spent>>,
}

impl Watch {
    fn start(pid: u32) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let most = tokio::spawn(async move {
            let mut most = Spent::default();
            while !ended.load(Ordering::Relaxed) {
                let Spent { memory_mib, files } = Spent::of(pid)?;
                most.memory_mib = most.memory_mib.max(memory_mib);
                most.files = most.files.max(files);
                sleep(LOOK).await;
            }
            Ok(most)
        });
        Self { end, most }
    }

    async fn stop(self) -> anyhow::Result<Spent> {
        self.end.store(true, Ordering::Relaxed);
        self.most.await?
    }
}
