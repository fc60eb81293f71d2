//! What reads use and writes change, according to SQLite's compiled programs.

use corral_host::origin::{
    ChangedBy, Changes, Columns, Footprint, Origin, OriginOptions, SqliteOrigin, Table,
    TableChange, TableUsage,
};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

use crate::kit::{many, write};

const SHOP: &str = "PRAGMA journal_mode = WAL;
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, loud AS (name || '!'), team_id INTEGER,
    email TEXT, shown TEXT AS (upper(name)) STORED);
CREATE INDEX users_of_team ON users (team_id);
CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER,
    user_id INTEGER REFERENCES users ON DELETE CASCADE);
CREATE TABLE log (text TEXT);
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT UNIQUE ON CONFLICT REPLACE);
CREATE TABLE keyed (k TEXT PRIMARY KEY, v INTEGER) WITHOUT ROWID;
CREATE INDEX paid ON orders (total) WHERE user_id > 0;
CREATE VIEW buyers AS SELECT u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id;
CREATE TRIGGER noted AFTER UPDATE OF name ON users BEGIN INSERT INTO log VALUES (NEW.name); END;
CREATE VIRTUAL TABLE words USING fts5 (word)";

#[tokio::test]
async fn a_read_uses_what_its_program_opens() {
    let shop = Shop::new().await;
    let used = async |sql: &str, params: &[&str]| shape(&shop.footprint(sql, params).await);
    assert_eq!(used("SELECT name FROM users WHERE id = $1", &["int8"]).await, "users(id name)");
    assert_eq!(
        used("SELECT email FROM users WHERE team_id = $1", &["int8"]).await,
        "users(email id team_id)"
    );
    // A generated column, computed when it is read, and a stored one.
    assert_eq!(used("SELECT loud FROM users", &[]).await, "users(id name)");
    assert_eq!(used("SELECT shown FROM users", &[]).await, "users(id shown)");
    assert_eq!(
        used("SELECT total FROM buyers WHERE name = $1", &["text"]).await,
        "orders(id total user_id) users(id name)"
    );
    assert_eq!(used("SELECT v FROM keyed WHERE k = $1", &["text"]).await, "keyed(*)");
    let partial = "SELECT total FROM orders WHERE total > $1 AND user_id > 0";
    assert_eq!(used(partial, &["int8"]).await, "orders(*)");
    assert_eq!(used("SELECT $1 + 1 AS a", &["int8"]).await, "");
    let words = shop.footprint("SELECT word FROM words", &[]).await;
    assert!(words.unseen[0].to_string().contains("virtual table"), "{words:?}");
}

#[tokio::test]
async fn a_write_changes_its_table_and_what_triggers_and_foreign_keys_change() {
    let shop = Shop::new().await;
    let changed = async |sql: &str, params: &[&str]| wake(&shop.changes(sql, params).await);
    assert_eq!(changed("INSERT INTO log VALUES ($1)", &["text"]).await, "log+");
    assert_eq!(changed("DELETE FROM log", &[]).await, "log-");
    assert_eq!(
        changed("UPDATE users SET Email = $1 WHERE id = $2", &["text", "int8"]).await,
        "users(email shown)"
    );
    assert_eq!(changed("UPDATE users SET rowid = 7", &[]).await, "users(*)");
    assert_eq!(changed("INSERT OR REPLACE INTO keyed VALUES ('a', 1)", &[]).await, "keyed+-(*)");
    assert_eq!(changed("INSERT INTO names VALUES (1, 'x')", &[]).await, "names+-(*)");
    assert_eq!(changed("UPDATE names SET name = 'x'", &[]).await, "names-(name)");
    assert_eq!(
        changed("INSERT INTO keyed VALUES ('a', 1) ON CONFLICT DO UPDATE SET v = 2", &[]).await,
        "keyed+-(*)"
    );

    let deleted = shop.changes("DELETE FROM users WHERE id = $1", &["int8"]).await;
    assert_eq!(wake(&deleted), "orders+-(*) users-");
    assert_eq!(cause(&deleted, "orders"), ChangedBy::ForeignKey(None));
    let renamed = shop.changes("UPDATE users SET name = $1", &["text"]).await;
    assert_eq!(wake(&renamed), "log+-(*) users(name shown)");
    assert_eq!(cause(&renamed, "log"), ChangedBy::Trigger("noted".to_owned()));
    let words = shop.changes("INSERT INTO words VALUES ('a')", &[]).await;
    assert!(words.unseen[0].to_string().contains("virtual table"), "{words:?}");
}

#[tokio::test]
async fn a_schema_that_changed_is_noticed_and_nothing_has_run() {
    let mut shop = Shop::new().await;
    assert_eq!(shape(&shop.footprint("SELECT text FROM log", &[]).await), "log(text)");
    assert_eq!(wake(&shop.changes("DELETE FROM log", &[]).await), "log-");
    shop.run(
        "INSERT INTO log VALUES ('kept'); ALTER TABLE log RENAME TO diary;
              CREATE TABLE log (text TEXT); CREATE INDEX text_of_log ON log (text)",
    )
    .await;
    assert_eq!(shape(&shop.footprint("SELECT text FROM diary", &[]).await), "diary(text)");
    assert_eq!(wake(&shop.changes("DELETE FROM diary", &[]).await), "diary-");
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM diary").fetch_one(&mut shop.other).await.unwrap();
    assert_eq!(left, 1);
}

struct Shop {
    origin: SqliteOrigin,
    other: sqlx::SqliteConnection,
    _directory: TempDir,
}

impl Shop {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("shop.db").display());
        let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
        let other = options.create_if_missing(true).connect().await.unwrap();
        let origin = SqliteOrigin::connect(&url, &OriginOptions::default()).unwrap();
        let mut shop = Self { origin, other, _directory: directory };
        shop.run(SHOP).await;
        shop.other.ping().await.unwrap();
        shop
    }

    async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut self.other).await.unwrap();
    }

    async fn footprint(&self, sql: &str, params: &[&str]) -> Footprint {
        self.origin.reads_from(&many(sql, params)).await.unwrap()
    }

    async fn changes(&self, sql: &str, params: &[&str]) -> Changes {
        self.origin.changes(&write(sql, params)).await.unwrap()
    }
}

fn cause(changes: &Changes, name: &str) -> ChangedBy {
    let table = Table { schema: "main".to_owned(), name: name.to_owned() };
    changes.tables[&table].cause.clone()
}

/// The footprint as text: `table(column column)`, `(*)` for every column.
fn shape(footprint: &Footprint) -> String {
    let used = |(table, TableUsage { columns, .. }): (&Table, &TableUsage)| {
        format!("{table}({})", listed(columns))
    };
    footprint.tables.iter().map(used).collect::<Vec<_>>().join(" ")
}

/// The changes as text: `table+` if rows appear, `-` if they disappear, `(column)` if columns are
/// updated.
fn wake(changes: &Changes) -> String {
    let changed = |(table, change): (&Table, &TableChange)| {
        let signs = [("+", change.inserts), ("-", change.deletes)];
        let signs: String = signs.iter().filter(|(_, is)| *is).map(|(sign, _)| *sign).collect();
        let updates = match change.updates.is_empty() {
            true => String::new(),
            false => format!("({})", listed(&change.updates)),
        };
        format!("{table}{signs}{updates}")
    };
    changes.tables.iter().map(changed).collect::<Vec<_>>().join(" ")
}

fn listed(columns: &Columns) -> String {
    match columns {
        Columns::All => "*".to_owned(),
        Columns::Some(columns) => columns.iter().cloned().collect::<Vec<_>>().join(" "),
    }
}
