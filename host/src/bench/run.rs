//! Runs a plan.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::keys::Sampler;
use super::pace::{Desk, Schedule};
use super::tally::Tally;
use super::wire::{Wire, WireError};
use super::{BenchError, LoadPlan, LoadTarget, Pace};

/// How long to wait after a connection could not be opened: a server that is gone must not be asked
/// as fast as one that answers.
const REST: Duration = Duration::from_millis(10);

/// How a load is watched and stopped from outside.
#[derive(Debug, Default)]
pub struct LoadWatch {
    taken: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
}

impl LoadWatch {
    /// How many requests were begun so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many failed so far.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Lets no further request begin.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether it was stopped.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Runs a load to its end and blocks until then; requests that fail are counted.
///
/// # Errors
/// The plan is out of bounds, a name can't be resolved, or a thread does not start.
pub fn run(plan: &LoadPlan, watch: &Arc<LoadWatch>) -> Result<Tally, BenchError> {
    plan.check()?;
    let addresses: Vec<_> = plan.targets.iter().map(resolve).collect::<Result<_, _>>()?;
    let mut threads = Vec::new();
    for index in 0..plan.used_threads() {
        let thread = Thread {
            plan: plan.clone(),
            addresses: addresses.clone(),
            watch: Arc::clone(watch),
            index,
        };
        let named = thread::Builder::new().name(format!("bench-{index}"));
        threads.push(named.spawn(move || thread.run()).map_err(BenchError::Thread)?);
    }
    let mut tally = Tally::new()?;
    for thread in threads {
        tally.merge(&thread.join().map_err(|_| BenchError::Broken)??);
    }
    Ok(tally)
}

/// Connects to each target without a request, to find out whether a server listens there at all.
///
/// # Errors
/// [`BenchError::Unreachable`] if none does; and whatever is wrong with the plan.
pub fn probe(plan: &LoadPlan) -> Result<(), BenchError> {
    plan.check()?;
    for target in &plan.targets {
        let connect = |to: &SocketAddr| TcpStream::connect_timeout(to, plan.answer_within);
        let mut tried = resolve(target)?.iter().map(connect).collect::<Vec<_>>();
        if !tried.iter().any(Result::is_ok)
            && let Some(Err(source)) = tried.pop()
        {
            return Err(BenchError::Unreachable { url: target.url.clone(), source });
        }
    }
    Ok(())
}

fn resolve(target: &LoadTarget) -> Result<Vec<SocketAddr>, BenchError> {
    let failed = |source| BenchError::Resolve { address: target.address.clone(), source };
    Ok(target.address.to_socket_addrs().map_err(failed)?.collect())
}

/// One thread of the generator, with its share of the connections and of the rate.
struct Thread {
    plan: LoadPlan,
    addresses: Vec<Vec<SocketAddr>>,
    watch: Arc<LoadWatch>,
    index: usize,
}

impl Thread {
    fn run(self) -> Result<Tally, BenchError> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(BenchError::Thread)?;
        runtime.block_on(self.load())
    }

    async fn load(self) -> Result<Tally, BenchError> {
        let start = Instant::now();
        let end = start + self.plan.time;
        let tally = Arc::new(Mutex::new(Tally::new()?));
        let desk = match self.plan.pace {
            Pace::Closed => None,
            Pace::Open { per_second } => {
                let share = per_second / self.plan.used_threads() as f64;
                Some(Desk::new(Schedule::new(share), start))
            }
        };
        let mut workers = JoinSet::new();
        for connection in (self.index..self.plan.connections).step_by(self.plan.used_threads()) {
            let worker = Worker {
                target: self.plan.targets[connection % self.plan.targets.len()].clone(),
                wire: Wire::new(
                    self.addresses[connection % self.addresses.len()].clone(),
                    self.plan.answer_within,
                ),
                sampler: Sampler::new(&self.plan.keys, self.plan.seed + connection as u64)?,
                writes: self.plan.writes,
                requests: self.plan.requests,
                desk: desk.clone(),
                watch: Arc::clone(&self.watch),
                tally: Arc::clone(&tally),
                start,
                end,
            };
            workers.spawn(worker.work());
        }
        if let Some(desk) = &desk {
            let (watch, requests) = (Arc::clone(&self.watch), self.plan.requests);
            let over = move || watch.stopped() || watch.taken() >= requests;
            let unsent = kept(Arc::clone(desk), end, over)?.await;
            lock(&tally).unsent += unsent.map_err(|_| BenchError::Broken)?;
        }
        while let Some(worker) = workers.join_next().await {
            worker.map_err(|_| BenchError::Broken)?;
        }
        let tally = lock(&tally).clone();
        Ok(tally)
    }
}

/// Keeps a schedule on a thread of its own, which sleeps most of the time.
fn kept(
    desk: Arc<Desk>,
    end: Instant,
    over: impl Fn() -> bool + Send + 'static,
) -> Result<oneshot::Receiver<u64>, BenchError> {
    let (told, unsent) = oneshot::channel();
    let keep = move || {
        // The receiver is gone only when the load has broken off.
        let _broken = told.send(desk.keep(end, over));
    };
    let named = thread::Builder::new().name("bench-clock".to_owned());
    named.spawn(keep).map_err(BenchError::Thread)?;
    Ok(unsent)
}

/// Never contended: only tasks of one thread lock the tally, and none waits while it holds the
/// lock.
fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection.
struct Worker {
    target: LoadTarget,
    wire: Wire,
    sampler: Sampler,
    writes: f64,
    requests: u64,
    desk: Option<Arc<Desk>>,
    watch: Arc<LoadWatch>,
    tally: Arc<Mutex<Tally>>,
    start: Instant,
    end: Instant,
}

impl Worker {
    async fn work(mut self) {
        let mut message = Vec::with_capacity(1024);
        let mut now = Instant::now();
        loop {
            let intended = match &self.desk {
                None => now,
                Some(desk) => match desk.next().await {
                    None => return,
                    Some(intended) => {
                        now = Instant::now();
                        intended
                    }
                },
            };
            if now >= self.end || self.watch.stopped() {
                lock(&self.tally).unsent += u64::from(self.desk.is_some());
                return;
            }
            let request = self.watch.taken.fetch_add(1, Ordering::Relaxed);
            if request >= self.requests {
                self.watch.taken.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            let sent = self.compose(request, &mut message);
            let outcome = self.wire.exchange(&message, sent.is_idempotent(), now).await;
            now = Instant::now();
            let well = outcome.is_ok_and(|reply| reply.status < 400);
            self.watch.failed.fetch_add(u64::from(!well), Ordering::Relaxed);
            let (latency, ended) = (now - intended, now - self.start);
            lock(&self.tally).count(sent == Sent::Write, latency, ended, outcome);
            if matches!(outcome, Err(WireError::Connect)) {
                sleep(REST).await;
                now = Instant::now();
            }
        }
    }

    /// Writes the next request.
    fn compose(&mut self, request: u64, message: &mut Vec<u8>) -> Sent {
        message.clear();
        let thing = self.sampler.draw(request);
        match &self.target.write {
            Some(write) if self.sampler.happens(self.writes) => {
                write.write(thing, message);
                Sent::Write
            }
            Some(_) | None => {
                self.target.read.write(thing, message);
                Sent::Read
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Read,
    Write,
}

impl Sent {
    /// Whether it may be sent again when the first try may have arrived (RFC 9110, 9.2.2).
    fn is_idempotent(self) -> bool {
        self == Self::Read
    }
}
