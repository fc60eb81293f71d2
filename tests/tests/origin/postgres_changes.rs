//! What writes change, according to a real catalogue.

use corral_host::origin::{ChangedBy, Changes, Origin, PostgresOrigin, Table, TableChange};

use crate::kit::{code, write};
use crate::postgres_relations::{connect, listed, name, shop, shop_with};
use crate::server::{Server, run};

#[tokio::test]
async fn a_write_changes_what_its_plan_modifies() {
    let server = Server::shared().await;
    let origin = shop(&server, "modified").await;
    let changed = async |sql: &str, params: &[&str]| changed(&origin, sql, params).await;
    assert_eq!(changed("INSERT INTO teams VALUES ($1, 'x')", &["int8"]).await, "teams+");
    assert_eq!(
        changed("UPDATE users SET name = $1 WHERE id = $2", &["text", "int8"]).await,
        "users(name shown)"
    );
    assert_eq!(
        changed("UPDATE users SET email = $1 WHERE id = $2 AND false", &["text", "int8"]).await,
        "users(email shown)"
    );
    assert_eq!(
        changed("INSERT INTO teams VALUES (1) ON CONFLICT (id) DO UPDATE SET name = 'x'", &[])
            .await,
        "teams+(*)"
    );
    assert_eq!(changed("INSERT INTO teams VALUES (1) ON CONFLICT DO NOTHING", &[]).await, "teams+");
    assert_eq!(
        changed(
            "WITH old AS (SELECT team_id FROM users WHERE id = $1 FOR UPDATE)
                 UPDATE users SET team_id = $2 FROM old WHERE id = $1
                 RETURNING old.team_id",
            &["int8", "int8"]
        )
        .await,
        "users(shown team_id)"
    );
    assert_eq!(
        changed(
            "WITH gone AS (DELETE FROM items RETURNING order_id), kept AS (SELECT 1)
                 UPDATE teams SET name = 'x' WHERE id IN (SELECT order_id FROM gone)",
            &[]
        )
        .await,
        "items- teams(name)"
    );
    assert_eq!(
        changed(
            "WITH named AS (UPDATE teams SET name = 'x' RETURNING id)
                 SELECT id FROM named",
            &[]
        )
        .await,
        "teams(*)",
        "what a part of a statement sets is not told"
    );
    assert_eq!(
        changed(
            "MERGE INTO teams t USING users u ON t.id = u.team_id
                 WHEN MATCHED THEN DELETE",
            &[]
        )
        .await,
        "teams+-(*)"
    );
    // Through a view, whose columns have other names, so the key may be among them.
    assert_eq!(changed("UPDATE people SET called = 'x'", &[]).await, "orders(user_id) users(*)");
    assert_eq!(changed("SELECT 1", &[]).await, "");
    let error = origin.changes(&write("UPDATE nowhere SET a = 1", &[])).await.unwrap_err();
    assert_eq!(code(&error), "42P01");
}

#[tokio::test]
async fn a_view_of_the_same_name_is_not_taken_for_its_table() {
    let server = Server::start().await;
    run(
        &mut server.admin().await,
        "CREATE SCHEMA inner_one;
         CREATE TABLE inner_one.users (id int8, name text);
         CREATE VIEW users AS SELECT id, name AS id2 FROM inner_one.users;
         CREATE TABLE teams (a int8, b int8);
         CREATE RULE twice AS ON UPDATE TO teams DO ALSO UPDATE inner_one.users SET id = 1",
    )
    .await;
    let origin = connect(&server.url());
    assert_eq!(changed(&origin, "UPDATE users SET id = 1", &[]).await, "inner_one.users(*)");
    // The plan includes what a rule adds.
    assert_eq!(
        changed(&origin, "UPDATE teams SET a = 1", &[]).await,
        "inner_one.users(*) teams(*)"
    );
}

