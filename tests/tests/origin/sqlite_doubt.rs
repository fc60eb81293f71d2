//! A commit that breaks in the middle of writing, and a file that is replaced by another one.

use std::path::Path;
use std::process::Command;

use corral_host::origin::{CommitError, Origin, OriginOptions, SqliteOrigin, Xid};
use corral_tests::servers::until;
use serde_json::json;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::kit::{AMPLE, commit, json, one, write};

/// Set in the process that may not write large files, to the database that it has to write to.
const LIMITED: &str = "CORRAL_TEST_OF_A_FULL_DISK";

/// The limit, in blocks of 512 bytes: enough for the tables, too little for the row.
const BLOCKS: u32 = 256;

/// The test runs itself once more, in a process whose files can't grow, as on a full disk.
#[tokio::test]
async fn a_commit_that_fails_while_it_writes_is_in_doubt_until_the_file_is_opened_again() {
    if let Some(path) = std::env::var_os(LIMITED) {
        return write_to_a_full_disk(Path::new(&path)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("full.db");
    make(&path).await;
    let shell = format!("trap '' XFSZ; ulimit -f {BLOCKS}; exec \"$0\" \"$@\"");
    let name = "a_commit_that_fails_while_it_writes_is_in_doubt_until_the_file_is_opened_again";
    let output = Command::new("sh")
        .args(["-c", &shell])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("sqlite_doubt::{name}"), "--nocapture"])
        .env(LIMITED, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{errors}");
}

async fn write_to_a_full_disk(path: &Path) {
    let origin = connect(path);
    commit(&origin, "INSERT INTO t VALUES (1, 'x')").await;
    let large = write("INSERT INTO t VALUES (2, randomblob(1000000))", &[]);
    let written = origin.execute(&large, &[], &[], AMPLE).await.unwrap();
    assert_eq!(written.xid, None);
    let error = written.transaction.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::InDoubt(_)), "{error:?}");
    until("it has ended", async || origin.has_ended(Xid::from(0)).await.unwrap()).await;
    let count = one("SELECT count(*) AS n FROM t", &[]);
    assert_eq!(json(&origin, &count, &[]).await, json!({"n": 1}));
    commit(&origin, "INSERT INTO t VALUES (2, 'x')").await;
    assert_eq!(json(&origin, &count, &[]).await, json!({"n": 2}));
}

#[tokio::test]
async fn a_commit_that_meets_a_violated_constraint_was_rolled_back() {
    let (_directory, origin) = made().await;
    let orphan = write("INSERT INTO child VALUES (99)", &[]);
    let written = origin.execute(&orphan, &[], &[], AMPLE).await.unwrap();
    let error = written.transaction.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::RolledBack(_)), "{error:?}");
    assert!(origin.has_ended(Xid::from(0)).await.unwrap());
    commit(&origin, "INSERT INTO t VALUES (1, 'x')").await;
}

#[tokio::test]
async fn a_file_that_takes_the_place_of_another_is_another_database() {
    let directory = tempfile::tempdir().unwrap();
    let (path, new) = (directory.path().join("shop.db"), directory.path().join("new.db"));
    make(&path).await;
    make(&new).await;
    let origin = connect(&path);
    commit(&origin, "INSERT INTO t VALUES (1, 'x')").await;
    let count = one("SELECT count(*) AS n FROM t", &[]);
    assert_eq!(json(&origin, &count, &[]).await, json!({"n": 1}));
    let before = origin.last_identity().unwrap();
    assert_eq!(origin.identity().await.unwrap(), before);
    assert_eq!(connect(&path).identity().await.unwrap(), before);

    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(directory.path().join(format!("shop.db{suffix}")));
    }
    std::fs::rename(&new, &path).unwrap();
    assert_eq!(json(&origin, &count, &[]).await, json!({"n": 0}), "the idle connection is left");
    let after = origin.last_identity().unwrap();
    assert_ne!(after, before);
    assert_eq!(origin.identity().await.unwrap(), after);
}

#[tokio::test]
async fn a_file_that_was_asked_for_its_identity_is_known_before_anybody_reads() {
    let (_directory, origin) = made().await;
    assert_eq!(origin.last_identity(), None, "it is not asked yet");
    let identity = origin.identity().await.unwrap();
    assert_eq!(origin.last_identity(), Some(identity));
}

#[tokio::test]
async fn a_file_that_is_not_there_has_no_identity() {
    let directory = tempfile::tempdir().unwrap();
    let origin = connect(&directory.path().join("none.db"));
    assert!(origin.identity().await.is_err());
    assert_eq!(origin.last_identity(), None);
}

/// A database for the test itself, and the folder that it lies in.
async fn made() -> (tempfile::TempDir, SqliteOrigin) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.db");
    make(&path).await;
    let origin = connect(&path);
    (directory, origin)
}

fn connect(path: &Path) -> SqliteOrigin {
    let url = format!("sqlite:{}", path.display());
    SqliteOrigin::connect(&url, &OriginOptions::default()).unwrap()
}

async fn make(path: &Path) {
    let options: sqlx::sqlite::SqliteConnectOptions =
        format!("sqlite:{}", path.display()).parse().unwrap();
    let mut connection: SqliteConnection = options.create_if_missing(true).connect().await.unwrap();
    let tables = "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v);
                  CREATE TABLE child (id INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED)";
    sqlx::raw_sql(tables).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
