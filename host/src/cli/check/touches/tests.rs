use super::*;
use crate::config::Environment;

/// Users, each with a team, and orders, each with a number that the database gives it.
const ENTITIES: &str = r#"
[entity."user.profile"]
params = ["id:int8"]
read = "SELECT id, team_id, email FROM users WHERE id = $1"
ttl = "5m"
tags = ["user:{id}", "team:{row.team_id}"]

[entity."team.members"]
params = ["team:int8"]
read = "SELECT id, team_id FROM users WHERE team_id = $1"
rows = "many"
ttl = "10m"
tags = ["members:{team}", "member:{row.id}", "at:{row.team_id}"]

[entity."order.detail"]
params = ["order_id:int8"]
read = "SELECT order_id, user_id FROM orders WHERE order_id = $1"
ttl = "5m"
tags = ["orders:{row.user_id}"]
"#;

#[test]
fn writes_that_touch_what_they_make_untrue_are_left_alone() {
    for write in [
        // The README's.
        r#"params = ["id:int8", "name:text"]
        sql = "UPDATE users SET name = $2 WHERE id = $1"
        touches = ["user.profile(id)", "tag user:{id}"]"#,
        r#"params = ["id:int8", "team:int8"]
        sql = '''UPDATE users AS u SET team_id = $2 FROM (SELECT * FROM users WHERE id = $1 FOR UPDATE) AS o
        WHERE u.id = o.id RETURNING u.team_id, o.team_id AS "old.team_id"'''
        touches = ["user.profile(id)", "tag team:{team}", "tag team:{old.team_id}",
                   "team.members(row.team_id)", "team.members(old.team_id)"]"#,
        // The caller names the old value, and the statement compares it.
        r#"params = ["id:int8", "team:int8", "was:int8"]
        sql = "UPDATE users SET team_id = $2 WHERE id = $1 AND team_id = $3"
        touches = ["user.profile(id)", "tag members:{team}", "tag members:{was}", "tag team:{team}",
                   "tag team:{was}"]"#,
        r#"params = ["user:int8"]
        sql = "INSERT INTO orders (user_id) VALUES ($1) RETURNING order_id"
        touches = ["tag orders:{user}", "order.detail(row.order_id)", "user.profile(user)"]"#,
        r#"params = ["at:timestamptz"]
        sql = "INSERT INTO visits VALUES ($1)"
        touches = "nothing""#,
        r#"params = ["id:int8"]
        sql = "DELETE FROM users WHERE id = $1 RETURNING team_id"
        touches = ["tag team:{row.team_id}", "tag user:{id}"]"#,
    ] {
        assert_eq!(found_of(write), [], "{write}");
    }
}

#[test]
fn nothing_is_found_of_the_example_in_the_readme() {
    let readme = include_str!("../../../../../README.md");
    let example = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(example.contains("touches"), "{example}");
    let config = Config::parse(example, "corral.toml", &Environment::default()).unwrap();
    assert_eq!(found(&config), []);
}

