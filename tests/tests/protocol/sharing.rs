//! Which reads may share an answer: no read is answered with a value older than a write that was
//! acknowledged before the read began.

use std::time::Duration;

use corral_host::cache::{CacheEffect, Via, Why};
use corral_tests::servers::until;

use super::host::{Host, version, versions};
use super::scripted::{Fault, Op};
use super::world::World;

#[tokio::test]
async fn who_joined_before_the_load_began_shares_it_though_its_fill_was_rejected() {
    let world = World::default();
    let host = world.host().await;
    let (claim, load) = (host.store.hold(Op::Claim), world.truth.hold_load());
    let first = host.spawn_read();
    host.store.called(Op::Claim, 1).await;
    let second = host.join().await;
    claim.release();
    world.truth.begun(1).await;
    host.write("put").await.unwrap();
    load.release();
    for reading in [first, second] {
        let answer = reading.await.unwrap().unwrap();
        assert_eq!((version(&answer), answer.via), (1, Via::Uncached(Why::FillRejected)));
    }
    assert_eq!((world.truth.loads(), host.rejected()), (1, 1));
    assert_eq!(world.stored().await, None);
}

/// A write is acknowledged while a load of the version before it runs; then a reader joins that
/// load. Returns the version that was acknowledged and the version that the reader gets.
async fn joined_after_a_write(world: &World, loading: &Host, writing: &Host) -> (u64, u64) {
    let load = world.truth.hold_load();
    let early = loading.spawn_read();
    world.truth.begun(1).await;
    writing.write("put").await.unwrap();
    let late = loading.join().await;
    load.release();
    // This read began before the write, so either version is right.
    assert_eq!(versions(vec![early]).await, [1]);
    (2, versions(vec![late]).await[0])
}

#[tokio::test]
async fn who_joined_after_an_invalidation_gets_the_next_loads_value() {
    let world = World::default();
    let host = world.host().await;
    let (acknowledged, read) = joined_after_a_write(&world, &host, &host).await;
    assert_eq!(read, acknowledged);
    assert_eq!((world.truth.loads(), host.lane.most_at_once()), (2, 1));
    assert_eq!(world.stored().await, Some(2));
}

#[tokio::test]
async fn who_joined_after_an_invalidation_by_another_host_gets_the_next_loads_value() {
    let world = World::default();
    let (loading, writing) = (world.host().await, world.host().await);
    let (acknowledged, read) = joined_after_a_write(&world, &loading, &writing).await;
    assert_eq!(read, acknowledged);
    assert_eq!((world.truth.loads(), loading.lane.most_at_once()), (2, 1));
}

#[tokio::test]
async fn the_check_of_late_readers_notices_a_store_that_accepts_every_fill() {
    let world = World::default();
    let host = world.faulty_host(Fault::FillWithoutLease).await;
    let (acknowledged, read) = joined_after_a_write(&world, &host, &host).await;
    assert!(read < acknowledged, "nothing stale was read");
    assert_eq!(world.stored().await, Some(1));
}

#[tokio::test]
async fn the_check_of_late_readers_notices_a_store_that_forgets_invalidations() {
    let world = World::default();
    let host = world.faulty_host(Fault::ForgetsInvalidations).await;
    let (acknowledged, read) = joined_after_a_write(&world, &host, &host).await;
    assert!(read < acknowledged, "nothing stale was read");
}

#[tokio::test]
async fn a_reader_on_another_host_does_not_wait_for_a_load_that_began_before_the_write() {
    let world = World::default();
    let (slow, other) = (world.host().await, world.host().await);
    let load = world.truth.hold_load();
    let early = slow.spawn_read();
    world.truth.begun(1).await;
    assert_eq!(slow.write("put").await.unwrap().cache, CacheEffect::Invalidated);
    assert_eq!(other.read().await, 2);
    load.release();
    assert_eq!(versions(vec![early]).await, [1]);
    assert_eq!(slow.rejected(), 1);
    assert_eq!((slow.read().await, world.stored().await), (2, Some(2)));
}

