//! One host: the real cache over the common store and rows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corral_host::cache::{
    Breaker, Cache, CacheEffect, CacheParts, CacheRead, Definition, Invalidated, Invalidation,
    LoadLimit, RuntimeClock, Standing, SystemEntropy, Via, WriteCall,
};
use corral_host::config::{EntityConfig, Param};
use corral_host::observe::Metrics;
use corral_host::origin::{ParamType, ReadStatement, Rows as Many, Value, WriteStatement};
use corral_host::policy::{self, Argument, Configuration, Slot};
use corral_host::store::{Prefix, SingleNode, Store, StoreTag};
use corral_tests::declared;
use corral_tests::native::{Native, named};
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::rows::{RowLoader, Rows, Writing};
use super::store::Shared;

/// A host serves after this time even if its store has not answered.
const FIRST_BEAT: Duration = Duration::from_millis(250);

/// The deadline of reads and writes of a row.
const DEADLINE: Duration = Duration::from_secs(3);

/// What a host is configured with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// The form of its answers.
    pub(super) form: u32,
    /// What distinguishes this definition of the entity from another one.
    pub(super) statement: &'static str,
    pub(super) ttl: Duration,
    /// The deadline of another entity, which is never read.
    pub(super) longest_deadline: Duration,
}

/// How a row is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    Invalidate,
    Through,
}