#[test]
fn a_write_that_touches_nothing_is_a_problem_unless_it_says_so() {
    let write = r#"params = ["id:int8"]
        sql = "UPDATE users SET seen = now() WHERE id = $1""#;
    for write in [write.to_owned(), format!("{write}\ntouches = []")] {
        let found = only(&write);
        assert_eq!((found.path.as_str(), found.is_note), (&*path("touches"), false));
        assert!(found.message.contains(r#"write touches = ["user.profile(id)"]"#), "{found:?}");
        assert!(found.message.contains(r#"touches = "nothing""#), "{found:?}");
    }
    assert_eq!(found_of(&format!("{write}\ntouches = \"nothing\"")), []);
}

#[test]
fn a_tag_that_no_read_carries_is_a_problem_with_the_one_that_was_meant() {
    let write = r#"params = ["id:int8"]
        sql = "UPDATE users SET name = '' WHERE id = $1"
        touches = ["user.profile(id)", "tag usr:{id}"]"#;
    let found = only(write);
    assert_eq!((found.path.as_str(), found.is_note), (&*path("touches[1]"), false));
    assert!(found.message.contains(r#"did you mean "tag user:{id}"?"#), "{found:?}");
    assert_eq!(found_of(&format!("{write}\nallow = [\"unread-tags\"]")), []);
    // A query may carry it.
    let found = found_in(&format!("query.enabled = true\n{ENTITIES}"), write);
    assert!(found.len() == 1 && found[0].is_note, "{found:?}");
}

#[test]
fn a_tag_whose_parameter_has_another_type_than_the_one_that_is_carried_is_a_problem() {
    let found = only(
        r#"params = ["id:text"]
        sql = "UPDATE users SET name = '' WHERE id = $1::int8"
        touches = ["tag user:{id}"]"#,
    );
    assert!(found.message.contains(r#"is text here, and int8 in user.profile"#), "{found:?}");
    assert!(found.message.ends_with(r#"declare it "id:int8""#), "{found:?}");
    let alike = r#"params = ["id:int4"]
        sql = "UPDATE users SET name = '' WHERE id = $1"
        touches = ["tag user:{id}"]"#;
    assert_eq!(found_of(alike), []);
}

#[test]
fn a_new_row_whose_readers_found_nothing_before_is_a_problem() {
    let write = r#"params = ["user:int8"]
        sql = "INSERT INTO orders (user_id) VALUES ($1) RETURNING order_id"
        touches = ["tag orders:{user}", "tag user:{user}"]"#;
    let found = only(write);
    assert_eq!((found.path.as_str(), found.is_note), (&*path("touches[0]"), false));
    for part in [
        "order.detail carries this tag by its row alone",
        "stays missing for 30s",
        r#"touch "order.detail(row.order_id)" too"#,
        r#"such as "order.detail:{order_id}""#,
        "or set its negative_ttl = 0",
        r#"write allow = ["stale-absence"]"#,
    ] {
        assert!(found.message.contains(part), "{part} is missing in {found:?}");
    }
    assert_eq!(found_of(&format!("{write}\nallow = [\"stale-absence\"]")), []);
    let unkept = ENTITIES.replace("tags = [\"orders:", "negative_ttl = 0\ntags = [\"orders:");
    assert_eq!(found_in(&unkept, write), []);
}

#[test]
fn a_row_that_comes_into_an_empty_list_is_a_problem() {
    // The list of the new team is empty, so it carries no tag of a row.
    let write = r#"params = ["id:int8", "team:int8", "was:int8"]
        sql = "UPDATE users SET team_id = $2 WHERE id = $1 AND team_id = $3"
        touches = ["tag at:{team}", "tag at:{was}"]"#;
    let found = only(write);
    assert!(found.message.contains("a list that was empty stays empty for 10m"), "{found:?}");
    assert!(found.message.contains(r#"touch "team.members(team)" too"#), "{found:?}");
    // A row that is found by the column that is set, and was asked for by its new value before.
    let by_mail = format!(
        "{ENTITIES}[entity.by_mail]\nparams = [\"email:text\"]\nttl = \"1m\"\n\
                           tags = [\"user:{{row.id}}\"]"
    );
    let mail = r#"params = ["id:int8", "email:text"]
        sql = "UPDATE users SET email = $2 WHERE id = $1"
        touches = ["tag user:{id}"]"#;
    let found = found_in(&by_mail, mail);
    assert!(found.len() == 1 && found[0].message.contains("touch \"by_mail(email)\""), "{found:?}");
    // A row that stays where it is comes into no list.
    let renamed = r#"params = ["id:int8"]
        sql = "UPDATE users SET name = '' WHERE id = $1"
        touches = ["tag member:{id}", "tag user:{id}"]"#;
    assert_eq!(found_of(renamed), []);
}

#[test]
fn a_row_that_moves_and_leaves_its_old_place_stale_is_a_problem() {
    for (write, column, also) in [
        (
            r#"params = ["id:int8", "team:int8"]
            sql = "UPDATE users SET team_id = $2 WHERE id = $1"
            touches = ["tag team:{team}"]"#,
            "team_id",
            r#"touch "tag team:{old.team_id}" too"#,
        ),
        (
            r#"params = ["id:int8"]
            sql = "UPDATE users SET team_id = 0 WHERE id = $1 RETURNING team_id"
            touches = ["team.members(row.team_id)", "tag team:{row.team_id}", "tag team:{old.team_id}"]"#,
            "team_id",
            r#"touch "team.members(old.team_id)" too"#,
        ),
        (
            r#"params = ["id:int8", "team:int8"]
            sql = "INSERT INTO users (id, team_id) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET team_id = excluded.team_id"
            touches = ["user.profile(id)", "tag members:{team}"]"#,
            "team_id",
            r#"touch "tag members:{old.team_id}" too"#,
        ),
    ] {
        let found = only(write);
        assert!(!found.is_note, "{found:?}");
        assert!(found.message.starts_with(&format!("the statement sets {column}")), "{found:?}");
        assert!(found.message.contains(also), "{found:?}");
        assert_eq!(found_of(&format!("{write}\nallow = [\"stale-moves\"]")), [], "{write}");
    }
    let sqlite = format!("origin.url = \"sqlite:shop.db\"\n{ENTITIES}");
    let write = r#"params = ["id:int8", "team:int8"]
        sql = "UPDATE users SET team_id = $2 WHERE id = $1"
        touches = ["tag team:{team}"]"#;
    let found = found_in(&sqlite, write);
    assert!(found[0].message.contains("take the old value as a parameter"), "{found:?}");
}

#[test]
fn what_only_its_author_can_tell_is_a_note() {
    let moved = r#"params = ["id:int8", "team:int8"]
        sql = "UPDATE users SET team_id = $2 WHERE id = $1"
        touches = ["user.profile(id)", "tag user:{id}"]"#;
    let by_parameter =
        ENTITIES.replace("\"members:{team}\"", "\"members:{team}\", \"team:{team}\"");
    let found = found_in(&by_parameter, moved);
    assert!(found.len() == 1 && found[0].is_note, "{found:?}");
    let told = r#"touch "tag team:{row.team_id}" and "tag team:{old.team_id}""#;
    assert!(found[0].message.ends_with(told), "{found:?}");

    let made = r#"params = ["team:int8"]
        sql = "INSERT INTO users (team_id) VALUES ($1) RETURNING id"
        touches = ["team.members(team)"]"#;
    let found = only(made);
    assert!(found.is_note, "{found:?}");
    assert!(found.message.contains(r#"touch "user.profile(row.id)" then"#), "{found:?}");
    assert_eq!(found_of(&format!("{made}\nallow = [\"stale-absence\"]")), []);
}

fn only(write: &str) -> TouchFinding {
    let mut found = found_of(write);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

fn path(key: &str) -> String {
    format!("entity.user.profile.write.w.{key}")
}

fn found_of(write: &str) -> Vec<TouchFinding> {
    found_in(ENTITIES, write)
}

/// What is found of a write of `user.profile`.
fn found_in(entities: &str, write: &str) -> Vec<TouchFinding> {
    let origin = match entities.contains("origin.url") {
        true => "",
        false => "origin.url = \"postgres://app@127.0.0.1/shop\"\n",
    };
    let text = format!("{origin}{entities}\n[entity.\"user.profile\".write.w]\n{write}");
    found(&Config::parse(&text, "corral.toml", &Environment::default()).unwrap())
}
