//! Writes: what they invalidate, what they refresh, and which of two writes prevails.

use std::sync::Arc;
use std::time::Duration;

use corral_host::cache::{CacheEffect, WriteError};
use corral_host::policy::run::guard::TARGETS_OF_A_ROW;
use corral_host::policy::{Scope, Target, Trap, Way};

use super::host::{Host, versions};
use super::hostile::Fickle;
use super::scripted::{Fault, Op};
use super::truth::Ending;
use super::world::{Terms, World, give_back};

#[tokio::test]
async fn a_write_is_seen_by_every_host_once_it_was_acknowledged() {
    let world = World::default();
    let hosts = [world.host().await, world.host().await];
    for round in 1..20 {
        for host in &hosts {
            assert_eq!(host.read().await, round);
        }
        let wrote = hosts[round as usize % 2].write("put").await.unwrap();
        assert_eq!((wrote.rows, wrote.cache), (1, CacheEffect::Invalidated));
    }
}

#[tokio::test]
async fn a_writer_that_goes_away_after_its_commit_leaves_nothing_stale() {
    let world = World::default();
    let host = world.host().await;
    assert_eq!(host.read().await, 1);
    let invalidation = host.store.hold(Op::Remove);
    let writing = tokio::spawn(host.writing("put"));
    host.store.called(Op::Remove, 1).await;
    writing.abort();
    assert!(writing.await.unwrap_err().is_cancelled());
    invalidation.release();
    host.until_idle().await;
    assert_eq!((world.stored().await, host.read().await), (None, 2));
}

#[tokio::test]
async fn a_write_whose_targets_the_policy_can_not_name_is_rolled_back() {
    let world = World::default();
    let host = world
        .host_with(Arc::new(Fickle {
            invalidate: Some(Box::new(|| {
                Err(Trap { function: "invalidate", reason: "as the test wants it".into() })
            })),
            ..Fickle::over(world.native())
        }))
        .await;
    assert!(matches!(host.write("put").await, Err(WriteError::Undecided)));
    assert_eq!(host.read().await, 1);
}

/// A host whose policy names so many targets for the row of a write, including the item's own tag.
async fn naming(world: &World, targets: usize) -> Host {
    let named = move || -> Result<Vec<Target>, Trap> {
        let others = (1..targets).map(|other| format!("other:{other}"));
        let tags = std::iter::once("item:1".to_owned()).chain(others);
        Ok(tags.map(|tag| Target { scope: Scope::Tag(tag), way: Way::Removed }).collect())
    };
    let policy = Fickle { invalidate: Some(Box::new(named)), ..Fickle::over(world.native()) };
    world.host_with(Arc::new(policy)).await
}

#[tokio::test]
async fn a_write_whose_row_touches_as_much_as_a_policy_may_name_is_acknowledged() {
    let world = World::default();
    let host = naming(&world, TARGETS_OF_A_ROW).await;
    assert_eq!(host.read().await, 1);
    assert_eq!(host.write("put").await.unwrap().cache, CacheEffect::Invalidated);
    assert_eq!((world.stored().await, host.read().await), (None, 2));
    assert_eq!(host.slot.current().counts().refused, 0);
}

#[tokio::test]
async fn a_write_whose_policy_names_one_target_more_is_refused_and_held_against_the_policy() {
    let world = World::default();
    let host = naming(&world, TARGETS_OF_A_ROW + 1).await;
    assert_eq!(host.read().await, 1);
    assert!(matches!(host.write("put").await, Err(WriteError::Undecided)));
    // The row is unchanged, and so is its value in the store.
    assert_eq!(world.stored().await, Some(1));
    assert_eq!(versions(vec![host.spawn_bypass()]).await, [1]);
    let policy = host.slot.current();
    assert_eq!((policy.counts().refused, policy.counts().traps), (1, 0));
    let last = policy.summary().failures;
    assert!(last[0].contains("1025 targets for a change of 1 rows"), "{last:?}");
}

/// A write under a policy that does not know what the write touches, held between its statement and
/// its commit; returns the answer of the next read.
async fn written_while(exchange: impl FnOnce(&World, &Host)) -> u64 {
    let world = World::default();
    let elsewhere = || Target { scope: Scope::Tag("elsewhere".to_owned()), way: Way::Removed };
    let policy = Fickle {
        invalidate: Some(Box::new(move || Ok(vec![elsewhere()]))),
        ..Fickle::over(world.native())
    };
    let host = world.host_with(Arc::new(policy)).await;
    assert_eq!(host.read().await, 1);
    let announcement = host.store.hold(Op::Announce);
    let writing = tokio::spawn(host.writing("put"));
    host.store.called(Op::Announce, 1).await;
    exchange(&world, &host);
    announcement.release();
    writing.await.unwrap().unwrap();
    host.read().await
}

#[tokio::test]
async fn a_write_touches_what_a_policy_says_that_came_into_force_before_its_commit() {
    let newer = written_while(|world, host| host.exchange(Arc::new(world.native()))).await;
    assert_eq!(newer, 2);
}

