use serde_json::json;

use super::*;
use crate::config::Environment;

const CONFIG: &str = r#"
origin.url = "sqlite:shop.db"
[entity.page]
params = ["path:text"]
read = "SELECT 1"
ttl = "1m"
tags = ["page:{path}", "pages/all"]
[entity.visits]
params = ["path:text", "day:date"]
read = "SELECT 1"
ttl = "1m"
tags = ["page:{path}:{day}"]
[entity.user]
params = ["id:int8"]
read = "SELECT 1"
ttl = "1m"
tags = ["user:{id}", "team:{row.team_id}"]
write.move = { params = ["team:int8"], sql = "UPDATE", touches = ["tag team:{team}", "tag team:{old.team_id}"] }
"#;

#[test]
fn a_text_is_every_tag_that_it_can_be_read_as() {
    for (text, tags) in [
        ("user:42", &["user:42"] as &[_]),
        // Another spelling of the same user; and a policy may have a tag of just this text.
        ("user:0042", &["user:0042", "user:42"]),
        ("page:/home", &["page:%2Fhome", "page:/home"]),
        ("page:é", &["page:%C3%A9", "page:é"]),
        ("page:a b", &["page:a%20b"]),
        ("page:a,b", &["page:a%2Cb", "page:a,b"]),
        ("page:{x}", &["page:%7Bx%7D"]),
        ("page:a:b", &["page:a%3Ab", "page:a:b"]),
        // Read as a path with a colon, and as a path and a day.
        ("page:a:2024-01-01", &["page:a%3A2024-01-01", "page:a:2024-01-01"]),
        (
            "page:a:b:2024-01-01",
            &["page:a%3Ab%3A2024-01-01", "page:a%3Ab:2024-01-01", "page:a:b:2024-01-01"],
        ),
        ("pages/all", &["pages%2Fall", "pages/all"]),
        // A column's type is not known; the parameter's is.
        ("team:007", &["team:007", "team:7"]),
        ("team:~", &["team:%7E", "team:~"]),
        // Read as a text to escape, and as the tag that the store already has.
        ("page:%2Fhome", &["page:%252Fhome", "page:%2Fhome"]),
        ("whatever:1/2", &["whatever:1%2F2", "whatever:1/2"]),
        (":", &[":"]),
    ] {
        assert_eq!(readings(&text.into()), Ok(texts(tags)), "{text}");
    }
}

#[test]
fn a_long_tag_is_shortened_as_the_policy_shortens_it() {
    let (letters, path) = ("x".repeat(200), "/".repeat(200));
    let shortened = |text: &str| corral_core::Tag::rendered(text.to_owned()).to_string();
    let expected = texts(&[&format!("page:{letters}"), &shortened(&format!("page:{letters}"))]);
    assert_eq!(readings(&format!("page:{letters}").as_str().into()), Ok(expected));
    let escaped = shortened(&format!("page:{}", "%2F".repeat(200)));
    assert_eq!(readings(&filled("page:{path}", json!({ "path": path }))), Ok(texts(&[&escaped])));
}

#[test]
fn a_template_with_its_values_is_that_tag_alone() {
    for (tag, values, tags) in [
        ("page:{path}", json!({"path": "/home"}), &["page:%2Fhome"] as &[_]),
        ("page:{path}", json!({"path": "a:b"}), &["page:a%3Ab"]),
        ("page:{path}", json!({"path": "%2F"}), &["page:%252F"]),
        ("page:{path}", json!({"path": null}), &["page:~"]),
        ("page:{p}:{d}", json!({"p": "a", "d": "2024-01-01"}), &["page:a:2024-01-01"]),
        ("user:{id}", json!({"id": "0042"}), &["user:42"]),
        ("user:{user}", json!({"user": 42}), &["user:42"]),
        ("pages/all", json!({}), &["pages/all"]),
        // A parameter's tag, and a column's.
        ("team:{team}", json!({"team": 7}), &["team:7"]),
        ("team:{row.team_id}", json!({"row.team_id": "007"}), &["team:007", "team:7"]),
        ("team:{team}", json!({"team": "red"}), &["team:red"]),
        ("team:{team}", json!({"team": 7.5}), &["team:7.5"]),
        ("team:{team}", json!({"team": true}), &["team:true"]),
    ] {
        assert_eq!(readings(&filled(tag, values.clone())), Ok(texts(tags)), "{tag} {values}");
    }
}

