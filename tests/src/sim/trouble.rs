//! The disturbances of a fleet while clients use it.

use std::sync::Arc;
use std::time::Duration;

use corral_host::store::Epoch;
use tokio::time::sleep;

use super::history::Event;
use super::host::CONFIGURATIONS;
use super::nodes::{Node, Shown};
use super::schedule::Fleet;
use super::shelf::Shelf;
use super::weather::Way;
use super::world::World;

/// How many namings one schedule has.
const NAMINGS: u32 = 8;

/// By how many milliseconds clocks are set.
const STEPS_MS: [i64; 6] = [-3_600_000, -60_000, -5_000, 5_000, 60_000, 3_600_000];

/// How often and how many times the simulator looks whether a lease was lost.
const LOOK: Duration = Duration::from_millis(5);
const LOOKS: u32 = 400;

/// A disturbance.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Store,
    Link,
    Eviction,
    Flush,
    Empty,
    Full,
    Restart,
    Failover,
    Step,
    Pause,
    Origin,
    Break,
    Crash,
    Swap,
    Configuration,
    Lose,
}

/// Makes disturbances until it is ended.
pub(super) async fn trouble(world: Arc<World>, fleet: Arc<Fleet>) {
    let possible = possible(&world);
    if possible.is_empty() {
        return;
    }
    loop {
        sleep(world.chance.millis(0, 300)).await;
        let host = world.chance.below(world.climate.hosts);
        match world.chance.one_of(&possible) {
            Trouble::Store => disturb(&world, "the store", |weather| &mut weather.store).await,
            Trouble::Link => {
                let of = format!("the link of host {host}");
                disturb(&world, &of, |weather| &mut weather.links[host]).await;
            }
            Trouble::Origin => {
                world.note(Event::OriginDisturbed);
                disturb(&world, "the origin", |weather| &mut weather.origin).await;
                world.note(Event::OriginBack);
            }
            Trouble::Eviction => evict(&world),
            Trouble::Flush => flush(&world),
            Trouble::Empty => {
                sleep(world.chance.millis(1_000, 2_000)).await;
                flush(&world);
                // A host that starts now has never known the namings of the others.
                if world.chance.percent(70) {
                    fleet.kill(&world, host);
                    fleet.restart(&world, host);
                }
            }
            Trouble::Full => {
                world.remark(|| "the store is out of memory".to_owned());
                at_serving(&world, |node| node.full = true);
                sleep(world.chance.millis(5, 800)).await;
                at_serving(&world, |node| node.full = false);
                world.remark(|| "the store has memory again".to_owned());
            }
            Trouble::Restart => restart(&world).await,
            Trouble::Failover => fail_over(&world, &fleet).await,
            Trouble::Step => {
                let by_ms = world.chance.one_of(&STEPS_MS);
                world.remark(|| format!("the clock of the node is set by {by_ms} ms"));
                world.note(Event::Stepped);
                let now_ms = world.now_ms();
                at_serving(&world, |node| {
                    node.offset_ms += by_ms;
                    // What has expired by the new clock is removed for good: a server removes it
                    // after a while, asked or not.
                    node.shelf.expire(now_ms.saturating_add_signed(node.offset_ms));
                });
            }
            Trouble::Pause => {
                world.freeze(host, world.chance.millis(100, 10_000));
                // Other hosts go on meanwhile, for a bounded time.
                sleep(world.chance.millis(0, 2_000)).await;
            }
            Trouble::Break => fleet.disconnect(host),
            Trouble::Crash => {
                fleet.kill(&world, host);
                sleep(world.chance.millis(0, 500)).await;
                fleet.restart(&world, host);
            }
            Trouble::Swap => swap(&world, &fleet, host),
            Trouble::Configuration => {
                let configuration = world.chance.below(CONFIGURATIONS);
                fleet.kill(&world, host);
                fleet.configure(host, configuration);
                fleet.restart(&world, host);
            }
            Trouble::Lose => {
                let draw = world.chance.below(64);
                world.remark(|| "the store evicts what is no value".to_owned());
                at_serving(&world, |node| node.shelf.lose(draw));
            }
        }
    }
}