pub(super) struct Host {
    pub(super) number: usize,
    terms: Terms,
    pub(super) cache: Arc<Cache>,
    began: Instant,
    rows: Arc<Rows>,
    item: Arc<Definition>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Host {
    /// Starts; returns when it answers requests.
    pub(super) async fn start(
        store: &Arc<Shared>,
        rows: &Arc<Rows>,
        number: usize,
        terms: Terms,
    ) -> Arc<Self> {
        let prefix = Prefix::default();
        let define = |entity| Definition::new(Arc::new(entity), &prefix);
        let item = define(entity("item", terms.statement, terms.ttl, DEADLINE));
        let patient = define(entity("patient", "", terms.ttl, terms.longest_deadline));
        let configuration = configured(terms.ttl);
        let policy = Native::try_new(&configuration).unwrap();
        let cache = Arc::new(Cache::new(CacheParts {
            store: Arc::new(SingleNode::new(Arc::clone(store) as Arc<dyn Store>)),
            prefix,
            definitions: vec![Arc::clone(&item), patient],
            origin: None,
            slot: Arc::new(Slot::native(named(Arc::new(policy), configuration))),
            metrics: Arc::new(Metrics::new(["item", "patient"])),
            entropy: Arc::new(SystemEntropy),
            clock: Arc::new(RuntimeClock::default()),
            loads: LoadLimit { at_once: 100, is_shared: false },
            near_bytes: 0,
        }));
        let began = Instant::now();
        let tasks = keep(&cache);
        // It serves whether the beat came in time or not.
        let _in_time = timeout(FIRST_BEAT, cache.judged()).await;
        Arc::new(Self { number, terms, cache, began, rows: Arc::clone(rows), item, tasks })
    }

    /// Ends like a service: running work may end, and the host leaves the list of hosts.
    pub(super) async fn stop(&self) {
        while !self.cache.is_idle() {
            sleep(Duration::from_millis(1)).await;
        }
        self.cache.leave().await;
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    /// Makes the read of a row, whenever it is called.
    fn reading(&self, row: u32) -> impl Fn() -> CacheRead + Send + Sync + 'static {
        let (rows, item) = (Arc::clone(&self.rows), Arc::clone(&self.item));
        let form = self.terms.form;
        move || {
            let loader = Arc::new(RowLoader { rows: Arc::clone(&rows), row, form });
            CacheRead::new(Arc::clone(&item), vec![Value::from(i64::from(row))], loader)
        }
    }

    /// Reads a row; whether it was a hit. A wrong answer is recorded as a complaint.
    pub(super) async fn read(&self, row: u32) -> bool {
        let floor = self.rows.floor(self.number, row);
        let answer = match self.cache.read(self.reading(row)()).await {
            Ok(answer) => answer,
            Err(error) => {
                self.rows.complain(format!("row {row} was not read: {error}"));
                return false;
            }
        };
        let body: Json = serde_json::from_slice(&answer.body.unwrap_or_default()).unwrap();
        self.rows.judge(row, floor, &body);
        if body["form"] != self.terms.form {
            let form = self.terms.form;
            self.rows.complain(format!("{body} was read of row {row}, not form {form}"));
        }
        answer.via == Via::Store
    }

    /// Writes a row; `None` if the write failed, which is recorded as a complaint.
    pub(super) async fn write(&self, row: u32, way: Way) -> Option<CacheEffect> {
        let version = Arc::default();
        let call = self.writing(row, way, Arc::clone(&version));
        match self.cache.write(call).await {
            Ok(wrote) => {
                let pending = wrote.cache == CacheEffect::Pending;
                let version = *version.lock().unwrap();
                self.rows.acknowledge(self.number, row, version, pending);
                Some(wrote.cache)
            }
            Err(error) => {
                self.rows.complain(format!("row {row} was not written: {error}"));
                None
            }
        }
    }

    fn writing(&self, row: u32, way: Way, version: Arc<Mutex<u64>>) -> WriteCall {
        let write = match way {
            Way::Invalidate => "put",
            Way::Through => "through",
        };
        let (rows, reading) = (Arc::clone(&self.rows), self.reading(row));
        WriteCall {
            definition: Arc::clone(&self.item),
            entity: "item".to_owned(),
            write: write.to_owned(),
            arguments: vec![Argument { name: "id".to_owned(), value: Some(row.to_string()) }],
            statement: Arc::new(WriteStatement { sql: String::new(), params: vec![] }),
            values: vec![],
            needs: vec![],
            origin: Arc::new(Writing { rows, row, version }),
            deadline: DEADLINE,
            resolve: Arc::new(move |_| Some(reading())),
        }
    }

    /// Invalidates a tag as an operator does; whether that was carried out.
    pub(super) async fn invalidate_tag(&self, tag: &str) -> bool {
        let tags = vec![StoreTag::try_new(tag).unwrap()];
        let invalidation = Invalidation { tags, ..Invalidation::default() };
        self.cache.invalidate(invalidation).await.is_ok_and(|how| how != Invalidated::Pending)
    }

    /// Whether a balancer would send requests to it.
    fn is_ready(&self) -> bool {
        let standing = self.standing();
        standing.store == Breaker::Closed && !standing.is_new
    }

    /// Waits until it is ready; returns how long after the host's start that was.
    pub(super) async fn ready(&self) -> Duration {
        while !self.is_ready() {
            sleep(Duration::from_millis(1)).await;
        }
        self.began.elapsed()
    }

    /// Reads a row until it is a hit; returns how long after the host's start that was.
    pub(super) async fn first_hit(&self, row: u32) -> Duration {
        while !self.read(row).await {
            sleep(Duration::from_millis(1)).await;
        }
        self.began.elapsed()
    }

    pub(super) fn standing(&self) -> Standing {
        self.cache.standing()
    }
}

/// Starts the tasks that run for as long as the host.
fn keep(cache: &Arc<Cache>) -> Vec<JoinHandle<()>> {
    let (trusting, listing, carrying) = (Arc::clone(cache), Arc::clone(cache), Arc::clone(cache));
    vec![
        tokio::spawn(async move { trusting.keep_trust().await }),
        tokio::spawn(async move { listing.keep_listed().await }),
        tokio::spawn(async move { carrying.carry_out_intents().await }),
    ]
}

/// The policy's configuration, without jitter, so that every load was necessary.
fn configured(ttl: Duration) -> Configuration {
    let terms = policy::Terms {
        negative_ttl_ms: 30_000,
        ..policy::Terms::of_query(ttl.as_millis() as u32)
    };
    let mut item = declared::entity("item", &["id"], &["team:{row.team}"], terms);
    item.writes = vec![
        declared::write("put", &["id"], policy::Way::Removed, &["item(id)"]),
        declared::write("through", &["id"], policy::Way::Refreshed, &["item(id)"]),
    ];
    let patient = declared::entity("patient", &["id"], &[], terms);
    declared::configuration(vec![item, patient], json!({ "jitter": 0, "early_refresh": 0 }))
}

fn entity(name: &str, statement: &str, ttl: Duration, deadline: Duration) -> EntityConfig {
    let ty = "int8".parse::<ParamType>().unwrap();
    let read = ReadStatement { sql: statement.to_owned(), params: vec![ty], rows: Many::One };
    EntityConfig {
        name: name.to_owned(),
        params: vec![Param { name: "id".to_owned(), ty }],
        read: Some(read),
        rows: Many::One,
        ttl,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        negative_ttl: Duration::ZERO,
        tags: vec![],
        depends: vec![],
        deadline,
        load_limit: deadline,
        cache_control: None,
        near: Duration::ZERO,
        writes: BTreeMap::new(),
    }
}
