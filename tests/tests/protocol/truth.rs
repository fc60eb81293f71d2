//! The origin of the scenarios: one row whose version grows with every commit, read and written
//! under the control of the test.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use corral_host::cache::{CacheRead, Definition, Loader};
use corral_host::origin::{
    Changes, CommitError, Fetched, Footprint, Origin, OriginError, OriginIdentity, Prepared,
    ReadStatement, Transaction, Uncommitted, Value, WriteStatement, Xid,
};
use serde_json::json;
use tokio::sync::{oneshot, watch};

use super::world::soon;

/// The identity of the only origin.
const IDENTITY: OriginIdentity = OriginIdentity { database: [1; 16], timeline: 1 };

/// How every load ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ending {
    /// The row as it was when the load began.
    Row,
    Missing,
    Failure,
    /// The database rejects the statement.
    Rejection,
    Panic,
    Never,
}

/// The row, and the loads that read it.
pub(super) struct Truth {
    row: Mutex<Row>,
    ending: Mutex<Ending>,
    held: Mutex<VecDeque<oneshot::Receiver<()>>>,
    begun: watch::Sender<usize>,
}

#[derive(Debug, Clone)]
struct Row {
    version: u64,
    team: &'static str,
}

/// A load, a call or a commit that waits until this is released or dropped.
pub(super) struct Held(oneshot::Sender<()>);

impl Held {
    pub(super) fn new() -> (Self, oneshot::Receiver<()>) {
        let (release, released) = oneshot::channel();
        (Self(release), released)
    }

    pub(super) fn release(self) {
        // The task that waited may have ended.
        let _gone = self.0.send(());
    }
}

impl Truth {
    pub(super) fn new() -> Arc<Self> {
        Self::at(1)
    }

    /// The truth whose row has this version.
    pub(super) fn at(version: u64) -> Arc<Self> {
        Arc::new(Self {
            row: Mutex::new(Row { version, team: "a" }),
            ending: Mutex::new(Ending::Row),
            held: Mutex::default(),
            begun: watch::Sender::new(0),
        })
    }

    /// Commits a new version without any cache.
    pub(super) fn commit(&self) -> u64 {
        let mut row = self.row.lock().unwrap();
        row.version += 1;
        row.version
    }

    pub(super) fn end_with(&self, ending: Ending) {
        *self.ending.lock().unwrap() = ending;
    }

    /// Holds the next load that is not held yet, after it has read the row.
    pub(super) fn hold_load(&self) -> Held {
        let (held, released) = Held::new();
        self.held.lock().unwrap().push_back(released);
        held
    }

    /// How many loads have begun.
    pub(super) fn loads(&self) -> usize {
        *self.begun.borrow()
    }

    /// Waits until so many loads have begun, which is after they read the row.
    pub(super) async fn begun(&self, loads: usize) {
        let mut begun = self.begun.subscribe();
        soon("a load", begun.wait_for(|begun| *begun >= loads)).await.unwrap();
    }

    async fn load(&self, columns: &[String]) -> Result<Fetched, OriginError> {
        let row = self.row.lock().unwrap().clone();
        let held = self.held.lock().unwrap().pop_front();
        self.begun.send_modify(|begun| *begun += 1);
        if let Some(released) = held {
            // Dropping the hold releases the load too.
            let _released = released.await;
        }
        let ending = *self.ending.lock().unwrap();
        match ending {
            Ending::Row => Ok(Fetched {
                body: Some(row.body()),
                rows: vec![row.texts(columns)],
                ..Fetched::default()
            }),
            Ending::Missing => Ok(Fetched::default()),
            Ending::Failure => Err(OriginError::Unavailable("as the test wants it".into())),
            Ending::Rejection => Err(OriginError::Rejected {
                code: "42703".into(),
                message: "as the test wants it".into(),
            }),
            Ending::Panic => panic!("the loader panics, as the test wants it"),
            Ending::Never => std::future::pending().await,
        }
    }
}

impl Row {
    fn body(&self) -> Bytes {
        json!({ "version": self.version, "team": self.team }).to_string().into()
    }

    /// The canonical texts of these columns in the row.
    fn texts(&self, columns: &[String]) -> Vec<Option<String>> {
        let text = |column: &String| match column.as_str() {
            "version" => Some(self.version.to_string()),
            "team" => Some(self.team.to_owned()),
            _ => None,
        };
        columns.iter().map(text).collect()
    }
}

/// One host's way to the origin (its lane), which counts how many of its loads run at once.
pub(super) struct Lane {
    pub(super) truth: Arc<Truth>,
    running: AtomicUsize,
    most: AtomicUsize,
}

struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Lane {
    pub(super) fn new(truth: &Arc<Truth>) -> Arc<Self> {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { truth: Arc::clone(truth), running, most })
    }

    /// The read of the item, over this lane.
    pub(super) fn reading(self: Arc<Self>, definition: &Arc<Definition>) -> CacheRead {
        CacheRead::new(Arc::clone(definition), vec![Value::from(1)], self)
    }

    /// The most loads that ran at once.
    pub(super) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Loader for Lane {
    async fn load(
        &self,
        _: &[Value],
        columns: &[String],
        _: Duration,
    ) -> Result<Fetched, OriginError> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        let _running = Running(&self.running);
        self.most.fetch_max(running, Ordering::SeqCst);
        self.truth.load(columns).await
    }
}

struct Open(Arc<Truth>);

#[async_trait]
impl Transaction for Open {
    async fn commit(self: Box<Self>) -> Result<(), CommitError> {
        self.0.commit();
        Ok(())
    }
}

/// The origin for writes through a cache; reads go through [`Lane`].
pub(super) struct Writes(pub(super) Arc<Truth>);

#[async_trait]
impl Origin for Writes {
    async fn load(
        &self,
        _read: &ReadStatement,
        _values: &[Value],
        _columns: &[String],
        _deadline: Duration,
    ) -> Result<Fetched, OriginError> {
        Err(OriginError::Unavailable("not asked in these tests".into()))
    }

    async fn query(
        &self,
        _read: &ReadStatement,
        _values: &[Value],
        _deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError> {
        Err(OriginError::Unavailable("not asked in these tests".into()))
    }

    async fn execute(
        &self,
        _write: &WriteStatement,
        _values: &[Value],
        columns: &[String],
        _deadline: Duration,
    ) -> Result<Uncommitted, OriginError> {
        let returned = vec![self.0.row.lock().unwrap().texts(columns)];
        let transaction = Box::new(Open(Arc::clone(&self.0)));
        Ok(Uncommitted { rows: 1, returned, missing: vec![], xid: None, transaction })
    }

    async fn prepare_read(&self, _read: &ReadStatement) -> Result<Prepared, OriginError> {
        Ok(Prepared::default())
    }

    async fn prepare_write(&self, _write: &WriteStatement) -> Result<Prepared, OriginError> {
        Ok(Prepared::default())
    }

    async fn reads_from(&self, _read: &ReadStatement) -> Result<Footprint, OriginError> {
        Ok(Footprint::default())
    }

    async fn changes(&self, _write: &WriteStatement) -> Result<Changes, OriginError> {
        Ok(Changes::default())
    }

    async fn ping(&self) -> Result<(), OriginError> {
        Ok(())
    }

    async fn has_ended(&self, _xid: Xid) -> Result<bool, OriginError> {
        Ok(true)
    }

    async fn identity(&self) -> Result<OriginIdentity, OriginError> {
        Ok(IDENTITY)
    }

    fn last_identity(&self) -> Option<OriginIdentity> {
        Some(IDENTITY)
    }

    fn kind(&self) -> &'static str {
        "truth"
    }
}
