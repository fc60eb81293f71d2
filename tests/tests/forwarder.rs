//! The forwarder and the pooler, tested over real servers: what scenarios rely on.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use corral_tests::forwarder::{Direction, Ending, Fault, Forwarder, Passing, Pooler, Traits};
use corral_tests::servers::{Postgres, Redis, eventually};
use redis::aio::MultiplexedConnection;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, timeout};

/// Long enough for a busy machine; only reached when a test fails.
const SOON: Duration = Duration::from_secs(30);
/// How long a silent server is watched, to see that it does not answer.
const A_MOMENT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn what_is_held_arrives_when_it_is_released() {
    let redis = Redis::start().await.unwrap();
    let way = Forwarder::start(redis.port()).await.unwrap();
    let connection = connect(&way).await;
    for direction in [Direction::Up, Direction::Down] {
        way.hold(direction);
        let mut answer = std::pin::pin!(ping(&connection));
        assert!(timeout(A_MOMENT, answer.as_mut()).await.is_err(), "{direction:?}");
        way.release(direction);
        answer.await.unwrap();
    }
}

#[tokio::test]
async fn a_name_that_moves_leads_new_connections_elsewhere_and_leaves_old_ones_where_they_are() {
    let (old, new) = (Redis::start().await.unwrap(), Redis::start().await.unwrap());
    let name = Forwarder::start(old.port()).await.unwrap();
    let before = connect(&name).await;
    let old_port = port(&before).await;
    name.point_to(new.port());
    let after = connect(&name).await;
    assert_eq!(port(&before).await, old_port);
    assert_ne!(port(&after).await, old_port);
    assert_eq!(name.connections(), 2);
}

#[tokio::test]
async fn connections_are_dealt_to_several_servers_in_turn() {
    let servers = [Redis::start().await.unwrap(), Redis::start().await.unwrap()];
    let ports = [servers[0].port(), servers[1].port()];
    let way = Forwarder::start_with(&ports, Traits::default()).await.unwrap();
    let mut reached = Vec::new();
    for _ in 0..4 {
        reached.push(port(&connect(&way).await).await);
    }
    assert_eq!(reached, [ports[0], ports[1], ports[0], ports[1]]);
}

#[tokio::test]
async fn connections_that_are_cut_end_and_those_that_are_refused_never_begin() {
    let redis = Redis::start().await.unwrap();
    let way = Forwarder::start(redis.port()).await.unwrap();
    let connection = connect(&way).await;
    way.cut();
    eventually("the connection ends", SOON, || async {
        Ok(ping(&connection).await.is_err().then_some(()))
    })
    .await
    .unwrap();
    ping(&connect(&way).await).await.unwrap();
    way.refuse(true);
    assert!(open(&way).await.is_err());
    way.refuse(false);
    ping(&connect(&way).await).await.unwrap();
}

#[tokio::test]
async fn what_is_isolated_hears_of_nothing_not_even_of_an_end() {
    let mut redis = Redis::start().await.unwrap();
    let way = Forwarder::start(redis.port()).await.unwrap();
    let connection = connect(&way).await;
    way.isolate();
    let mut answer = std::pin::pin!(ping(&connection));
    assert!(timeout(A_MOMENT, answer.as_mut()).await.is_err());
    ping(&connect(&way).await).await.unwrap();
    redis.kill();
    assert!(timeout(A_MOMENT, answer.as_mut()).await.is_err());
}