/// Kills doomed hosts, and starts them again later; goes on until it is ended.
pub(super) async fn deaths(world: Arc<World>, fleet: Arc<Fleet>) {
    loop {
        let host = world.next_doomed().await;
        fleet.kill(&world, host);
        sleep(world.chance.millis(0, 500)).await;
        fleet.restart(&world, host);
    }
}

fn possible(world: &World) -> Vec<Trouble> {
    let climate = world.climate;
    let possible = [
        (climate.outages, Trouble::Store),
        (climate.outages, Trouble::Link),
        (climate.evictions, Trouble::Eviction),
        (climate.evictions, Trouble::Eviction),
        (climate.evictions, Trouble::Flush),
        (climate.emptied, Trouble::Empty),
        (climate.refusals, Trouble::Full),
        (climate.restarts, Trouble::Restart),
        (climate.failovers, Trouble::Failover),
        (climate.steps, Trouble::Step),
        (climate.pauses && climate.long_pauses, Trouble::Pause),
        (climate.origin_faults, Trouble::Origin),
        (climate.breaks, Trouble::Break),
        (climate.crashes && climate.sudden_crashes, Trouble::Crash),
        (climate.swaps, Trouble::Swap),
        (climate.configurations, Trouble::Configuration),
        (climate.volatile, Trouble::Lose),
    ];
    possible.into_iter().filter_map(|(may, trouble)| may.then_some(trouble)).collect()
}

async fn disturb(world: &World, what: &str, of: impl Fn(&mut super::weather::Weather) -> &mut Way) {
    let lasts = world.chance.millis(5, 800);
    let slow = Way::Slow(world.chance.millis(5, 120));
    let way = world.chance.one_of(&[Way::Refuses, Way::Frozen, Way::Frozen, slow]);
    world.remark(|| format!("{what}: {way:?}"));
    *of(&mut world.weather()) = way;
    sleep(lasts).await;
    *of(&mut world.weather()) = Way::Open;
    world.remark(|| format!("{what}: open"));
}

fn at_serving(world: &World, change: impl FnOnce(&mut Node)) {
    let serving = world.nodes().serving;
    let _down = world.at_node(serving, None, |node, _| change(node));
}

fn flush(world: &World) {
    world.remark(|| "the store is flushed".to_owned());
    at_serving(world, |node| node.shelf.flush());
}

fn evict(world: &World) {
    let draw = (world.chance.percent(50), world.chance.below(usize::MAX));
    at_serving(world, |node| {
        let (values, leases) = node.shelf.names();
        if !values.is_empty() && (leases.is_empty() || draw.0) {
            node.shelf.remove_value(&values[draw.1 % values.len()]);
        } else if !leases.is_empty() {
            node.shelf.remove_lease(&leases[draw.1 % leases.len()]);
        }
    });
    world.remark(|| "a value or a lease is evicted".to_owned());
}

/// What the serving node holds now, or held before it lost a lease under which a host loads; the
/// flag is `true` in the latter case.
async fn snapshot(world: &World) -> (usize, Shelf, bool) {
    let serving = {
        let mut nodes = world.nodes();
        nodes.serving().shelf.want_loss();
        nodes.serving
    };
    let waits = if world.climate.hot > 0 { 80 } else { 30 };
    let looks = if world.chance.percent(waits) { LOOKS } else { 0 };
    for _ in 0..looks {
        sleep(LOOK).await;
        if let Some(before) = world.nodes().all[serving].shelf.take_before_loss() {
            return (serving, before, true);
        }
    }
    (serving, world.nodes().all[serving].shelf.clone(), false)
}

/// The node crashes and comes back with what it held a while before.
async fn restart(world: &World) {
    let (serving, snapshot, is_chosen) = snapshot(world).await;
    let seldom = !is_chosen && world.chance.percent(50);
    sleep(world.chance.millis(1, if seldom { 3_000 } else { 100 })).await;
    world.remark(|| "the node crashes".to_owned());
    {
        let mut nodes = world.nodes();
        let node = &mut nodes.all[serving];
        (node.up, node.life) = (false, node.life + 1);
    }
    sleep(world.chance.millis(0, if seldom { 500 } else { 20 })).await;
    world.note(Event::Replaced);
    let epoch = Epoch(world.chance.number());
    let mut nodes = world.nodes();
    let node = &mut nodes.all[serving];
    (node.up, node.epoch, node.shelf) = (true, epoch, snapshot);
}

