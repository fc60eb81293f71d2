//! One schedule: a fleet under a climate, its disturbances, its end at rest, and the verdict.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::sleep;

use super::chance::Chance;
use super::checker::{self, Violation};
use super::client;
use super::climate::Climate;
use super::history::{Entry, Event, RequestId};
use super::host::Host;
use super::protection::Protection;
use super::truth::{ITEMS, Subject, TEAMS};
use super::weather::{Way, Weather};
use super::world::World;

/// Namings in one schedule: invalidations cover so many, and a host warns when it forgets one.
const NAMINGS: u32 = 8;

/// After the last disturbance: time for probes, pending invalidations, commits in doubt and intents.
const REST: Duration = Duration::from_secs(6);

/// What to simulate.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scene {
    /// Everything follows from it.
    pub seed: u64,
    /// A protection to do without.
    pub missing: Option<Protection>,
    /// Keep remarks for a person, not only what the checker needs.
    pub detailed: bool,
}

/// What came of a schedule.
pub struct Outcome {
    /// What it was like.
    pub climate: Climate,
    /// Requests of clients.
    pub requests: usize,
    /// Operations that reached the store.
    pub store_operations: u64,
    /// What the checker objects to.
    pub violations: Vec<Violation>,
    /// What happened.
    pub entries: Vec<Entry>,
}

impl Scene {
    /// Runs the schedule.
    ///
    /// # Panics
    /// When the system has no memory for a runtime.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a runtime of one thread needs memory and nothing else")]
    pub fn run(self) -> Outcome {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime of one thread");
        runtime.block_on(self.play())
    }

    async fn play(self) -> Outcome {
        let chance = Chance::new(self.seed);
        let climate = Climate::draw(&chance);
        let world = Arc::new(World::new(climate, chance, self.missing, self.detailed));
        let fleet = Arc::new(Fleet::start(&world));
        let clients: Vec<_> = (0..climate.clients)
            .map(|_| tokio::spawn(client::run(Arc::clone(&world), Arc::clone(&fleet))))
            .collect();
        let trouble = tokio::spawn(trouble(Arc::clone(&world), Arc::clone(&fleet)));
        for client in clients {
            client.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        }
        trouble.abort();
        rest(&world, &fleet).await;
        let history = world.take_history();
        Outcome {
            climate,
            requests: fleet.requests.load(Ordering::Relaxed),
            store_operations: world.operations(),
            violations: checker::check(climate.promises(), &history),
            entries: history.into_entries(),
        }
    }
}

/// The hosts, each in its present life.
pub(super) struct Fleet {
    hosts: Mutex<Vec<Arc<Host>>>,
    lives: AtomicUsize,
    requests: AtomicUsize,
    /// Lives that had something pending when last looked at.
    owing: Mutex<Vec<bool>>,
}

impl Fleet {
    fn start(world: &Arc<World>) -> Self {
        let number = world.climate.hosts;
        let host = |number| Host::start(world, number, number, world.naming());
        Self {
            hosts: Mutex::new((0..number).map(host).collect()),
            lives: AtomicUsize::new(number),
            requests: AtomicUsize::new(0),
            owing: Mutex::new(vec![false; number]),
        }
    }

    fn hosts(&self) -> MutexGuard<'_, Vec<Arc<Host>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A host that lives; clients come to each of them in turn.
    pub(super) fn any_living(&self) -> Option<Arc<Host>> {
        let hosts = self.hosts();
        let first = self.requests.load(Ordering::Relaxed);
        let turn = (0..hosts.len()).map(|n| &hosts[(first + n) % hosts.len()]);
        turn.into_iter().find(|host| !host.is_dead()).cloned()
    }

    pub(super) fn next_request(&self) -> RequestId {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes which hosts have nothing pending any more.
    pub(super) fn note_drained(&self, world: &World) {
        let mut owing = self.owing.lock().unwrap_or_else(PoisonError::into_inner);
        for host in self.hosts().iter().filter(|host| !host.is_dead()) {
            let owes = host.pending() > 0;
            if std::mem::replace(&mut owing[host.life], owes) && !owes {
                world.note(Event::Drained { life: host.life });
            }
        }
    }

    fn kill(&self, world: &World, number: usize) {
        self.note_drained(world);
        let host = Arc::clone(&self.hosts()[number]);
        if !host.is_dead() {
            world.note(Event::Crashed { host: number, life: host.life });
            host.kill();
        }
    }

    fn restart(&self, world: &Arc<World>, number: usize) {
        if self.hosts()[number].is_dead() {
            let life = self.lives.fetch_add(1, Ordering::Relaxed);
            self.owing.lock().unwrap_or_else(PoisonError::into_inner).push(false);
            world.remark(|| format!("host {number} starts (life {life})"));
            let host = Host::start(world, number, life, world.naming());
            self.hosts()[number] = host;
        }
    }
}

/// What may happen to a fleet.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Store,
    Link,
    Eviction,
    Flush,
    FailOver,
    Origin,
    Break,
    Crash,
    Swap,
}