#[test]
fn what_is_no_tag_is_refused_with_the_reason() {
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    for (given, at, problem) in [
        ("".into(), "", "it is empty"),
        ("page:\0".into(), "", "it holds the character U+0000"),
        ("page:{path}".into(), "", "it is a template, without values; name it exactly"),
        (long.as_str().into(), "", "it is longer than 4096 bytes; name it exactly"),
        (filled("", json!({})), ".tag", "an empty tag"),
        (filled("page:{path", json!({})), ".tag", "the braces of \"page:{path\" don't match"),
        (filled("page {path}", json!({})), ".tag", "\"page {path}\" has a space"),
        (filled("page:{path}", json!({})), ".values.path", "it is missing"),
        (
            filled("page:{path}", json!({"path": "", "pth": ""})),
            ".values.pth",
            "the tag has no such hole",
        ),
        (filled("page:{path}", json!({"path": 7})), ".values.path", "`7` is no text"),
        (filled("page:{path}", json!({"path": "\0"})), ".values.path", "`\\0` is no text"),
        (filled("user:{id}", json!({"id": "seven"})), ".values.id", "`seven` is no int8"),
        (
            filled("pge:{path}", json!({"path": ""})),
            ".tag",
            "no read carries and no write touches a tag of this form; did you mean \"page:{path}\"?",
        ),
    ] {
        let refused = readings(&given).unwrap_err();
        assert_eq!(refused.at, at, "{given:?}: {refused:?}");
        assert!(refused.problem.starts_with(problem), "{given:?}: {refused:?}");
    }
}

#[test]
fn where_clients_have_tags_of_their_own_they_fill_those_too() {
    let config = format!("query.enabled = true\n{CONFIG}");
    let given = filled("report:{year}/{of}", json!({"year": 2024, "of": "a/b"}));
    assert_eq!(readings_of(&config, &given), Ok(texts(&["report:2024/a%2Fb"])));
}

#[test]
fn a_text_of_too_many_readings_is_refused_and_ends_soon() {
    let config = "[entity.a]\nttl = '1s'\nparams = ['a:text', 'b:int8', 'c:text']\n\
                  tags = ['{a}:{b}:{c}', '{a}{b}{c}']";
    for text in [":1".repeat(2_000), "1".repeat(4_000), "a".repeat(4_000)] {
        let refused = readings_of(config, &text.as_str().into()).unwrap_err();
        assert!(refused.problem.starts_with("it can be read in too many ways"), "{refused:?}");
    }
    let few = readings_of(config, &"1:2:3".into()).unwrap();
    assert_eq!(few, texts(&["1%3A2%3A3", "1:2:3"]));
}

#[test]
fn a_tag_of_a_request_is_a_text_or_a_template_with_values() {
    let read = |json: serde_json::Value| serde_json::from_value::<GivenTag>(json);
    assert_eq!(read(json!("user:42")).unwrap(), "user:42".into());
    let given = json!({"tag": "page:{path}", "values": {"path": "/home"}});
    assert_eq!(read(given).unwrap(), filled("page:{path}", json!({"path": "/home"})));
    assert_eq!(read(json!({"tag": "all"})).unwrap(), filled("all", json!({})));
    let surplus = read(json!({"tag": "all", "vals": {}})).unwrap_err().to_string();
    assert!(surplus.contains("unknown field `vals`"), "{surplus}");
    let number = read(json!(7)).unwrap_err().to_string();
    assert!(number.contains(r#"a text such as "user:42", or {"tag": …"#), "{number}");
}

fn readings(given: &GivenTag) -> Result<Vec<String>, NoTag> {
    readings_of(CONFIG, given)
}

fn readings_of(config: &str, given: &GivenTag) -> Result<Vec<String>, NoTag> {
    let config = Config::parse(config, "corral.toml", &Environment::default()).unwrap();
    let tags = Templates::of(&config).readings(given)?;
    Ok(texts(&tags.iter().map(StoreTag::as_str).collect::<Vec<_>>()))
}

fn texts(tags: &[&str]) -> Vec<String> {
    tags.iter().map(ToString::to_string).collect()
}

fn filled(tag: &str, values: serde_json::Value) -> GivenTag {
    let serde_json::Value::Object(values) = values else { panic!("{values} is no object") };
    GivenTag::Filled(FilledTag { tag: tag.to_owned(), values })
}
