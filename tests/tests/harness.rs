//! Tests of the harness: that scenarios can rely on it, and that its checks can fail.

use std::future::ready;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use corral_tests::client::{Client, encode};
use corral_tests::servers::{Postgres, Redis, eventually, is_alive};
use corral_tests::shop::{self, Shop};
use corral_tests::trace::{Trace, beside_the_project, tell_of_absence};

/// Long enough for a busy machine; only reached when a test fails.
const SOON: Duration = Duration::from_secs(30);
/// How long a frozen server is watched, to see that it does not answer.
const A_MOMENT: Duration = Duration::from_millis(200);
/// Set in the environment of a test process that is about to be killed.
const DOOMED: &str = "DOOMED_TEST_PROCESS";
/// Comes before the numbers of the processes whose end is to be watched.
const ANNOUNCEMENT: &str = "watch ";

#[tokio::test]
async fn redis_comes_back_with_its_snapshot_on_the_same_port() {
    let mut redis = Redis::start().await.unwrap();
    let (port, first) = (redis.port(), redis.pid().unwrap());
    set(&redis, "saved").await.unwrap();
    redis.save().await.unwrap();
    set(&redis, "lost").await.unwrap();
    redis.kill();
    assert!(!is_alive(first));
    assert!(redis.connect().await.is_err());
    redis.restart().await.unwrap();
    assert_eq!(redis.port(), port);
    assert_ne!(redis.pid(), Some(first));
    assert_eq!(redis.keys("*").await.unwrap(), ["saved"]);
}

#[tokio::test]
async fn redis_is_set_as_debian_sets_it() {
    let redis = Redis::start().await.unwrap();
    for (setting, value) in [("save", "3600 1 300 100 60 10000"), ("appendonly", "no")] {
        assert_eq!(setting_of(&redis, setting).await.unwrap(), value);
    }
}