#[tokio::test]
async fn the_check_of_newer_policies_notices_a_write_that_asks_none() {
    assert_eq!(written_while(|_, _| {}).await, 1);
}

#[tokio::test]
async fn a_write_through_puts_the_written_row_into_the_store() {
    let world = World::default();
    let hosts = [world.host().await, world.host().await];
    assert_eq!(hosts[0].read().await, 1);
    assert_eq!(hosts[0].write("refresh").await.unwrap().cache, CacheEffect::Refreshed);
    assert_eq!(world.stored().await, Some(2));
    assert_eq!(hosts[1].read().await, 2);
    assert_eq!(world.truth.loads(), 2);
}

#[tokio::test]
async fn of_two_write_throughs_the_later_one_wins_whatever_order_their_fills_have() {
    let world = World::default();
    let hosts = [world.host().await, world.host().await];
    let load = world.truth.hold_load();
    let early = tokio::spawn(hosts[0].writing("refresh"));
    world.truth.begun(1).await;
    assert_eq!(hosts[1].write("refresh").await.unwrap().cache, CacheEffect::Refreshed);
    assert_eq!(world.stored().await, Some(3));
    load.release();
    early.await.unwrap().unwrap();
    assert_eq!(world.stored().await, Some(3));
    assert_eq!(hosts[0].rejected(), 1);
}

#[tokio::test]
async fn a_write_through_takes_the_lease_from_a_reader_whose_load_is_older() {
    let world = World::default();
    let host = world.host().await;
    let load = world.truth.hold_load();
    let early = host.spawn_read();
    world.truth.begun(1).await;
    assert_eq!(host.write("refresh").await.unwrap().cache, CacheEffect::Refreshed);
    assert_eq!(host.read().await, 2);
    load.release();
    assert_eq!(versions(vec![early]).await, [1]);
    assert_eq!((host.rejected(), world.stored().await), (1, Some(2)));
}

#[tokio::test]
async fn a_write_through_that_loses_its_lease_leaves_nothing_older_than_the_write() {
    let world = World::default();
    let host = world.host().await;
    assert_eq!(host.read().await, 1);
    let load = world.truth.hold_load();
    let writing = tokio::spawn(host.writing("refresh"));
    world.truth.begun(2).await;
    // The lease was evicted, or ran out while this host was stopped; no other write was made.
    let token = world.take_lease(Duration::from_secs(60)).await;
    give_back(&world, token).await;
    load.release();
    assert_eq!(writing.await.unwrap().unwrap().cache, CacheEffect::Invalidated);
    assert_ne!(world.stored().await, Some(1), "the value of before the write is still there");
    assert_eq!(host.read().await, 2);
}

#[tokio::test]
async fn a_write_through_whose_load_fails_or_panics_is_acknowledged_and_leaves_nothing_old() {
    for ending in [Ending::Failure, Ending::Panic] {
        let world = World::default();
        let host = world.host().await;
        assert_eq!(host.read().await, 1);
        world.truth.end_with(ending);
        assert_eq!(host.write("refresh").await.unwrap().cache, CacheEffect::Invalidated);
        assert_eq!(world.stored().await, None);
        world.truth.end_with(Ending::Row);
        assert_eq!(host.read().await, 2);
    }
}

/// A tag that depends on the row is invalidated while the row is loaded. Returns the version that
/// was acknowledged and the version that is stored.
async fn tag_invalidated_while_loading(world: &World, host: &Host) -> (u64, Option<u64>) {
    let load = world.truth.hold_load();
    let reading = host.spawn_read();
    world.truth.begun(1).await;
    world.truth.commit();
    host.invalidate_tag("team:a").await;
    load.release();
    reading.await.unwrap().unwrap();
    (2, world.stored().await)
}

#[tokio::test]
async fn a_row_whose_tag_was_invalidated_while_it_was_loaded_is_loaded_again() {
    let world = World::new(Terms { team_tag: true, ..Terms::default() });
    let host = world.host().await;
    let (acknowledged, stored) = tag_invalidated_while_loading(&world, &host).await;
    assert_eq!(stored, Some(acknowledged));
    assert_eq!(world.truth.loads(), 2);
}

#[tokio::test]
async fn the_check_of_late_tags_notices_a_store_without_marks() {
    let world = World::new(Terms { team_tag: true, ..Terms::default() });
    let host = world.faulty_host(Fault::NoMark).await;
    let (acknowledged, stored) = tag_invalidated_while_loading(&world, &host).await;
    assert!(stored < Some(acknowledged), "nothing stale was stored");
}

#[tokio::test]
async fn a_tag_that_only_the_row_knows_removes_its_value() {
    let world = World::new(Terms { team_tag: true, ..Terms::default() });
    let hosts = [world.host().await, world.host().await];
    assert_eq!(hosts[0].read().await, 1);
    world.truth.commit();
    hosts[1].invalidate_tag("team:a").await;
    assert_eq!(hosts[0].read().await, 2);
}
