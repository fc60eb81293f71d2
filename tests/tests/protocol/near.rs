//! Race K within one process: what removes an answer from the near cache, and what that costs.

use std::time::Duration;

use corral_host::cache::{CacheEffect, Invalidated, Via};

use super::host::version;
use super::scripted::Op;
use super::world::{Terms, World, soon};

/// Far longer than any test, so that nothing here ends by its time.
const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_near_hit_asks_neither_policy_nor_store() {
    let world = world();
    let host = world.host().await;
    world.plant(1, 60_000).await;
    assert_eq!(host.read().await, 1);
    let (calls, decisions) = (host.store.all_calls(), host.decisions());
    for _ in 0..100 {
        let answer = host.reading().await.unwrap();
        assert_eq!((version(&answer), answer.via), (1, Via::Near));
    }
    assert_eq!((host.store.all_calls(), host.decisions()), (calls, decisions));
}

#[tokio::test]
async fn without_its_time_there_is_no_near_cache() {
    let world = World::default();
    let host = world.host().await;
    world.plant(1, 60_000).await;
    for _ in 0..3 {
        assert_eq!(host.reading().await.unwrap().via, Via::Store);
    }
}

#[tokio::test]
async fn who_wants_a_fresh_load_is_not_answered_from_it() {
    let world = world();
    let host = world.host().await;
    world.plant(1, 60_000).await;
    host.read().await;
    world.truth.commit();
    let answer = host.spawn_bypass().await.unwrap().unwrap();
    assert_eq!((version(&answer), answer.via), (2, Via::Loaded { stale: false }));
}

#[tokio::test]
async fn a_write_is_read_on_every_host_that_hears_of_it() {
    let world = world();
    let (writer, reader) = (world.host().await, world.host().await);
    for (write, truth) in [("put", 2), ("refresh", 3)] {
        for host in [&writer, &reader] {
            host.read().await;
            host.read().await;
            assert_eq!(host.reading().await.unwrap().via, Via::Near);
        }
        writer.write(write).await.unwrap();
        assert_eq!((writer.read().await, reader.read().await), (truth, truth), "{write}");
    }
}

#[tokio::test]
async fn a_tag_that_only_the_row_knows_ends_it() {
    let world = World::new(Terms { team_tag: true, ..terms() });
    let host = world.host().await;
    host.read().await;
    host.read().await;
    assert_eq!(host.reading().await.unwrap().via, Via::Near);
    world.truth.commit();
    assert_eq!(host.invalidate_tag("team:a").await, Invalidated::Done(1));
    assert_eq!(host.read().await, 2);
}

#[tokio::test]
async fn an_answer_that_word_of_a_change_has_overtaken_is_not_kept() {
    let world = world();
    let (writer, reader) = (world.host().await, world.host().await);
    world.plant(1, 60_000).await;
    let answer = reader.store.hold(Op::Answer);
    let reading = reader.spawn_read();
    reader.store.called(Op::Answer, 1).await;
    writer.write("put").await.unwrap();
    answer.release();
    // It began before the acknowledgement of the write, so the old version is right.
    assert_eq!(version(&soon("the read", reading).await.unwrap().unwrap()), 1);
    assert_eq!(reader.read().await, 2);
}

#[tokio::test]
async fn a_write_whose_invalidation_is_pending_is_read_by_its_own_host() {
    let world = world();
    let host = world.host().await;
    host.read().await;
    host.read().await;
    assert_eq!(host.reading().await.unwrap().via, Via::Near);
    host.store.stop();
    let wrote = host.write("put").await.unwrap();
    assert_eq!(wrote.cache, CacheEffect::Pending);
    assert_eq!(host.read().await, 2);
    host.store.start();
    host.until_trusted().await;
    assert_eq!(host.read().await, 2);
}

#[tokio::test]
async fn while_the_store_is_not_trusted_nothing_is_answered_from_it() {
    let world = world();
    let (host, other) = (world.host().await, world.host().await);
    world.plant(1, 60_000).await;
    host.read().await;
    host.store.stop();
    // Another host writes, which is not reported to this host. A failed beat tells it that reports
    // may be missing.
    host.until_distrusted().await;
    other.write("put").await.unwrap();
    assert_ne!(host.reading().await.unwrap().via, Via::Near);
    assert_eq!(host.read().await, 2);
}

fn terms() -> Terms {
    Terms { near: LONG, ..Terms::default() }
}

fn world() -> World {
    World::new(terms())
}
