//! One schedule: a fleet in a climate, its disturbances, the rest at its end, and the verdict.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use corral_host::store::Epoch;
use tokio::runtime::Builder;
use tokio::time::sleep;

use super::chance::Chance;
use super::checker::{self, Violation};
use super::client;
use super::climate::Climate;
use super::history::{Entry, Event, RequestId};
use super::host::{CONFIGURATIONS, Host, Terms};
use super::protection::Protection;
use super::trouble::{self, trouble};
use super::truth::{ITEMS, Subject, TEAMS};
use super::weather::Weather;
use super::world::World;

/// How often the simulator looks whether every commit has ended.
const LOOK: Duration = Duration::from_millis(500);

/// A schedule to simulate.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scene {
    /// The seed, which determines everything.
    pub seed: u64,
    /// A protection to switch off.
    pub missing: Option<Protection>,
    /// Whether to keep remarks for a reader, beside what the checker needs.
    pub detailed: bool,
}

/// The result of a schedule.
pub struct Outcome {
    /// Its climate.
    pub climate: Climate,
    /// Requests of clients.
    pub requests: usize,
    /// Operations that reached the store.
    pub store_operations: u64,
    /// The broken promises.
    pub violations: Vec<Violation>,
    /// How many promises were broken in a climate that evicts indexes, marks, intents or the range,
    /// which is outside the promise.
    pub outside: usize,
    /// What happened.
    pub entries: Vec<Entry>,
}

impl Scene {
    /// Whether switching the protection off can change the run.
    #[must_use]
    pub fn is_worth_running(&self) -> bool {
        let climate = Climate::draw(&Chance::new(self.seed));
        self.missing.is_none_or(|missing| missing.matters_in(&climate))
    }

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
        let deaths = tokio::spawn(trouble::deaths(Arc::clone(&world), Arc::clone(&fleet)));
        for client in clients {
            client.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        }
        trouble.abort();
        deaths.abort();
        rest(&world, &fleet).await;
        let history = world.take_history();
        let violations = checker::check(climate.promises(), &history);
        Outcome {
            climate,
            requests: fleet.requests.load(Ordering::Relaxed),
            store_operations: world.operations(),
            violations: if climate.volatile { Vec::new() } else { violations.clone() },
            outside: if climate.volatile { violations.len() } else { 0 },
            entries: history.into_entries(),
        }
    }
}

/// The hosts, each in its present life.
pub(super) struct Fleet {
    hosts: Mutex<Vec<Arc<Host>>>,
    /// The terms on which each host starts.
    terms: Mutex<Vec<Terms>>,
    lives: AtomicUsize,
    requests: AtomicUsize,
    /// Whether each life had a pending invalidation at the last look.
    owing: Mutex<Vec<bool>>,
}

impl Fleet {
    fn start(world: &Arc<World>) -> Self {
        let number = world.climate.hosts;
        let configuration = |_| match world.climate.configurations {
            true => world.chance.below(CONFIGURATIONS),
            false => 0,
        };
        let terms: Vec<Terms> = (0..number)
            .map(|number| Terms { naming: 1, configuration: configuration(number) })
            .collect();
        let host = |number: usize| Host::start(world, number, number, terms[number]);
        Self {
            hosts: Mutex::new((0..number).map(host).collect()),
            terms: Mutex::new(terms),
            lives: AtomicUsize::new(number),
            requests: AtomicUsize::new(0),
            owing: Mutex::new(vec![false; number]),
        }
    }

    fn hosts(&self) -> MutexGuard<'_, Vec<Arc<Host>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A host that lives; successive calls return them in turn. `None` if no host lives.
    pub(super) fn any_living(&self) -> Option<Arc<Host>> {
        let hosts = self.hosts();
        let first = self.requests.load(Ordering::Relaxed);
        let turn = (0..hosts.len()).map(|n| &hosts[(first + n) % hosts.len()]);
        turn.into_iter().find(|host| !host.is_dead()).cloned()
    }

    pub(super) fn next_request(&self) -> RequestId {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes which hosts have no pending invalidations any more.
    pub(super) fn note_drained(&self, world: &World) {
        let mut owing = self.owing.lock().unwrap_or_else(PoisonError::into_inner);
        for host in self.hosts().iter().filter(|host| !host.is_dead()) {
            let owes = host.owes();
            if std::mem::replace(&mut owing[host.life], owes) && !owes {
                world.note(Event::Drained { life: host.life });
            }
        }
    }

    pub(super) fn disconnect(&self, host: usize) {
        self.hosts()[host].disconnect();
    }

    fn terms(&self) -> MutexGuard<'_, Vec<Terms>> {
        self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a host another configuration from its next start on.
    pub(super) fn configure(&self, host: usize, configuration: usize) {
        self.terms()[host].configuration = configuration;
    }

    /// The naming that a host has.
    pub(super) fn naming(&self, host: usize) -> u32 {
        self.hosts()[host].naming()
    }

    /// Puts a naming in force on a host, now and at every later start.
    pub(super) fn swap(&self, host: usize, naming: u32) {
        self.terms()[host].naming = naming;
        self.hosts()[host].swap(naming);
    }

    pub(super) fn kill(&self, world: &World, number: usize) {
        self.note_drained(world);
        let host = Arc::clone(&self.hosts()[number]);
        if !host.is_dead() {
            world.note(Event::Crashed { host: number, life: host.life });
            host.kill();
        }
    }

    pub(super) fn restart(&self, world: &Arc<World>, number: usize) {
        if self.hosts()[number].is_dead() {
            let life = self.lives.fetch_add(1, Ordering::Relaxed);
            self.owing.lock().unwrap_or_else(PoisonError::into_inner).push(false);
            world.remark(|| format!("host {number} starts (life {life})"));
            let terms = self.terms()[number];
            let host = Host::start(world, number, life, terms);
            self.hosts()[number] = host;
        }
    }
}

/// Ends every disturbance, waits, and reads everything once more through every host.
async fn rest(world: &Arc<World>, fleet: &Arc<Fleet>) {
    *world.weather() = Weather::clear(world.climate.hosts);
    world.pauses.end();
    world.note(Event::OriginBack);
    for node in &mut world.nodes().all {
        node.full = false;
    }
    revive(world);
    trouble::heal(world);
    for number in 0..world.climate.hosts {
        fleet.restart(world, number);
    }
    while world.truth().transactions().any_committing() {
        sleep(LOOK).await;
    }
    for host in 0..world.climate.hosts {
        world.pauses.over(host).await;
    }
    sleep(trouble::settling(world)).await;
    fleet.note_drained(world);
    world.note(Event::AtRest);
    let hosts = fleet.hosts().clone();
    for host in hosts {
        let of_teams = (0..TEAMS).flat_map(|id| [Subject::Team(id), Subject::Roster(id)]);
        for subject in (0..ITEMS).map(Subject::Item).chain(of_teams) {
            client::read(world, fleet, &host, subject, false).await;
        }
    }
}

/// Brings back a node that was down when the disturbances ended.
fn revive(world: &World) {
    let epoch = Epoch(world.chance.number());
    let mut nodes = world.nodes();
    let node = nodes.serving();
    if !node.up {
        (node.up, node.epoch) = (true, epoch);
        drop(nodes);
        world.note(Event::Replaced);
    }
}
