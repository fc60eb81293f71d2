//! The changes that the simulated store reports: which connection asked for reports of which key,
//! and the reports (*words*) on their way. Reports over one connection arrive in their order, and
//! before every answer that was sent after them. If a connection breaks, everything on its way is
//! lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use corral_host::store::{Listener, Name};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::protection::Protection;
use super::told::Told;
use super::weather::Way;
use super::world::World;

/// How often a report that is held up looks whether it may go on.
const HELD_UP: Duration = Duration::from_millis(5);

/// A host that thaws reads the reports that came meanwhile within this many milliseconds, not
/// before everything else.
const READS_WITHIN_MS: u64 = 5;

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A key's value.
    Key(Name),
    /// Everything: the store was emptied.
    All,
}

/// Which connections asked for reports of which key.
#[derive(Default)]
pub(super) struct Tracking {
    asked: BTreeMap<Name, BTreeSet<usize>>,
    wires: Vec<Option<Sender>>,
}

#[derive(Clone)]
struct Sender {
    words: mpsc::UnboundedSender<Word>,
    sent: Arc<AtomicU64>,
    /// The node at the other end.
    node: usize,
}

struct Word {
    change: Change,
    arrives: Instant,
}

/// A host's end of a connection. Reports come until it is dropped.
pub(super) struct Wire {
    number: usize,
    sent: Arc<AtomicU64>,
    heard: Arc<Told<u64>>,
    delivery: tokio::task::JoinHandle<()>,
}

/// The listeners in a host.
pub(super) struct Ears {
    world: Arc<World>,
    pub(super) host: usize,
    listeners: Mutex<Vec<Weak<dyn Listener>>>,
    /// Keys with a tracked get on its way, and how many.
    awaited: Mutex<BTreeMap<Name, usize>>,
}

impl Tracking {
    /// Has the next change of `key` reported over the wire of this number.
    pub(super) fn ask(&mut self, wire: usize, key: &Name) {
        if self.wires.get(wire).is_some_and(Option::is_some) {
            self.asked.entry(key.clone()).or_default().insert(wire);
        }
    }

    /// Reports a change in a node over the wires that asked for it, each with a delay of its own.
    pub(super) fn tell(&mut self, node: usize, change: &Change, delay: impl Fn() -> Duration) {
        let wires = &self.wires;
        let is_here =
            |wire: &usize| wires[*wire].as_ref().is_some_and(|sender| sender.node == node);
        let mut told = BTreeSet::new();
        match change {
            Change::Key(key) => {
                if let Some(asked) = self.asked.get_mut(key) {
                    told = asked.extract_if(.., |wire| is_here(wire)).collect();
                }
            }
            Change::All => {
                told = (0..wires.len()).filter(is_here).collect();
                for asked in self.asked.values_mut() {
                    asked.retain(|wire| !is_here(wire));
                }
            }
        }
        for wire in told {
            if let Some(Some(sender)) = self.wires.get(wire) {
                let word = Word { change: change.clone(), arrives: Instant::now() + delay() };
                sender.sent.fetch_add(1, Ordering::Relaxed);
                let _gone = sender.words.send(word);
            }
        }
    }

    fn forget(&mut self, wire: usize) {
        self.wires[wire] = None;
        self.asked.retain(|_, asked| {
            asked.remove(&wire);
            !asked.is_empty()
        });
    }
}

impl Wire {
    /// Opens a connection of a host to a node. Needs a runtime.
    pub(super) fn open(world: &Arc<World>, ears: &Arc<Ears>, node: usize) -> Self {
        let (words, arriving) = mpsc::unbounded_channel();
        let (sent, heard) = (Arc::new(AtomicU64::new(0)), Arc::new(Told::default()));
        let mut tracking = world.tracking();
        let number = tracking.wires.len();
        tracking.wires.push(Some(Sender { words, sent: Arc::clone(&sent), node }));
        drop(tracking);
        let delivery = tokio::spawn(deliver(Arc::clone(ears), arriving, Arc::clone(&heard)));
        Self { number, sent, heard, delivery }
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The reports that an answer sent now has to wait for; `None` if none is on its way.
    pub(super) fn sent_before(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let sent = self.sent.load(Ordering::Relaxed);
        if self.heard.get() >= sent {
            return None;
        }
        let heard = Arc::clone(&self.heard);
        Some(async move { heard.wait_for(|heard| heard >= sent).await })
    }

    /// Breaks the connection: reports on their way are lost, and no more are sent.
    pub(super) fn cut(self, world: &World) {
        self.delivery.abort();
        // Answers no longer wait for reports that a broken connection does not deliver.
        self.heard.change(|heard| *heard = u64::MAX);
        world.tracking().forget(self.number);
    }
}

async fn deliver(
    ears: Arc<Ears>,
    mut arriving: mpsc::UnboundedReceiver<Word>,
    heard: Arc<Told<u64>>,
) {
    while let Some(Word { change, arrives }) = arriving.recv().await {
        sleep_until(arrives).await;
        loop {
            let way = ears.world.weather().link(ears.host);
            match way {
                Way::Open => break,
                Way::Slow(more) => {
                    sleep(more).await;
                    break;
                }
                Way::Refuses | Way::Frozen => sleep(HELD_UP).await,
            }
        }
        ears.thawed().await;
        ears.world.remark(|| format!("host {} hears of {change:?}", ears.host));
        ears.hear(&change);
        heard.change(|heard| *heard += 1);
    }
}

impl Ears {
    pub(super) fn new(world: &Arc<World>, host: usize) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            host,
            listeners: Mutex::default(),
            awaited: Mutex::default(),
        })
    }

    /// Waits until the host is not frozen, and a moment more: a host that thaws does not read
    /// reports at once.
    pub(super) async fn thawed(&self) {
        while self.world.pauses.is_frozen(self.host) {
            self.world.pauses.over(self.host).await;
            sleep(self.world.chance.millis(0, READS_WITHIN_MS)).await;
        }
    }

    pub(super) fn add(&self, listener: Weak<dyn Listener>) {
        self.listeners().push(listener);
    }

    /// A report came, or the host itself made the change.
    pub(super) fn hear(&self, change: &Change) {
        match change {
            Change::All => self.all_changed(),
            Change::Key(key) => {
                let lacks = |protection| self.world.lacks(protection);
                let overtaken = self.awaited().contains_key(key);
                if lacks(Protection::NearHearsOfChanges)
                    || (lacks(Protection::NearLooksBeforeItKeeps) && overtaken)
                {
                    return;
                }
                self.tell(|listener| listener.changed(key.as_str()));
            }
        }
    }

    /// Reports may have been lost.
    pub(super) fn all_changed(&self) {
        self.tell(|listener| listener.all_changed());
    }

    /// Notes that a tracked get of `key` is on its way, until the result is dropped.
    pub(super) fn await_answer(self: &Arc<Self>, key: &Name) -> Awaited {
        *self.awaited().entry(key.clone()).or_default() += 1;
        Awaited { ears: Arc::clone(self), key: key.clone() }
    }

    fn tell(&self, word: impl Fn(&dyn Listener)) {
        let listeners = self.listeners();
        listeners.iter().filter_map(Weak::upgrade).for_each(|listener| word(&*listener));
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Weak<dyn Listener>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn awaited(&self) -> MutexGuard<'_, BTreeMap<Name, usize>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tracked get on its way.
pub(super) struct Awaited {
    ears: Arc<Ears>,
    key: Name,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let mut awaited = self.ears.awaited();
        if let Some(count) = awaited.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                awaited.remove(&self.key);
            }
        }
    }
}
