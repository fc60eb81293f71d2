//! How many loads a crowd costs.

use std::time::Duration;

use corral_host::cache::Via;
use corral_tests::servers::until;
use futures_util::FutureExt;

use super::host::{Host, Reading, go_away, versions};
use super::scripted::Op;
use super::world::{Terms, World, give_back};

const CROWD: usize = 250;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_readers_of_a_cold_key_on_two_hosts_cost_one_load() {
    let world = World::default();
    one_load_serves_two_crowds(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_readers_of_an_expired_key_on_two_hosts_cost_one_load() {
    let world = World::default();
    world.plant(0, -1_000).await;
    one_load_serves_two_crowds(&world).await;
}

async fn one_load_serves_two_crowds(world: &World) {
    let hosts = [world.host().await, world.host().await];
    let load = world.truth.hold_load();
    let mut crowd: Vec<Reading> = Vec::new();
    for host in &hosts {
        crowd.extend((0..CROWD).map(|_| host.spawn_read()));
    }
    world.truth.begun(1).await;
    let all_joined = |host: &Host| host.coalesced() == CROWD as u64 - 1;
    until("both crowds to join", async || hosts.iter().all(all_joined)).await;
    load.release();
    assert!(versions(crowd).await.iter().all(|version| *version == 1));
    assert_eq!(world.truth.loads(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_a_stale_value_is_answered_at_once_and_costs_one_refresh() {
    let terms = Terms { stale_while_revalidate: Duration::from_secs(30), ..Terms::default() };
    let world = World::new(terms);
    world.plant(0, -1_000).await;
    world.truth.commit();
    let hosts = [world.host().await, world.host().await];
    let load = world.truth.hold_load();
    let crowd = hosts.iter().flat_map(|host| (0..CROWD).map(|_| host.spawn_read())).collect();
    // They were answered while the refresh still ran.
    assert!(versions(crowd).await.iter().all(|version| *version == 0));
    world.truth.begun(1).await;
    load.release();
    for host in &hosts {
        host.until_idle().await;
    }
    assert_eq!((hosts[0].read().await, hosts[1].read().await), (2, 2));
    assert_eq!(world.truth.loads(), 1);
}

#[tokio::test]
async fn a_lease_is_renewed_during_a_load_that_is_longer() {
    let terms = Terms { lease: Duration::from_millis(100), ..Terms::default() };
    let world = World::new(terms);
    let (holder, other) = (world.host().await, world.host().await);
    let load = world.truth.hold_load();
    let first = holder.spawn_read();
    world.truth.begun(1).await;
    let second = other.spawn_read();
    until("the other host to meet the lease", async || other.held() > 0).await;
    world.pass(terms.lease * 5).await;
    load.release();
    assert_eq!(versions(vec![first, second]).await, [1, 1]);
    assert_eq!(world.truth.loads(), 1);
    assert!(holder.store.calls(Op::Renew) >= 5, "{} renewals", holder.store.calls(Op::Renew));
}

#[tokio::test]
async fn a_lease_whose_holder_died_is_taken_by_one_waiter() {
    let world = World::default();
    let hosts = [world.host().await, world.host().await];
    world.take_lease(Duration::from_millis(200)).await;
    let readings = hosts.iter().flat_map(|host| [host.spawn_read(), host.spawn_read()]).collect();
    assert_eq!(versions(readings).await, [1; 4]);
    assert_eq!(world.truth.loads(), 1);
}

#[tokio::test]
async fn a_waiter_is_woken_by_the_end_of_the_lease_and_not_by_its_time() {
    let world = World::default();
    let host = world.host().await;
    let token = world.take_lease(Duration::from_secs(3_600)).await;
    let reading = host.spawn_read();
    until("the host to meet the lease", async || host.held() > 0).await;
    give_back(&world, token).await;
    assert_eq!(versions(vec![reading]).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_host_never_loads_a_key_twice_at_once() {
    let world = World::default();
    let host = world.host().await;
    let mut readings = Vec::new();
    for round in 1..=50 {
        readings.extend((0..4).map(|_| host.spawn_read()));
        readings.extend((0..2).map(|_| host.spawn_bypass()));
        assert!(host.read().await >= round);
        world.truth.commit();
        host.invalidate_tag("item:1").await;
    }
    versions(readings).await;
    assert!(world.truth.loads() >= 50, "only {} loads", world.truth.loads());
    assert_eq!(host.lane.most_at_once(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_cancel_the_load_for_the_others() {
    let world = World::default();
    let host = world.host().await;
    let load = world.truth.hold_load();
    let first = host.spawn_read();
    world.truth.begun(1).await;
    let second = host.join().await;
    go_away(first).await;
    load.release();
    assert_eq!(versions(vec![second]).await, [1]);
    assert_eq!(world.truth.loads(), 1);
}

#[tokio::test]
async fn when_all_who_waited_for_a_lease_went_away_nobody_loads() {
    let world = World::default();
    let host = world.host().await;
    let token = world.take_lease(Duration::from_secs(3_600)).await;
    let reading = host.spawn_read();
    until("the host to meet the lease", async || host.held() > 0).await;
    go_away(reading).await;
    give_back(&world, token).await;
    host.until_idle().await;
    assert_eq!(world.truth.loads(), 0);
    assert_eq!(host.read().await, 1);
}

#[tokio::test]
async fn a_refresh_that_finds_the_lease_held_leaves_no_reader_without_an_answer() {
    let terms = Terms { stale_while_revalidate: Duration::from_secs(30), ..Terms::default() };
    let world = World::new(terms);
    world.plant(0, -1_000).await;
    let host = world.host().await;
    // On this runtime nothing else runs until the test waits: the refresh has not begun when the
    // value is removed, the lease is taken, and a reader joins the refresh.
    let stale = host.reading().now_or_never().unwrap().unwrap();
    assert_eq!(stale.via, Via::Stale);
    let token = world.take_lease(Duration::from_secs(3_600)).await;
    world.forget_value(token).await;
    let mut reading = Box::pin(host.reading());
    assert!((&mut reading).now_or_never().is_none());
    assert_eq!(host.coalesced(), 1);
    let reading = tokio::spawn(reading);
    until("the flight to meet the lease", async || host.held() > 0).await;
    give_back(&world, token).await;
    assert_eq!(versions(vec![reading]).await, [1]);
}

#[tokio::test]
async fn a_reader_that_joins_late_outlives_the_deadline_of_the_first() {
    let terms = Terms { deadline: Duration::from_secs(2), ..Terms::default() };
    let world = World::new(terms);
    let host = world.host().await;
    let (load, fill) = (world.truth.hold_load(), host.store.hold(Op::Fill));
    let first = host.spawn_read();
    world.truth.begun(1).await;
    world.pass(terms.deadline / 2).await;
    let late = host.join().await;
    load.release();
    host.store.called(Op::Fill, 1).await;
    // The first reader's deadline cuts the fill off; the late reader has a second left.
    assert!(first.await.unwrap().is_err());
    assert_eq!(versions(vec![late]).await, [1]);
    drop(fill);
}
