//! Every write is run against every read: if an answer changes, the changes that the host expects
//! of the write must concern the read's footprint.

use corral_host::origin::{
    Changes, Footprint, Origin, OriginOptions, PostgresOrigin, SqliteOrigin,
};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, SqliteConnection};

use crate::kit::{AMPLE, many, write};
use crate::server::{Server, connection, run};

const POSTGRES: &str = "
CREATE TABLE teams (id int8 PRIMARY KEY, name text);
CREATE TABLE users (id int8 PRIMARY KEY, name text, email text, score int8,
    team_id int8 REFERENCES teams ON DELETE SET NULL ON UPDATE CASCADE,
    shown text GENERATED ALWAYS AS (upper(name)) STORED);
CREATE TABLE orders (id int8 PRIMARY KEY, total int8, user_id int8 DEFAULT 3
    REFERENCES users ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE notes (order_id int8 REFERENCES orders ON DELETE CASCADE, text text);
CREATE TABLE events (day int, text text) PARTITION BY LIST (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1);
CREATE TABLE events_2 PARTITION OF events FOR VALUES IN (2);
CREATE TABLE places (name text);
CREATE TABLE capitals (state text) INHERITS (places);
CREATE VIEW people AS SELECT id, name AS called, team_id FROM users;
CREATE VIEW buyers AS SELECT p.called, o.total FROM people p JOIN orders o ON o.user_id = p.id;
CREATE TABLE shown_rows (id int8); CREATE TABLE hidden_rows (id int8);
CREATE RULE hide AS ON DELETE TO shown_rows DO ALSO INSERT INTO hidden_rows VALUES (OLD.id);
INSERT INTO teams VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO users (id, name, email, score, team_id)
    VALUES (1, 'ann', 'a@x', 5, 1), (2, 'bob', 'b@x', 7, 1), (3, 'cid', 'c@x', 9, 2);
INSERT INTO orders VALUES (1, 10, 1), (2, 20, 1), (3, 30, 2);
INSERT INTO notes VALUES (1, 'x'), (3, 'y');
INSERT INTO events VALUES (1, 'one'), (2, 'two');
INSERT INTO places VALUES ('here'); INSERT INTO capitals VALUES ('there', 'far');
INSERT INTO shown_rows VALUES (1), (2)";

const READS: [&str; 27] = [
    "SELECT name FROM users WHERE id = 1",
    "SELECT email FROM users",
    "SELECT shown FROM users",
    "SELECT u FROM users u WHERE id < 3",
    "SELECT row_to_json(q) FROM (SELECT * FROM users) q",
    "SELECT count(*) FROM users",
    "SELECT sum(score) FROM users GROUP BY team_id",
    "SELECT xmin, id FROM users",
    "SELECT called FROM people WHERE team_id = 1",
    "SELECT total FROM buyers WHERE called = 'ann'",
    "SELECT t.name, (SELECT max(score) FROM users u WHERE u.team_id = t.id) AS best FROM teams t",
    "SELECT name FROM teams WHERE EXISTS (SELECT FROM users WHERE team_id = teams.id)",
    "SELECT id FROM users EXCEPT SELECT user_id FROM orders",
    "SELECT o.id, n.text FROM orders o LEFT JOIN notes n ON n.order_id = o.id",
    "SELECT count(*) FROM users NATURAL JOIN teams",
    "SELECT u.id FROM users u JOIN teams USING (name)",
    "SELECT name FROM users ORDER BY score DESC LIMIT 1",
    "SELECT id, rank() OVER (ORDER BY score) AS r FROM users",
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n, teams WHERE i < 3)
     SELECT count(*) AS c FROM n",
    "SELECT text FROM events",
    "SELECT text FROM events_1",
    "SELECT name FROM places",
    "SELECT name FROM ONLY places",
    "SELECT state FROM capitals",
    "SELECT id FROM shown_rows",
    "SELECT id FROM hidden_rows",
    "SELECT DISTINCT ON (team_id) name FROM users ORDER BY team_id, email",
];

