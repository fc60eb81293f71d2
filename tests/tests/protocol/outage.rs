//! A store that is down, and what must happen before it is trusted again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corral_host::cache::{Breaker, CacheEffect, Invalidated, Via, Why};
use corral_tests::servers::until;

use super::host::{Host, Reading, version, versions};
use super::scripted::{Fault, Op};
use super::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn without_its_store_a_host_loads_a_key_once_at_a_time() {
    let world = World::default();
    let host = world.host().await;
    host.store.stop();
    let load = world.truth.hold_load();
    let first = host.spawn_read();
    world.truth.begun(1).await;
    let crowd: Vec<Reading> = (0..100).map(|_| host.spawn_read()).collect();
    until("the crowd to join", async || host.coalesced() == 100).await;
    load.release();
    let answer = first.await.unwrap().unwrap();
    assert_eq!((version(&answer), answer.via), (1, Via::Uncached(Why::StoreUnavailable)));
    assert!(versions(crowd).await.iter().all(|version| *version == 1));
    // The crowd came during a load that can't be proven current, so it shares the next load.
    assert_eq!((world.truth.loads(), host.lane.most_at_once()), (2, 1));
}

#[tokio::test]
async fn a_store_that_failed_once_is_left_alone_until_a_beat_is_answered() {
    let world = World::default();
    let host = world.host().await;
    host.store.stop();
    assert_eq!(host.read().await, 1);
    let (probe, beats) = (host.store.hold(Op::Beat), host.store.calls(Op::Beat));
    host.store.called(Op::Beat, beats + 1).await;
    assert_eq!(host.standing(), (Breaker::Open, 0));
    let calls = host.store.all_calls();
    for _ in 0..50 {
        assert_eq!(host.read().await, 1);
    }
    assert_eq!(host.store.all_calls(), calls, "a store that is not trusted was asked");
    host.store.start();
    probe.release();
    host.until_trusted().await;
    assert_eq!((host.read().await, world.stored().await), (1, Some(1)));
}

/// A write is acknowledged as pending while the store is down; then the store comes back. Returns
/// the version that was acknowledged and the oldest version that was read after that.
async fn read_after_an_outage(world: &World, host: &Host) -> (u64, u64) {
    assert_eq!(host.read().await, 1);
    host.store.stop();
    let wrote = host.write("put").await.unwrap();
    assert_eq!(wrote.cache, CacheEffect::Pending);
    let acknowledged = 2;
    let mut oldest = host.read().await;
    host.store.start();
    let trusted = Arc::new(AtomicBool::new(false));
    let reading = async {
        while !trusted.load(Ordering::SeqCst) {
            oldest = oldest.min(host.read().await);
            tokio::task::yield_now().await;
        }
    };
    let recovering = async {
        host.until_trusted().await;
        trusted.store(true, Ordering::SeqCst);
    };
    tokio::join!(reading, recovering);
    oldest = oldest.min(host.read().await);
    assert_eq!(host.standing(), (Breaker::Closed, 0));
    assert!(world.truth.loads() > 1);
    (acknowledged, oldest)
}

#[tokio::test]
async fn what_is_paid_too_late_after_its_beat_is_owed_still() {
    let world = World::default();
    let host = world.host().await;
    host.store.stop();
    assert_eq!(host.write("put").await.unwrap().cache, CacheEffect::Pending);
    let (paid, before) = (host.store.hold(Op::Remove), host.store.calls(Op::Remove));
    host.store.start();
    host.store.called(Op::Remove, before + 1).await;
    // Longer than a beat counts, so the node may have been replaced meanwhile.
    host.clock.pass(Duration::from_millis(1_100));
    paid.release();
    host.store.called(Op::Remove, before + 2).await;
    host.until_trusted().await;
    assert_eq!(host.standing(), (Breaker::Closed, 0));
}

#[tokio::test]
async fn what_a_store_has_missed_is_carried_out_before_it_is_trusted_again() {
    let world = World::default();
    let host = world.host().await;
    let (acknowledged, oldest) = read_after_an_outage(&world, &host).await;
    assert_eq!(oldest, acknowledged);
    assert_eq!(world.host().await.read().await, acknowledged);
}

#[tokio::test]
async fn the_check_of_outages_notices_a_store_that_forgets_what_it_missed() {
    let world = World::default();
    let host = world.faulty_host(Fault::ForgetsInvalidations).await;
    let (acknowledged, oldest) = read_after_an_outage(&world, &host).await;
    assert!(oldest < acknowledged, "nothing stale was read");
}

#[tokio::test]
async fn a_store_that_answers_beats_and_no_invalidations_is_not_trusted() {
    let world = World::default();
    let host = world.host().await;
    assert_eq!(host.read().await, 1);
    host.store.stop();
    assert_eq!(host.write("put").await.unwrap().cache, CacheEffect::Pending);
    let invalidation = host.store.hold(Op::Remove);
    let calls = host.store.calls(Op::Remove);
    host.store.start();
    host.store.called(Op::Remove, calls + 1).await;
    for _ in 0..20 {
        assert_eq!(host.read().await, 2);
    }
    assert_eq!(host.standing(), (Breaker::Open, 1));
    assert_eq!(world.stored().await, Some(1));
    invalidation.release();
    host.until_trusted().await;
    assert_eq!((world.stored().await, host.read().await), (None, 2));
}

#[tokio::test]
async fn invalidations_of_a_long_outage_are_all_kept() {
    let world = World::default();
    let host = world.host().await;
    host.store.stop();
    for number in 1..=40 {
        let tag = format!("t{number}");
        assert_eq!(host.invalidate_tag(&tag).await, Invalidated::Pending);
        assert_eq!(host.standing().1, number);
    }
    let calls = host.store.calls(Op::Walk);
    host.store.start();
    host.until_trusted().await;
    assert_eq!(host.store.calls(Op::Walk), calls + 1, "they are paid in one go");
    assert_eq!(host.store.invalidated_tags(), 40);
    assert_eq!(host.standing(), (Breaker::Closed, 0));
}

#[tokio::test]
async fn a_load_from_before_an_outage_does_not_fill_after_a_write_during_it() {
    let world = World::default();
    let host = world.host().await;
    let load = world.truth.hold_load();
    let early = host.spawn_read();
    world.truth.begun(1).await;
    host.store.stop();
    assert_eq!(host.write("put").await.unwrap().cache, CacheEffect::Pending);
    host.store.start();
    host.until_trusted().await;
    let late = host.join().await;
    load.release();
    assert_eq!(versions(vec![early, late]).await, [1, 2]);
    assert_eq!((host.rejected(), world.stored().await), (1, Some(2)));
}

#[tokio::test]
async fn a_write_through_to_a_store_that_is_gone_is_pending() {
    let world = World::default();
    let host = world.host().await;
    assert_eq!(host.read().await, 1);
    host.store.stop();
    assert_eq!(host.write("refresh").await.unwrap().cache, CacheEffect::Pending);
    host.store.start();
    host.until_trusted().await;
    assert_eq!(host.read().await, 2);
}

#[tokio::test]
async fn a_store_that_goes_away_between_lease_and_fill_costs_no_answer() {
    let world = World::default();
    let host = world.host().await;
    for op in [Op::Claim, Op::Index, Op::Fill] {
        let held = host.store.hold(op);
        let calls = host.store.calls(op);
        let reading = host.spawn_read();
        host.store.called(op, calls + 1).await;
        host.store.stop();
        held.release();
        assert_eq!(versions(vec![reading]).await, [1], "{op:?}");
        host.store.start();
        host.until_trusted().await;
        host.invalidate_tag("item:1").await;
    }
}