#[tokio::test]
async fn late_readers_share_an_accepted_fill() {
    let world = World::default();
    let host = world.host().await;
    let load = world.truth.hold_load();
    let early = host.spawn_read();
    world.truth.begun(1).await;
    let late = [host.join().await, host.join().await];
    load.release();
    let [first, second] = late;
    assert_eq!(versions(vec![early, first, second]).await, [1, 1, 1]);
    assert_eq!(world.truth.loads(), 1);
}

#[tokio::test]
async fn who_comes_after_the_fill_was_sent_takes_part_in_the_next_look() {
    let world = World::default();
    let host = world.host().await;
    let fill = host.store.hold(Op::Fill);
    let early = host.spawn_read();
    host.store.called(Op::Fill, 1).await;
    host.write("put").await.unwrap();
    let late = host.join().await;
    fill.release();
    assert_eq!(versions(vec![early, late]).await, [1, 2]);
    assert_eq!(world.truth.loads(), 2);
}

#[tokio::test]
async fn a_tag_that_the_request_determines_rejects_the_fill_of_a_load_in_progress() {
    let world = World::default();
    let host = world.host().await;
    let load = world.truth.hold_load();
    let early = host.spawn_read();
    world.truth.begun(1).await;
    world.truth.commit();
    host.invalidate_tag("item:1").await;
    let late = host.join().await;
    load.release();
    assert_eq!(versions(vec![early, late]).await, [1, 2]);
    assert_eq!((host.rejected(), world.stored().await), (1, Some(2)));
}

#[tokio::test]
async fn who_asks_for_a_fresh_load_gets_a_value_loaded_after_asking() {
    let world = World::default();
    let host = world.host().await;
    world.plant(0, 60_000).await;
    assert_eq!(host.read().await, 0);
    let answer = host.spawn_bypass().await.unwrap().unwrap();
    assert_eq!((version(&answer), answer.bypass), (1, true));
    assert_eq!((world.truth.loads(), world.stored().await), (1, Some(1)));
}

#[tokio::test]
async fn who_asks_for_a_fresh_load_does_not_share_one_that_began_before() {
    let world = World::default();
    let host = world.host().await;
    let load = world.truth.hold_load();
    let early = host.spawn_read();
    world.truth.begun(1).await;
    // A commit that is not reported to the cache, which is what `no-cache` is for. The clock moves
    // on, so that the beginnings of the load and of the request have different times.
    world.truth.commit();
    world.pass(Duration::from_millis(2)).await;
    let before = host.coalesced();
    let fresh = host.spawn_bypass();
    until("the reader to join", async || host.coalesced() > before).await;
    load.release();
    assert_eq!(versions(vec![early, fresh]).await, [1, 2]);
}

#[tokio::test]
async fn who_asked_for_a_fresh_load_before_the_clock_was_set_back_is_answered_by_the_next_load() {
    let world = World::default();
    let host = world.host().await;
    let load = world.truth.hold_load();
    let early = host.spawn_read();
    world.truth.begun(1).await;
    world.truth.commit();
    world.pass(Duration::from_millis(2)).await;
    let before = host.coalesced();
    let fresh = host.spawn_bypass();
    until("the reader to join", async || host.coalesced() > before).await;
    host.store.set_clock_back(Duration::from_secs(5));
    load.release();
    assert_eq!(versions(vec![early, fresh]).await, [1, 2]);
    assert_eq!(host.store.calls(Op::Claim), 2);
}

/// A reader that joins while the load runs, before a fill that `prepare` arranges; returns the way
/// in which it is answered.
async fn late(prepare: impl FnOnce(&Host)) -> Via {
    let world = World::default();
    let host = world.host().await;
    prepare(&host);
    let load = world.truth.hold_load();
    let first = host.spawn_read();
    world.truth.begun(1).await;
    let late = host.join().await;
    load.release();
    assert_eq!(versions(vec![first]).await, [1]);
    late.await.unwrap().unwrap().via
}

#[tokio::test]
async fn who_joins_late_shares_a_fill_that_the_node_of_the_claim_accepted_and_no_other() {
    assert_eq!(late(|_| {}).await, Via::Loaded { stale: false });
    // The node that answers may be a replaced one whose snapshot had the lease, so the late reader
    // looks again itself.
    assert_eq!(late(|host| host.store.fill_elsewhere()).await, Via::Store);
}