#[tokio::test]
async fn a_slow_way_takes_its_time_in_each_direction() {
    const DELAY: Duration = Duration::from_millis(50);
    let redis = Redis::start().await.unwrap();
    let slow = Traits { delay: DELAY, ..Traits::default() };
    let way = Forwarder::start_with(&[redis.port()], slow).await.unwrap();
    let connection = connect(&way).await;
    let began = Instant::now();
    ping(&connection).await.unwrap();
    assert!(began.elapsed() >= 2 * DELAY, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_narrow_way_is_shared_fairly() {
    let redis = Redis::start().await.unwrap();
    redis.say(&["SET", "large", &"x".repeat(1_000_000)]).await.unwrap();
    redis.say(&["SET", "small", &"x".repeat(400)]).await.unwrap();
    let narrow = Traits { bytes_per_second: Some(2_000_000), ..Traits::default() };
    let way = Forwarder::start_with(&[redis.port()], narrow).await.unwrap();
    let (large, small) = (connect(&way).await, connect(&way).await);
    let began = Instant::now();
    let getting = async {
        get(&large, "large").await;
        began.elapsed()
    };
    let beside = async {
        let asked = async || {
            let gets = redis.info("commandstats", "cmdstat_get").await?;
            Ok(gets.starts_with("calls=").then_some(()))
        };
        eventually("the large one is on its way", SOON, asked).await.unwrap();
        let began = Instant::now();
        get(&small, "small").await;
        began.elapsed()
    };
    let (large, small) = tokio::join!(getting, beside);
    assert!(large >= Duration::from_millis(450), "the large one took {large:?}");
    // If connections did not take turns, the small one would come after the rest of the large one.
    assert!(small < large / 3, "the small one took {small:?}, and the large one {large:?}");
}

#[tokio::test]
async fn a_commit_is_broken_as_it_was_asked_for() {
    let postgres = Postgres::start().await.unwrap();
    postgres.psql("CREATE TABLE t (n bigint)").await.unwrap();
    let pooler = Pooler::start(postgres.port()).await.unwrap();
    let late = Duration::from_millis(300);
    let (mut number, mut there) = (0_i64, Vec::new());
    for ending in [Ending::Fatal, Ending::Panic, Ending::Cut] {
        for passing in [Passing::Never, Passing::Before, Passing::Later(late)] {
            number += 1;
            pooler.break_commit(Fault { ending, passing });
            let told = write(&pooler, number).await.unwrap_err().to_string();
            match ending {
                Ending::Fatal | Ending::Panic => assert!(told.contains("terminating"), "{told}"),
                Ending::Cut => assert!(!told.contains("terminating"), "{told}"),
            }
            let seen = rows(&postgres).await.contains(&number);
            assert_eq!(seen, passing == Passing::Before, "{ending:?} {passing:?}");
            if passing != Passing::Never {
                there.push(number);
            }
        }
    }
    assert_eq!(pooler.broken(), 9);
    eventually("late commits come", SOON, || async {
        Ok((rows(&postgres).await == there).then_some(()))
    })
    .await
    .unwrap();
    write(&pooler, 10).await.unwrap();
}

async fn write(pooler: &Pooler, number: i64) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&pooler.url()).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("INSERT INTO t VALUES ($1)").bind(number).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

async fn rows(postgres: &Postgres) -> Vec<i64> {
    let mut connection = postgres.connect().await.unwrap();
    sqlx::query_scalar("SELECT n FROM t ORDER BY n").fetch_all(&mut connection).await.unwrap()
}

async fn open(way: &Forwarder) -> anyhow::Result<MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(SOON));
    let client = redis::Client::open(way.redis_url())?;
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

async fn connect(way: &Forwarder) -> MultiplexedConnection {
    open(way).await.unwrap()
}

async fn ping(connection: &MultiplexedConnection) -> anyhow::Result<()> {
    Ok(redis::cmd("PING").exec_async(&mut connection.clone()).await?)
}

async fn get(connection: &MultiplexedConnection, key: &str) {
    let mut getting = redis::cmd("GET");
    getting.arg(key).exec_async(&mut connection.clone()).await.unwrap();
}

/// The port on which the server at the other end listens.
async fn port(connection: &MultiplexedConnection) -> u16 {
    let mut asking = redis::cmd("CONFIG");
    asking.arg("GET").arg("port");
    let answer: Vec<String> = asking.query_async(&mut connection.clone()).await.unwrap();
    answer[1].parse().unwrap()
}