const WRITES: [&str; 28] = [
    "INSERT INTO users (id, name, score, team_id) VALUES (4, 'a', 11, 3)",
    "INSERT INTO users (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET name = 'new'",
    "INSERT INTO teams SELECT id + 10, name FROM users",
    "UPDATE users SET name = 'new' WHERE id = 1",
    "UPDATE users SET email = 'new'",
    "UPDATE users AS u SET (score, email) = (SELECT 100, 'z') WHERE u.id = 2",
    "UPDATE users SET score = CASE WHEN score IS DISTINCT FROM 5 THEN 1 ELSE 50 END, team_id = 3",
    "UPDATE users SET id = id + 100",
    "UPDATE users SET team_id = NULL FROM teams t WHERE t.id = users.team_id AND t.name = 'a'",
    "UPDATE people SET called = 'seen' WHERE id = 2",
    "DELETE FROM users WHERE id = 1",
    "DELETE FROM users USING teams WHERE teams.id = users.team_id",
    "UPDATE teams SET id = 9 WHERE id = 1",
    "UPDATE teams SET name = 'ann'",
    "DELETE FROM teams WHERE id = 1",
    "WITH gone AS (DELETE FROM notes RETURNING order_id)
     UPDATE orders SET total = 0 WHERE id IN (SELECT order_id FROM gone)",
    "WITH named AS (UPDATE teams SET name = 'x' RETURNING id)
     INSERT INTO orders SELECT id + 50, 1, 1 FROM named",
    "WITH old AS (SELECT team_id FROM users WHERE id = 1) UPDATE users SET team_id = 3 FROM old
     WHERE id = 1 RETURNING old.team_id",
    "MERGE INTO users u USING teams t ON u.id = t.id WHEN MATCHED AND t.id = 1 THEN DELETE
     WHEN MATCHED THEN UPDATE SET name = t.name",
    "DELETE FROM orders WHERE id = 1",
    "UPDATE events SET day = 2 WHERE day = 1",
    "UPDATE events_1 SET text = 'new'",
    "INSERT INTO events VALUES (2, 'more')",
    "DELETE FROM places",
    "UPDATE capitals SET name = 'moved'",
    "INSERT INTO capitals VALUES ('new', 'state')",
    "DELETE FROM shown_rows WHERE id = 1",
    "UPDATE users SET name = (SELECT max(name) FROM teams) WHERE id = 3",
];

#[tokio::test]
async fn in_postgres_no_write_changes_an_answer_that_it_is_not_said_to_concern() {
    let server = Server::shared().await;
    let url = server.schema("held").await;
    let mut other = connection(&url).await;
    run(&mut other, POSTGRES).await;
    let options = OriginOptions { deadline: AMPLE, ..OriginOptions::default() };
    let origin = PostgresOrigin::connect(&url, &options).unwrap();
    let mut tally = Tally::new(&origin, &READS).await;
    for sql in WRITES {
        run(&mut other, "BEGIN").await;
        let before = answers(&mut other, &READS).await;
        run(&mut other, sql).await;
        let after = answers(&mut other, &READS).await;
        run(&mut other, "ROLLBACK").await;
        tally.count(sql, &origin.changes(&write(sql, &[])).await.unwrap(), &before, &after);
    }
    tally.judge();
}

const SQLITE: &str = "PRAGMA foreign_keys = ON; PRAGMA journal_mode = WAL;
CREATE TABLE teams (id INTEGER PRIMARY KEY, name TEXT UNIQUE ON CONFLICT REPLACE);
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, loud AS (name || '!'), email TEXT,
    score INTEGER, team_id INTEGER REFERENCES teams ON DELETE SET NULL,
    shown TEXT AS (upper(name)) STORED);
CREATE INDEX users_of_team ON users (team_id, score);
CREATE INDEX loud_ones ON users (upper(email)) WHERE score > 6;
CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER,
    user_id INTEGER REFERENCES users ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE keyed (k TEXT PRIMARY KEY, v INTEGER, w INTEGER) WITHOUT ROWID;
CREATE TABLE log (text TEXT);
CREATE VIEW buyers AS SELECT u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id;
CREATE TRIGGER noted AFTER UPDATE OF email ON users BEGIN INSERT INTO log VALUES (NEW.email); END;
CREATE TRIGGER sold INSTEAD OF INSERT ON buyers
    BEGIN INSERT INTO orders VALUES (99, NEW.total, 1); END;
INSERT INTO teams VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO users (id, name, email, score, team_id)
    VALUES (1, 'ann', 'a@x', 5, 1), (2, 'bob', 'b@x', 7, 1), (3, 'cid', 'c@x', 9, 2);
INSERT INTO orders VALUES (1, 10, 1), (2, 20, 1), (3, 30, 2);
INSERT INTO keyed VALUES ('a', 1, 1), ('b', 2, 2);
INSERT INTO log VALUES ('begun')";

const SQLITE_READS: [&str; 17] = [
    "SELECT name FROM users WHERE id = 1",
    "SELECT loud FROM users",
    "SELECT shown FROM users",
    "SELECT * FROM users",
    "SELECT count(*) FROM users",
    "SELECT score FROM users WHERE team_id = 1",
    "SELECT name FROM users WHERE upper(email) = 'B@X' AND score > 6",
    "SELECT max(score) FROM users GROUP BY team_id",
    "SELECT total FROM buyers WHERE name = 'ann'",
    "SELECT name FROM teams WHERE id IN (SELECT team_id FROM users)",
    "SELECT t.name, u.email FROM teams t LEFT JOIN users u ON u.team_id = t.id",
    "SELECT v FROM keyed WHERE k = 'a'",
    "SELECT k FROM keyed",
    "SELECT text FROM log",
    "SELECT id FROM users EXCEPT SELECT user_id FROM orders",
    "SELECT rowid FROM users ORDER BY score LIMIT 1",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n, teams WHERE i < 3)
     SELECT count(*) FROM n",
];

