//! The origin: rows whose versions grow with every commit. It records every load, and judges
//! answers by the versions that were acknowledged before their requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use corral_host::cache::Loader;
use corral_host::origin::{
    Changes, CommitError, Fetched, Footprint, Origin, OriginError, OriginIdentity, Prepared,
    ReadStatement, Transaction, Uncommitted, Value, WriteStatement, Xid,
};
use serde_json::{Value as Json, json};
use tokio::time::sleep;

/// How long a load takes.
pub(super) const LOAD: Duration = Duration::from_millis(20);

/// How long a commit takes.
const COMMIT: Duration = Duration::from_millis(1);

/// Number of teams; every row belongs to one of them.
pub(super) const TEAMS: u32 = 4;

/// How many complaints are kept.
const KEPT: usize = 5;

/// A load that a host made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) row: u32,
    /// The form of the configuration that it was loaded under.
    pub(super) form: u32,
}

/// The rows, and everything that was done with them.
#[derive(Default)]
pub(super) struct Rows {
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// Rows that are missing here have version 1.
    versions: BTreeMap<u32, u64>,
    /// The newest version that every host has to know.
    acknowledged: BTreeMap<u32, u64>,
    /// By host and row, the version that this host alone has to know until it owes nothing.
    pending: BTreeMap<(usize, u32), u64>,
    loads: Vec<Load>,
    complaints: Vec<String>,
    stale: usize,
}

impl Rows {
    /// The oldest version that a host may answer from now on.
    pub(super) fn floor(&self, host: usize, row: u32) -> u64 {
        let book = self.book.lock().unwrap();
        let everywhere = book.acknowledged.get(&row).copied().unwrap_or(1);
        everywhere.max(book.pending.get(&(host, row)).copied().unwrap_or(1))
    }

    /// Judges an answer by the floor at the moment of its request.
    pub(super) fn judge(&self, row: u32, floor: u64, body: &Json) {
        let version = body["version"].as_u64().unwrap_or(0);
        if version < floor {
            let mut book = self.book.lock().unwrap();
            book.stale += 1;
            let what = format!("version {version} of row {row} was read, not {floor}");
            complain(&mut book.complaints, what);
        }
    }

    pub(super) fn complain(&self, what: String) {
        complain(&mut self.book.lock().unwrap().complaints, what);
    }

    pub(super) fn acknowledge(&self, host: usize, row: u32, version: u64, pending: bool) {
        let mut book = self.book.lock().unwrap();
        let known = match pending {
            true => book.pending.entry((host, row)).or_default(),
            false => book.acknowledged.entry(row).or_default(),
        };
        *known = version.max(*known);
    }

    /// Notes that a host owes nothing any more.
    pub(super) fn drained(&self, host: usize) {
        let mut book = self.book.lock().unwrap();
        let paid: Vec<_> = book.pending.extract_if(.., |(of, _), _| *of == host).collect();
        for ((_, row), version) in paid {
            let known = book.acknowledged.entry(row).or_default();
            *known = version.max(*known);
        }
    }

    /// The loads since the last call.
    pub(super) fn take_loads(&self) -> Vec<Load> {
        std::mem::take(&mut self.book.lock().unwrap().loads)
    }

    /// How often a row was written.
    pub(super) fn writes(&self, row: u32) -> u64 {
        self.book.lock().unwrap().versions.get(&row).map_or(0, |version| version - 1)
    }

    /// Stale answers, and the first complaints of any kind.
    pub(super) fn verdict(&self) -> (usize, Vec<String>) {
        let book = self.book.lock().unwrap();
        (book.stale, book.complaints.clone())
    }

    /// Gives a row its next version, in the origin.
    pub(super) fn commit(&self, row: u32) -> u64 {
        let mut book = self.book.lock().unwrap();
        let version = book.versions.entry(row).or_insert(1);
        *version += 1;
        *version
    }
}

fn complain(complaints: &mut Vec<String>, what: String) {
    if complaints.len() < KEPT {
        complaints.push(what);
    }
}

/// How a row is loaded under one configuration.
pub(super) struct RowLoader {
    pub(super) rows: Arc<Rows>,
    pub(super) row: u32,
    pub(super) form: u32,
}

#[async_trait]
impl Loader for RowLoader {
    async fn load(
        &self,
        _: &[Value],
        columns: &[String],
        _: Duration,
    ) -> Result<Fetched, OriginError> {
        let Self { rows, row, form } = self;
        let version = {
            let mut book = rows.book.lock().unwrap();
            book.loads.push(Load { row: *row, form: *form });
            book.versions.get(row).copied().unwrap_or(1)
        };
        // Reads when the load begins, so a slow load has an old version.
        sleep(LOAD).await;
        let body = json!({ "version": version, "form": form }).to_string();
        let team = (row % TEAMS).to_string();
        let texts = columns.iter().map(|_team| Some(team.clone())).collect();
        Ok(Fetched { body: Some(body.into()), rows: vec![texts], ..Fetched::default() })
    }
}

/// The origin of one write.
pub(super) struct Writing {
    pub(super) rows: Arc<Rows>,
    pub(super) row: u32,
    /// The version that the commit gave the row.
    pub(super) version: Arc<Mutex<u64>>,
}

struct Open {
    rows: Arc<Rows>,
    row: u32,
    version: Arc<Mutex<u64>>,
}

#[async_trait]
impl Transaction for Open {
    async fn commit(self: Box<Self>) -> Result<(), CommitError> {
        sleep(COMMIT).await;
        *self.version.lock().unwrap() = self.rows.commit(self.row);
        Ok(())
    }
}

fn not_asked<T>() -> Result<T, OriginError> {
    Err(OriginError::Unavailable("not asked in these tests".into()))
}

#[async_trait]
impl Origin for Writing {
    async fn load(
        &self,
        _: &ReadStatement,
        _: &[Value],
        _: &[String],
        _: Duration,
    ) -> Result<Fetched, OriginError> {
        not_asked()
    }

    async fn query(
        &self,
        _: &ReadStatement,
        _: &[Value],
        _: Duration,
    ) -> Result<Option<Bytes>, OriginError> {
        not_asked()
    }

    async fn execute(
        &self,
        _: &WriteStatement,
        _: &[Value],
        _: &[String],
        _: Duration,
    ) -> Result<Uncommitted, OriginError> {
        let Self { rows, row, version } = self;
        let open = Open { rows: Arc::clone(rows), row: *row, version: Arc::clone(version) };
        let (returned, missing) = (vec![], vec![]);
        Ok(Uncommitted { rows: 1, returned, missing, xid: None, transaction: Box::new(open) })
    }

    async fn prepare_read(&self, _: &ReadStatement) -> Result<Prepared, OriginError> {
        not_asked()
    }

    async fn prepare_write(&self, _: &WriteStatement) -> Result<Prepared, OriginError> {
        not_asked()
    }

    async fn reads_from(&self, _: &ReadStatement) -> Result<Footprint, OriginError> {
        not_asked()
    }

    async fn changes(&self, _: &WriteStatement) -> Result<Changes, OriginError> {
        not_asked()
    }

    async fn ping(&self) -> Result<(), OriginError> {
        not_asked()
    }

    async fn has_ended(&self, _: Xid) -> Result<bool, OriginError> {
        not_asked()
    }

    async fn identity(&self) -> Result<OriginIdentity, OriginError> {
        not_asked()
    }

    fn last_identity(&self) -> Option<OriginIdentity> {
        None
    }

    fn kind(&self) -> &'static str {
        "rows"
    }
}