/// What becomes of the node before the promoted one.
#[derive(Debug, Clone, Copy)]
enum Old {
    /// It is dead.
    Dies,
    /// It lives, and so do the connections to it: the name was moved.
    Lives,
    /// It lives together with one host, cut off from all others.
    CutOff,
    /// It follows the promoted node, and answers reads.
    Follows,
}

/// A replica that lags behind takes the node's place.
async fn fail_over(world: &World, fleet: &Fleet) {
    let old = world.chance.one_of(&[Old::Dies, Old::Lives, Old::CutOff, Old::Follows]);
    if world.chance.percent(50) {
        // Time for the first fence to end and for the node to get values.
        sleep(world.chance.millis(0, 7_000)).await;
    }
    let (before, replica) = {
        let mut nodes = world.nodes();
        let (before, now) = (nodes.serving, world.elapsed());
        if matches!(old, Old::CutOff) {
            nodes.serving().replicas = Shown::SilentSince(now);
        }
        (before, nodes.serving().shelf.clone())
    };
    sleep(world.chance.millis(1, 2_000)).await;
    if world.climate.pauses && world.chance.percent(80) {
        // The frozen host sees nothing of the fence, nor of what is written after it.
        let host = world.chance.below(world.climate.hosts);
        world.freeze(host, world.chance.millis(4_000, 9_000));
    }
    world.remark(|| format!("a replica is promoted; the old node: {old:?}"));
    world.note(Event::Replaced);
    let (epoch, other) = (Epoch(world.chance.number()), Epoch(world.chance.number()));
    let stays = world.chance.below(world.climate.hosts);
    {
        let mut nodes = world.nodes();
        let promoted = nodes.all.len();
        let offset_ms = nodes.all[before].offset_ms;
        nodes.all.push(Node { offset_ms, ..Node::new(replica, epoch, Shown::Something) });
        nodes.serving = promoted;
        let old_node = &mut nodes.all[before];
        match old {
            Old::Dies => (old_node.up, old_node.life) = (false, old_node.life + 1),
            Old::Lives => old_node.replicas = Shown::Nothing,
            Old::CutOff => {}
            Old::Follows => (old_node.follows, old_node.epoch) = (true, other),
        }
        let cut_off = matches!(old, Old::CutOff);
        for (host, route) in nodes.routes.iter_mut().enumerate() {
            if !(cut_off && host == stays) {
                *route = promoted;
            }
        }
    }
    // If the old node lives, some connections to it break.
    for host in 0..world.climate.hosts {
        if matches!(old, Old::Lives) && world.chance.percent(50) {
            fleet.disconnect(host);
        }
    }
    // Time for the fence, and some time under the new node.
    sleep(world.chance.millis(0, 10_000)).await;
    if matches!(old, Old::CutOff) {
        heal(world);
    }
}

/// Every address leads to the node that serves.
pub(super) fn heal(world: &World) {
    let mut nodes = world.nodes();
    let serving = nodes.serving;
    nodes.routes.fill(serving);
}

/// Puts another naming in force on one host, or the one before.
fn swap(world: &World, fleet: &Fleet, host: usize) {
    let naming = match fleet.naming(host) {
        naming if naming > 1 && (naming == NAMINGS || world.chance.percent(50)) => naming - 1,
        naming => naming + 1,
    };
    world.remark(|| format!("naming {naming} is in force on host {host}"));
    fleet.swap(host, naming);
}

/// How long everything takes that follows the last disturbance: beats, the fence, debts and
/// intents, and loads that the origin has lost.
pub(super) fn settling(world: &World) -> Duration {
    let seconds = if world.climate.forgets_nothing() { 6 } else { 10 };
    Duration::from_secs(seconds).max(world.climate.load_limit())
}