async fn trouble(world: Arc<World>, fleet: Arc<Fleet>) {
    let climate = world.climate;
    let possible: Vec<Trouble> = [
        (climate.outages, Trouble::Store),
        (climate.outages, Trouble::Link),
        (climate.evictions, Trouble::Eviction),
        (climate.evictions, Trouble::Eviction),
        (climate.evictions, Trouble::Flush),
        (climate.failovers, Trouble::FailOver),
        (climate.origin_faults, Trouble::Origin),
        (climate.breaks, Trouble::Break),
        (climate.crashes, Trouble::Crash),
        (climate.swaps, Trouble::Swap),
    ]
    .into_iter()
    .filter_map(|(possible, trouble)| possible.then_some(trouble))
    .collect();
    if possible.is_empty() {
        return;
    }
    loop {
        sleep(world.chance.millis(0, 300)).await;
        let host = world.chance.below(climate.hosts);
        let lasts = world.chance.millis(5, 800);
        let way = world.chance.one_of(&[
            Way::Refuses,
            Way::Frozen,
            Way::Frozen,
            Way::Slow(world.chance.millis(5, 120)),
        ]);
        match world.chance.one_of(&possible) {
            Trouble::Store => {
                world.remark(|| format!("the store: {way:?}"));
                world.weather().store = way;
                sleep(lasts).await;
                world.weather().store = Way::Open;
                world.remark(|| "the store: open".to_owned());
            }
            Trouble::Link => {
                world.remark(|| format!("the link of host {host}: {way:?}"));
                world.weather().links[host] = way;
                sleep(lasts).await;
                world.weather().links[host] = Way::Open;
                world.remark(|| format!("the link of host {host}: open"));
            }
            Trouble::Eviction => evict(&world),
            Trouble::Flush => {
                world.remark(|| "the store is flushed".to_owned());
                world.shelf().flush();
                world.publish();
            }
            Trouble::FailOver => {
                let replica = world.shelf().clone();
                sleep(world.chance.millis(1, 200)).await;
                world.note(Event::FailedOver);
                *world.shelf() = replica;
                fleet.hosts().iter().for_each(|host| host.disconnect());
            }
            Trouble::Origin => {
                world.remark(|| format!("the origin: {way:?}"));
                world.weather().origin = way;
                sleep(lasts).await;
                world.weather().origin = Way::Open;
                world.remark(|| "the origin: open".to_owned());
            }
            Trouble::Break => fleet.hosts()[host].disconnect(),
            Trouble::Crash => {
                fleet.kill(&world, host);
                sleep(world.chance.millis(0, 500)).await;
                fleet.restart(&world, host);
            }
            Trouble::Swap => swap(&world, &fleet),
        }
    }
}

fn evict(world: &World) {
    let mut shelf = world.shelf();
    let (values, leases) = shelf.names();
    if !values.is_empty() && (leases.is_empty() || world.chance.percent(50)) {
        let key = &values[world.chance.below(values.len())];
        shelf.remove_value(key);
        world.remark(|| format!("the value of {key} is evicted"));
    } else if !leases.is_empty() {
        let key = &leases[world.chance.below(leases.len())];
        shelf.remove_lease(key);
        world.remark(|| format!("the lease of {key} is evicted"));
    }
    drop(shelf);
    world.publish();
}

/// All hosts at one moment, as a fleet has to: to a new naming, or back to the one before.
fn swap(world: &World, fleet: &Fleet) {
    let naming = match world.naming() {
        naming if naming > 1 && (naming == NAMINGS || world.chance.percent(50)) => naming - 1,
        naming => naming + 1,
    };
    world.set_naming(naming);
    world.remark(|| format!("naming {naming} is in force"));
    for host in fleet.hosts().iter() {
        host.swap(naming);
    }
}

/// Ends every disturbance, waits, and reads everything once more through every host.
async fn rest(world: &Arc<World>, fleet: &Arc<Fleet>) {
    *world.weather() = Weather::clear(world.climate.hosts);
    for number in 0..world.climate.hosts {
        fleet.restart(world, number);
    }
    sleep(REST).await;
    fleet.note_drained(world);
    world.note(Event::AtRest);
    let hosts = fleet.hosts().clone();
    for host in hosts {
        for subject in (0..ITEMS).map(Subject::Item).chain((0..TEAMS).map(Subject::Team)) {
            client::read(world, fleet, &host, subject, false).await;
        }
    }
}
