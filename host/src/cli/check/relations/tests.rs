use super::*;
use crate::config::Environment;

const ENTITIES: &str = r#"
[store]
url = "redis://127.0.0.1"
[origin]
url = "postgres://app@127.0.0.1/shop"

[entity."user.profile"]
params = ["id:int8"]
read = "SELECT id, name FROM users WHERE id = $1"
ttl = "5m"
tags = ["user:{id}"]

[entity."user.count"]
read = "SELECT count(*) AS n FROM users"
ttl = "1h"

[entity."order.list"]
params = ["user:int8"]
read = "SELECT id, user_id FROM orders WHERE user_id = $1"
rows = "many"
ttl = "10m"
"#;

#[test]
fn a_read_is_touched_by_its_name_or_by_a_tag_that_it_carries() {
    let rename = [("users", update(&["name"]))];
    for touches in [
        r#"touches = ["user.profile(id)"]"#,
        r#"touches = ["tag user:{id}"]"#,
        // Whatever parameter the value comes from, the tag is that read's.
        r#"params = ["who:int8"]
           touches = ["tag user:{who}"]"#,
    ] {
        assert_eq!(found(touches, &rename), [""; 0], "{touches}");
    }
    assert_eq!(
        found(r#"touches = ["tag order:{id}"]"#, &rename),
        [
            "it changes name of users, which user.profile uses, and touches nothing of user.profile: \
          the read stays as it was for its lifetime (5m); touch it (\"user.profile(id)\") or a tag \
          that it carries (\"user:{id}\"); if reads may stay stale after this write, write \
          allow = [\"stale-reads\"] here"
        ]
    );
}

#[test]
fn only_reads_that_use_what_changes_are_told_of() {
    let touches = r#"touches = ["order.list(id)"]"#;
    assert_eq!(found(touches, &[("users", update(&["email"]))]), [""; 0]);
    assert_eq!(found(touches, &[("teams", inserts())]), [""; 0]);
    let of = |found: Vec<String>| -> Vec<bool> {
        ["user.profile uses", "user.count uses"]
            .map(|read| found.iter().any(|text| text.contains(read)))
            .to_vec()
    };
    assert_eq!(of(found(touches, &[("users", update(&["name"]))])), [true, false]);
    assert_eq!(of(found(touches, &[("users", inserts())])), [true, true]);
}

#[test]
fn what_follows_from_a_foreign_key_or_a_trigger_says_so() {
    let because = |cause| TableChange { deletes: true, ..TableChange { cause, ..inserts() } };
    for (cause, words) in [
        (
            ChangedBy::ForeignKey(Some("of_user".into())),
            "it changes orders (by the foreign key of_user), which order.list uses",
        ),
        (ChangedBy::ForeignKey(None), "it changes orders (by a foreign key), which"),
        (ChangedBy::Trigger("sold".into()), "it changes orders (by the trigger sold), which"),
    ] {
        let found = found(r#"touches = ["tag user:{id}"]"#, &[("orders", because(cause))]);
        assert!(found.len() == 1 && found[0].starts_with(words), "{found:?}");
    }
}

#[test]
fn what_is_meant_is_left_alone_and_what_is_said_twice_is_said_once() {
    let rename = [("users", update(&["name"]))];
    let allowed = "touches = \"nothing\"\nallow = [\"stale-reads\"]";
    assert_eq!(found(allowed, &rename), [""; 0]);
    let nothing = found("touches = \"nothing\"", &rename);
    assert!(
        nothing[0].starts_with("it says that it touches nothing, and changes name of users"),
        "{nothing:?}"
    );
    assert_eq!(found("", &rename), [""; 0], "that it touches nothing is said elsewhere");
}

#[test]
fn a_trigger_or_function_that_nobody_can_look_into_is_a_note_with_its_name() {
    let trigger = || Unseen::Trigger { table: table("users"), name: "noted".into() };
    let unseen = |write: &str| {
        let config = config(write, "");
        let mut relations = Relations::new(&config);
        let changes = Changes { unseen: vec![trigger()], ..Changes::default() };
        relations.changes.insert(("user.profile", "change"), changes);
        let unseen = vec![Unseen::Function("secret()".into())];
        relations.footprints.insert("user.count", Footprint { unseen, ..Footprint::default() });
        let found = relations.found();
        assert!(found.iter().all(|found| found.is_note), "{found:?}");
        let begin = |text: &str| text.split_once(" may ").map(|(begin, _)| begin.to_owned());
        let shown = |found: TouchFinding| (found.path, begin(&found.message).unwrap());
        found.into_iter().map(shown).collect::<Vec<_>>()
    };
    let of_read = ("entity.user.count.read".into(), "the function secret()".into());
    let of_write =
        ("entity.user.profile.write.change.sql".into(), "the trigger noted on users".into());
    assert_eq!(unseen(r#"touches = ["tag user:{id}"]"#), [of_read.clone(), of_write]);
    let allowed = "touches = [\"tag user:{id}\"]\nallow = [\"stale-reads\"]";
    assert_eq!(unseen(allowed), [of_read]);
}

#[test]
fn what_the_database_does_not_tell_is_said_once_or_of_its_statement() {
    let config = config("touches = \"nothing\"", "");
    let mut relations = Relations::new(&config);
    let rejected = |code: &str, message: &str| OriginError::Rejected {
        code: code.into(),
        message: message.into(),
    };
    for path in ["entity.user.profile.read", "entity.user.count.read"] {
        relations.is_untold(path.into(), rejected(FORBIDDEN, "GRANT it"));
        relations.is_untold(path.into(), rejected("42601", "no view"));
    }
    let told: Vec<(Option<&str>, bool)> = relations
        .untold()
        .map(|(path, message)| (path, message.ends_with("can't be told: GRANT it")))
        .collect();
    assert_eq!(
        told,
        [
            (None, true),
            (Some("entity.user.count.read"), false),
            (Some("entity.user.profile.read"), false)
        ]
    );
}

#[test]
fn row_level_security_asks_for_a_prefix_of_the_roles_own() {
    for (store, is_problem) in [("", true), ("prefix = \"reader:\"", false)] {
        let config = config("touches = \"nothing\"", store);
        let mut relations = Relations::new(&config);
        let usage = TableUsage { columns: Columns::All, row_security: true };
        let tables = BTreeMap::from([(table("users"), usage)]);
        let footprint = Footprint { tables, ..Footprint::default() };
        relations.footprints.insert("user.profile", footprint);
        let found = relations.found();
        assert_eq!(!found.is_empty(), is_problem, "{found:?}");
        assert!(found.iter().all(|found| !found.is_note && found.message.contains("prefix")));
    }
}

/// What is found of a write with these touches, that changes these tables.
fn found(write: &str, changed: &[(&str, TableChange)]) -> Vec<String> {
    let config = config(write, "");
    let mut relations = Relations::new(&config);
    for (entity, used, columns) in [
        ("user.profile", "users", some(&["id", "name"])),
        ("user.count", "users", some(&[])),
        ("order.list", "orders", some(&["id", "user_id"])),
    ] {
        let usage = TableUsage { columns, row_security: false };
        let tables = BTreeMap::from([(table(used), usage)]);
        relations.footprints.insert(entity, Footprint { tables, ..Footprint::default() });
    }
    let tables = changed.iter().map(|(name, change)| (table(name), change.clone())).collect();
    let changes = Changes { tables, ..Changes::default() };
    relations.changes.insert(("user.profile", "change"), changes);
    let found = relations.found();
    assert!(found.iter().all(|found| !found.is_note), "{found:?}");
    found.into_iter().map(|found| found.message).collect()
}

fn config(write: &str, store: &str) -> Config {
    let params = if write.contains("params") { "" } else { "params = [\"id:int8\"]\n" };
    let entities =
        ENTITIES.replace("127.0.0.1\"\n[origin]", &format!("127.0.0.1\"\n{store}\n[origin]"));
    let text = format!(
        "{entities}\n[entity.\"user.profile\".write.change]\nsql = \"UPDATE\"\n{params}{write}\n"
    );
    Config::parse(&text, "corral.toml", &Environment::default()).unwrap()
}

fn table(name: &str) -> Table {
    Table { schema: "public".to_owned(), name: name.to_owned() }
}

fn update(columns: &[&str]) -> TableChange {
    let (updates, cause) = (some(columns), ChangedBy::Statement);
    TableChange { inserts: false, deletes: false, updates, cause }
}

fn inserts() -> TableChange {
    TableChange { inserts: true, ..update(&[]) }
}

fn some(columns: &[&str]) -> Columns {
    Columns::Some(columns.iter().map(ToString::to_string).collect())
}