const SQLITE_WRITES: [&str; 19] = [
    "INSERT INTO users (id, name, score, team_id) VALUES (4, 'd', 11, 3)",
    "INSERT INTO users (id) VALUES (1) ON CONFLICT DO UPDATE SET name = 'new'",
    "INSERT OR REPLACE INTO users (id, name) VALUES (2, 'new')",
    "INSERT INTO teams VALUES (7, 'a')",
    "UPDATE teams SET name = 'a' WHERE id = 2",
    "UPDATE users SET name = 'new' WHERE id = 1",
    "UPDATE users SET email = 'new'",
    "UPDATE users SET (score, team_id) = (SELECT 100, 3) WHERE id = 2",
    "UPDATE users SET score = score IS DISTINCT FROM 5, team_id = 3",
    "UPDATE users SET id = id + 100",
    "UPDATE users SET rowid = 50 WHERE id = 3",
    "UPDATE OR REPLACE users SET id = 1 WHERE id = 2",
    "DELETE FROM users WHERE id = 1",
    "DELETE FROM teams WHERE id = 1",
    "DELETE FROM log",
    "DELETE FROM orders",
    "UPDATE keyed SET v = 9 WHERE k = 'a'",
    "REPLACE INTO keyed VALUES ('a', 5, 5)",
    "INSERT INTO buyers VALUES ('ann', 1)",
];

#[tokio::test]
async fn in_sqlite_no_write_changes_an_answer_that_it_is_not_said_to_concern() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("held.db").display());
    let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
    let mut other = options.create_if_missing(true).connect().await.unwrap();
    run_sqlite(&mut other, SQLITE).await;
    let origin = SqliteOrigin::connect(&url, &OriginOptions::default()).unwrap();
    let mut tally = Tally::new(&origin, &SQLITE_READS).await;
    for sql in SQLITE_WRITES {
        run_sqlite(&mut other, "BEGIN").await;
        let before = sqlite_answers(&mut other).await;
        run_sqlite(&mut other, sql).await;
        let after = sqlite_answers(&mut other).await;
        run_sqlite(&mut other, "ROLLBACK").await;
        tally.count(sql, &origin.changes(&write(sql, &[])).await.unwrap(), &before, &after);
    }
    tally.judge();
}

/// The counts over all pairs.
struct Tally {
    reads: Vec<(&'static str, Footprint)>,
    changed: usize,
    spared: usize,
}

impl Tally {
    async fn new(origin: &dyn Origin, reads: &[&'static str]) -> Self {
        let mut footprints = Vec::new();
        for sql in reads {
            footprints.push((*sql, origin.reads_from(&many(sql, &[])).await.unwrap()));
        }
        Self { reads: footprints, changed: 0, spared: 0 }
    }

    fn count(&mut self, sql: &str, changes: &Changes, before: &[String], after: &[String]) {
        let mut has_effect = false;
        for ((read, footprint), (before, after)) in self.reads.iter().zip(before.iter().zip(after))
        {
            let concerns = changes.tables.iter().any(|(table, change)| {
                footprint.tables.get(table).is_some_and(|usage| change.concerns(usage))
            });
            assert!(concerns || before == after, "{sql}\n changes, and is not said to,\n{read}");
            has_effect |= before != after;
            self.changed += usize::from(before != after);
            self.spared += usize::from(!concerns);
        }
        assert!(has_effect, "no read sees what {sql} does");
    }

    /// The claim that everything concerns everything would always hold and be useless.
    fn judge(&self) {
        let Self { changed, spared, .. } = self;
        assert!(changed > &40 && spared > &100, "{changed} changed, {spared} not concerned");
    }
}

/// Each read's rows, sorted.
async fn answers(other: &mut PgConnection, reads: &[&str]) -> Vec<String> {
    let mut answers = Vec::new();
    for sql in reads {
        let sorted = format!(
            "SELECT coalesce(string_agg(q::text, ';' ORDER BY q::text), '') FROM ({sql}) q"
        );
        let answer = sqlx::query_scalar(AssertSqlSafe(sorted)).persistent(false);
        answers.push(answer.fetch_one(&mut *other).await.unwrap());
    }
    answers
}

async fn sqlite_answers(other: &mut SqliteConnection) -> Vec<String> {
    let mut answers = Vec::new();
    for sql in SQLITE_READS {
        let rows = sqlx::raw_sql(sql).fetch_all(&mut *other).await.unwrap();
        let mut texts: Vec<String> = rows.iter().map(row_text).collect();
        texts.sort();
        answers.push(texts.join(";"));
    }
    answers
}

fn row_text(row: &sqlx::sqlite::SqliteRow) -> String {
    use sqlx::Row;
    (0..row.len())
        .map(|at| format!("{:?},", row.try_get_unchecked::<Option<String>, _>(at)))
        .collect()
}

async fn run_sqlite(other: &mut SqliteConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(other).await.unwrap();
}