#[tokio::test]
async fn foreign_keys_change_rows_in_the_wake_of_a_write() {
    let server = Server::shared().await;
    let origin = shop(&server, "cascades").await;
    let deleted = changes(&origin, "DELETE FROM users WHERE id = $1", &["int8"]).await;
    assert_eq!(wake(&deleted), "items(order_id) orders- users-");
    let cause = |name: &str| ChangedBy::ForeignKey(Some(name.to_owned()));
    let causes: Vec<ChangedBy> =
        deleted.tables.values().map(|change| change.cause.clone()).collect();
    assert_eq!(causes, [cause("of_order"), cause("of_user"), ChangedBy::Statement]);
    assert_eq!(
        changed(&origin, "UPDATE users SET id = $1", &["int8"]).await,
        "orders(user_id) users(id shown)"
    );
    assert_eq!(changed(&origin, "UPDATE users SET name = 'x'", &[]).await, "users(name shown)");
    // A foreign key that restricts changes nothing.
    assert_eq!(changed(&origin, "DELETE FROM teams", &[]).await, "teams-");
}

#[tokio::test]
async fn triggers_and_rules_are_named_where_they_fire() {
    let server = Server::shared().await;
    let more = "
         CREATE FUNCTION anything() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RETURN NEW; END $$;
         CREATE TRIGGER on_name BEFORE UPDATE OF name ON users FOR EACH ROW
             EXECUTE FUNCTION anything();
         CREATE TRIGGER on_delete AFTER DELETE ON orders EXECUTE FUNCTION anything();
         CREATE TRIGGER silent AFTER UPDATE ON users EXECUTE FUNCTION anything();
         ALTER TABLE users DISABLE TRIGGER silent;
         CREATE TRIGGER on_event AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION anything();
         CREATE RULE noted AS ON DELETE TO orders DO ALSO DELETE FROM teams;
         CREATE VIEW seen AS SELECT DISTINCT name FROM users;
         CREATE TRIGGER instead INSTEAD OF UPDATE ON seen FOR EACH ROW EXECUTE FUNCTION anything()";
    let origin = shop_with(&server, "triggers", more).await;
    let unseen = async |sql: &str| {
        let unseen = changes(&origin, sql, &[]).await.unseen;
        let texts: Vec<String> = unseen.iter().map(ToString::to_string).collect();
        texts.join(", ").replace("triggers.", "")
    };
    assert_eq!(unseen("UPDATE users SET name = 'x'").await, "the trigger on_name on users");
    assert_eq!(unseen("UPDATE users SET email = 'x'").await, "");
    assert_eq!(
        unseen("DELETE FROM users").await,
        "the trigger on_delete on orders, the rule noted on orders"
    );
    assert_eq!(
        unseen("INSERT INTO events_2024 VALUES ('2024-01-02')").await,
        "the trigger on_event on events"
    );
    assert_eq!(unseen("UPDATE seen SET name = 'x'").await, "the trigger instead on seen");
    assert_eq!(
        unseen("TRUNCATE teams").await,
        "the statement (it is none of INSERT, UPDATE, DELETE, MERGE and SELECT)"
    );
}

pub(super) async fn changes(origin: &PostgresOrigin, sql: &str, params: &[&str]) -> Changes {
    origin.changes(&write(sql, params)).await.map_err(|error| (sql, error)).unwrap()
}

pub(super) async fn changed(origin: &PostgresOrigin, sql: &str, params: &[&str]) -> String {
    let changes = changes(origin, sql, params).await;
    assert_eq!(changes.unseen, [], "{sql}");
    wake(&changes)
}

/// The changes as text: `table+` if rows appear, `-` if they disappear, `(column)` if columns are
/// updated.
fn wake(changes: &Changes) -> String {
    let changed = |(table, change): (&Table, &TableChange)| {
        let mut text = name(table);
        text.push_str(if change.inserts { "+" } else { "" });
        text.push_str(if change.deletes { "-" } else { "" });
        if !change.updates.is_empty() {
            text.push_str(&format!("({})", listed(&change.updates)));
        }
        text
    };
    changes.tables.iter().map(changed).collect::<Vec<_>>().join(" ")
}