#[tokio::test]
async fn redis_comes_back_empty_where_that_is_asked_for() {
    let mut redis = Redis::start().await.unwrap();
    let port = redis.port();
    set(&redis, "saved").await.unwrap();
    redis.save().await.unwrap();
    redis.restart_empty().await.unwrap();
    assert_eq!(redis.port(), port);
    assert!(redis.keys("*").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_append_only_file_keeps_everything_but_what_came_after_the_image_of_the_disk() {
    let mut redis = Redis::start_append_only().await.unwrap();
    set(&redis, "on the disk").await.unwrap();
    let image = redis.image().unwrap();
    set(&redis, "with the kernel").await.unwrap();
    redis.kill();
    redis.restart().await.unwrap();
    assert_eq!(redis.keys("*").await.unwrap(), ["on the disk", "with the kernel"]);
    redis.restart_from(&image).await.unwrap();
    assert_eq!(redis.keys("*").await.unwrap(), ["on the disk"]);
}

#[tokio::test]
async fn a_replica_has_what_its_primary_had_and_takes_its_place() {
    let primary = Redis::start().await.unwrap();
    set(&primary, "before").await.unwrap();
    let replica = Redis::start_replica(primary.port()).await.unwrap();
    set(&primary, "after").await.unwrap();
    let goal = primary.offset().await.unwrap();
    eventually("the replica follows", SOON, || async {
        Ok((replica.offset().await? >= goal).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(replica.keys("*").await.unwrap(), ["after", "before"]);
    assert!(set(&replica, "refused").await.is_err());
    replica.promote().await.unwrap();
    set(&replica, "taken").await.unwrap();
}

#[tokio::test]
async fn commits_of_postgres_wait_while_they_are_held_and_nobody_sees_them() {
    let postgres = Postgres::start_replicated().await.unwrap();
    postgres.psql("CREATE TABLE t (n int)").await.unwrap();
    postgres.hold_commits().await.unwrap();
    let write = postgres.psql("INSERT INTO t VALUES (1)");
    let mut write = std::pin::pin!(write);
    assert!(tokio::time::timeout(A_MOMENT, write.as_mut()).await.is_err());
    assert!(postgres.psql("SELECT n FROM t").await.unwrap().is_empty());
    postgres.release_commits().await.unwrap();
    write.await.unwrap();
    assert_eq!(postgres.psql("SELECT n FROM t").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_frozen_redis_answers_only_when_it_is_thawed() {
    let redis = Redis::start().await.unwrap();
    redis.stop().unwrap();
    let setting = set(&redis, "key");
    let mut setting = std::pin::pin!(setting);
    assert!(tokio::time::timeout(A_MOMENT, setting.as_mut()).await.is_err());
    redis.cont().unwrap();
    setting.await.unwrap();
}

#[tokio::test]
async fn redis_takes_arguments() {
    let redis = Redis::start_with(&["--databases", "3"]).await.unwrap();
    assert_eq!(setting_of(&redis, "databases").await.unwrap(), "3");
}

#[tokio::test]
async fn a_key_without_a_lifetime_is_found_among_thousands_that_have_one() {
    let redis = Redis::start().await.unwrap();
    let mut connection = redis.connect().await.unwrap();
    let mut pipeline = redis::pipe();
    for n in 0..5_000 {
        pipeline.cmd("SET").arg(format!("v1:{n}")).arg("value").arg("EX").arg(100).ignore();
    }
    pipeline.exec_async(&mut connection).await.unwrap();
    assert_eq!(redis.keys("v1:*").await.unwrap().len(), 5_000);
    assert!(redis.keys_without_lifetime("*").await.unwrap().is_empty());

    set(&redis, "v1:for ever").await.unwrap();
    set(&redis, "v2:for ever").await.unwrap();
    assert_eq!(redis.keys_without_lifetime("v1:*").await.unwrap(), ["v1:for ever"]);
    assert_eq!(redis.keys_without_lifetime("*").await.unwrap(), ["v1:for ever", "v2:for ever"]);
}

#[tokio::test]
async fn postgres_keeps_what_was_committed_before_it_was_killed() {
    let mut postgres = Postgres::start().await.unwrap();
    let (port, first) = (postgres.port(), postgres.pid().unwrap());
    postgres.psql("CREATE TABLE t (n int); INSERT INTO t VALUES (7), (NULL)").await.unwrap();
    let session = postgres.connect().await.unwrap();
    postgres.kill().await.unwrap();
    assert!(!is_alive(first));
    assert!(postgres.psql("SELECT 1").await.is_err());
    postgres.restart().await.unwrap();
    drop(session);
    assert_eq!(postgres.port(), port);
    let rows = postgres.psql("SELECT n, 'x' FROM t ORDER BY n").await.unwrap();
    let x = Some("x".to_owned());
    assert_eq!(rows, [[Some("7".to_owned()), x.clone()], [None, x]]);
}

#[tokio::test]
async fn a_frozen_postgres_answers_no_session_until_it_is_thawed() {
    let postgres = Postgres::start().await.unwrap();
    let mut session = postgres.connect().await.unwrap();
    postgres.stop().unwrap();
    let answer = sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&mut session);
    let mut answer = std::pin::pin!(answer);
    assert!(tokio::time::timeout(A_MOMENT, answer.as_mut()).await.is_err());
    assert!(tokio::time::timeout(A_MOMENT, postgres.connect()).await.is_err());
    postgres.cont().unwrap();
    assert_eq!(answer.await.unwrap(), 1);
}

#[tokio::test]
async fn the_bound_on_connections_of_postgres_holds() {
    let postgres = Postgres::start_with(17).await.unwrap();
    let rows = postgres.psql("SHOW max_connections").await.unwrap();
    assert_eq!(rows, [[Some("17".to_owned())]]);
}

#[tokio::test]
async fn servers_are_gone_when_they_are_dropped_even_frozen() {
    let redis = Redis::start().await.unwrap();
    let postgres = Postgres::start().await.unwrap();
    let pids = [redis.pid().unwrap(), postgres.pid().unwrap()];
    assert!(pids.into_iter().all(is_alive));
    postgres.stop().unwrap();
    redis.stop().unwrap();
    drop((redis, postgres));
    assert!(!pids.into_iter().any(is_alive));
}

#[tokio::test]
async fn servers_are_gone_when_their_test_panics() {
    let (send, receive) = tokio::sync::oneshot::channel();
    let panicking = tokio::spawn(async move {
        let redis = Redis::start().await.unwrap();
        send.send(redis.pid().unwrap()).unwrap();
        panic!("as a failing test does");
    });
    let pid = receive.await.unwrap();
    assert!(panicking.await.unwrap_err().is_panic());
    assert!(!is_alive(pid));
}

/// Plays two parts: the test and, in a process that it starts from its own executable, the process
/// that is killed.
#[tokio::test]
async fn a_killed_test_process_takes_its_servers_along() {
    if std::env::var_os(DOOMED).is_some() {
        be_doomed().await.unwrap();
        return;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_test_process_takes_its_servers_along", "--nocapture"])
        .env(DOOMED, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pids = announced(victim.stdout.take().unwrap());
    victim.kill().unwrap();
    victim.wait().unwrap();
    let pids = pids.unwrap();
    assert_eq!(pids.len(), 3);
    eventually("the servers of the killed process end", SOON, || {
        ready(Ok((!pids.iter().any(|pid| is_alive(*pid))).then_some(())))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_shop_holds_what_is_expected_of_it() {
    let postgres = Postgres::start().await.unwrap();
    // The last one is the highest number that a trace can hold.
    let shop = Shop { products: vec![1, 2, 3, 4, 5, 13_756, u32::MAX], ..Shop::small() };
    shop.load(&postgres.url()).await.unwrap();
    let url = postgres.url();
    for id in shop.products.iter().copied() {
        let rows = shop::ask_origin(&url, "product.page", &[id.into()]).await.unwrap();
        assert_eq!(rows, serde_json::json!([shop::expected_product(id)]));
    }
    for id in [1, 49, 50, 100] {
        let rows = shop::ask_origin(&url, "user.profile", &[id.into()]).await.unwrap();
        assert_eq!(rows, serde_json::json!([shop::expected_profile(id)]));
        let rows = shop::ask_origin(&url, "user.orders", &[id.into()]).await.unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 10);
        assert_eq!(rows, shop.expected_orders(id));
    }
    let rows = shop::ask_origin(&url, "product.page", &[6]).await.unwrap();
    assert_eq!(rows, serde_json::json!([]));
    let began = std::time::Instant::now();
    let rows = shop::ask_origin(&url, "report.slow", &[3, 50]).await.unwrap();
    assert_eq!(rows, serde_json::json!([{"id": 3, "ms": 50}]));
    assert!(began.elapsed() >= Duration::from_millis(50));
}

#[test]
fn a_trace_is_the_same_raw_and_packed() {
    let accesses = [7, 0, u32::MAX, 7, 0x0102_0304];
    let raw: Vec<u8> = accesses.iter().flat_map(|access| access.to_be_bytes()).collect();
    let packed = packed(&raw).unwrap();
    let from_raw = read_trace(&raw).unwrap();
    assert_eq!(from_raw.accesses(), accesses);
    assert_eq!(read_trace(&packed).unwrap(), from_raw);
    assert_eq!(from_raw.distinct().len(), 4);
    assert_eq!(from_raw.limited(2).accesses(), [7, 0]);

    assert!(read_trace(&raw[..raw.len() - 1]).is_err(), "half an access at the end");
    assert!(read_trace(&packed[..packed.len() - 8]).is_err(), "a truncated file");
    assert!(Trace::read(Path::new("no such file")).is_err());
}

/// What the program xz makes of these bytes.
fn packed(raw: &[u8]) -> std::io::Result<Vec<u8>> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), raw)?;
    let xz = Command::new("xz").arg("--stdout").arg(file.path()).output()?;
    assert!(xz.status.success());
    Ok(xz.stdout)
}

#[test]
fn the_recorded_product_pages_are_read_whole() {
    // The traces are not part of the project, and not every checkout has them.
    let Some(path) = beside_the_project() else {
        return tell_of_absence("its test is skipped");
    };
    let trace = Trace::read(&path).unwrap();
    assert_eq!(trace.accesses().len(), 95_607);
    assert_eq!(trace.distinct().len(), 13_756);
}

#[tokio::test]
async fn a_client_does_not_wait_for_ever() {
    // The kernel accepts connections for it, and no answer ever comes.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let error = Client::with_limit(A_MOMENT).get(&url).await.unwrap_err();
    assert!(error.to_string().contains("no answer within"), "{error:#}");
}

#[test]
fn any_text_can_be_a_query_parameter() {
    assert_eq!(encode("42"), "42");
    assert_eq!(encode("a b&c=d/é{}\n"), "a%20b%26c%3Dd%2F%C3%A9%7B%7D%0A");
}

async fn be_doomed() -> anyhow::Result<()> {
    let redis = Redis::start().await?;
    let postgres = Postgres::start().await?;
    let mut session = postgres.connect().await?;
    let session_pid: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut session).await?;
    // Stopped, a session does not notice that the server has ended.
    postgres.stop()?;
    let [redis_pid, postgres_pid] = [redis.pid(), postgres.pid()].map(Option::unwrap_or_default);
    // Past the capture of the test framework, which a killed process would never print.
    writeln!(std::io::stdout(), "\n{ANNOUNCEMENT}{redis_pid} {postgres_pid} {session_pid}")?;
    std::future::pending().await
}

fn announced(output: impl std::io::Read) -> anyhow::Result<Vec<u32>> {
    for line in BufReader::new(output).lines() {
        if let Some(pids) = line?.strip_prefix(ANNOUNCEMENT) {
            return Ok(pids.split(' ').map(str::parse).collect::<Result<_, _>>()?);
        }
    }
    None.context("the process ended before it announced its servers")
}

async fn setting_of(redis: &Redis, setting: &str) -> anyhow::Result<String> {
    let answer = redis.say(&["CONFIG", "GET", setting]).await?;
    let [_name, value] = redis::from_redis_value::<[String; 2]>(answer)?;
    Ok(value)
}

async fn set(redis: &Redis, key: &str) -> anyhow::Result<()> {
    let mut connection = redis.connect().await?;
    Ok(redis::cmd("SET").arg(key).arg("value").exec_async(&mut connection).await?)
}

fn read_trace(bytes: &[u8]) -> anyhow::Result<Trace> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(bytes)?;
    Ok(Trace::read(file.path())?)
}
