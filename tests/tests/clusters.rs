//! Clusters of the harness: that scenarios can rely on what is done to their nodes and slots.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use corral_tests::servers::{Cluster, Edition, Failover, eventually, is_alive};

/// Long enough for a busy machine; only reached when a test fails.
const SOON: Duration = Duration::from_secs(60);
/// A key and its slot.
const KEY: (&str, u16) = ("foo", 12_182);

#[tokio::test]
async fn a_cluster_serves_and_is_gone_when_it_is_dropped_even_frozen() {
    let mut cluster = Cluster::start(3, 1).await.unwrap();
    assert_eq!(cluster.primaries().await.unwrap(), [0, 1, 2]);
    assert_eq!(cluster.replicas_of(0).await.unwrap(), [3]);
    assert_eq!(cluster.slot(KEY.0).await.unwrap(), KEY.1);
    assert_eq!(cluster.primary_of(KEY.1).await.unwrap(), 2);
    set(&cluster, 2, "here").await.unwrap();
    let moved = set(&cluster, 0, "elsewhere").await.unwrap_err();
    let place = format!("{} 127.0.0.1:{}", KEY.1, cluster.port(2));
    assert!(format!("{moved:#}").contains(&place), "{moved:#}");
    let ports: Vec<String> =
        (0..4).map(|index| format!("127.0.0.1:{}", cluster.port(index))).collect();
    assert_eq!(cluster.url(), format!("redis+cluster://{}", ports.join(",")));

    cluster.restart(1).await.unwrap();
    cluster.until_settled().await.unwrap();
    cluster.freeze(1).unwrap();
    assert_eq!(cluster.answering(), [0, 2, 3]);
    cluster.thaw(1).unwrap();
    cluster.until_settled().await.unwrap();
    cluster.freeze(1).unwrap();
    let pids: Vec<u32> = (0..4).map(|index| cluster.node(index).pid().unwrap()).collect();
    assert!(pids.iter().copied().all(is_alive));
    drop(cluster);
    assert!(!pids.into_iter().any(is_alive));
}

#[tokio::test]
async fn replicas_take_over_by_order_and_when_their_primary_is_dead() {
    let mut cluster = Cluster::start(3, 3).await.unwrap();
    for (how, index) in [(Failover::Plain, 3), (Failover::Force, 0), (Failover::Takeover, 3)] {
        cluster.failover(index, how).await.unwrap();
        cluster.until_settled().await.unwrap();
        assert_eq!(cluster.primary_of(0).await.unwrap(), index, "{how:?}");
    }
    cluster.kill(3);
    cluster.until_primary(0).await.unwrap();
    cluster.restart(3).await.unwrap();
    cluster.until_settled().await.unwrap();
    assert_eq!(cluster.replicas_of(0).await.unwrap(), [3]);
}

#[tokio::test]
async fn a_slot_moves_step_by_step_and_nodes_come_and_go() {
    let mut cluster = Cluster::start(2, 0).await.unwrap();
    let keys = ["a{foo}", "b{foo}"];
    for key in keys {
        cluster.say(1, &["SET", key, "value"]).await.unwrap();
    }
    cluster.begin_move(KEY.1, 1, 0).await.unwrap();
    assert_eq!(cluster.move_keys(KEY.1, 1, 0, 1).await.unwrap(), 1);
    let both = ["EXISTS", keys[0], keys[1]];
    // Redis 6.2 sends a client on even for the key that is still here.
    let split = cluster.say(1, &both).await.unwrap_err();
    let expected = if Edition::chosen().unwrap() == Edition::Redis6 { "Ask" } else { "TryAgain" };
    assert!(format!("{split:#}").contains(expected), "{split:#}");
    cluster.finish_move(KEY.1, 1, 0).await.unwrap();
    cluster.until_settled().await.unwrap();
    assert_eq!(cluster.primary_of(KEY.1).await.unwrap(), 0);
    assert_eq!(cluster.say(0, &both).await.unwrap(), redis::Value::Int(2));

    cluster.begin_move(KEY.1, 0, 1).await.unwrap();
    cluster.cancel_move(KEY.1, 0, 1).await.unwrap();

    let third = cluster.add_node(None).await.unwrap();
    cluster.move_slots([0, KEY.1], third).await.unwrap();
    assert_eq!(cluster.say(third, &both).await.unwrap(), redis::Value::Int(2));
    cluster.rebalance(&[(third, 0.01)]).await.unwrap();
    let slots: usize = cluster.view(third).await.unwrap().runs().map(|run| run.len()).sum();
    assert!((80..=83).contains(&slots), "{slots}");
    cluster.rebalance(&[(third, 0.0)]).await.unwrap();
    let heir = cluster.primary_of(KEY.1).await.unwrap();
    assert_eq!(cluster.say(heir, &both).await.unwrap(), redis::Value::Int(2));
    cluster.remove_node(third).await.unwrap();
    assert_eq!(cluster.primaries().await.unwrap(), [0, 1]);
}

#[tokio::test]
async fn a_divided_cluster_has_two_primaries_and_replication_can_be_withheld() {
    let args = ["--cluster-require-full-coverage", "no"];
    let cluster = Cluster::start_divisible(3, 1, &args).await.unwrap();
    let (old, new) = (0, 3);
    cluster.withhold_replication(new, true).unwrap();
    cluster.say(old, &["SET", "{06S}", "withheld"]).await.unwrap();
    let both =
        [cluster.node(old).offset().await.unwrap(), cluster.node(new).offset().await.unwrap()];
    assert!(both[0] > both[1], "{both:?}");

    cluster.divide(&[old]).unwrap();
    cluster.until_primary(new).await.unwrap();
    assert!(cluster.view(old).await.unwrap().is_primary);
    assert_eq!(cluster.primaries().await.unwrap(), [0, 1, 2, 3]);

    cluster.unite().unwrap();
    eventually("the old primary follows the new one", SOON, || async {
        Ok((!cluster.view(old).await?.is_primary).then_some(()))
    })
    .await
    .unwrap();
    cluster.until_settled().await.unwrap();
}

async fn set(cluster: &Cluster, index: usize, value: &str) -> anyhow::Result<()> {
    cluster.say(index, &["SET", KEY.0, value]).await.map(drop)
}
