//! The problems that are reported of broken configurations.

use super::{parse, problems_of};

/// Texts with one problem each, and that problem.
const ONE_PROBLEM: &[(&str, &str)] = &[
    // Syntax.
    ("listen = 127.0.0.1:7070", ":1:15: not TOML: "),
    ("[store\nurl = 'redis://s3cret'", ":1:7: not TOML: "),
    (
        "grace = '1s'\ngrace = '2s'",
        ":2:1: not TOML: duplicate key: grace, which line 1 has already",
    ),
    (
        "[entity.a]\nttl = '1m'\nnear = '2m'",
        r#":3:8 entity.a.near: "2m" is longer than its ttl; write at most "1m""#,
    ),
    (
        "[entity.a]\nttl = '1m'\ndeadline = '30s'\nload_limit = '20s'",
        r#":4:14 entity.a.load_limit: "20s" is shorter than its deadline; write at least "30s""#,
    ),
    // Keys.
    ("[admin]\ntokn = 's3cret'", r#":2:1 admin.tokn: unknown key; did you mean "token"?"#),
    ("lisen = 1", r#":1:1 lisen: unknown key; did you mean "listen"?"#),
    (
        "[store]\npassword = 's3cret'",
        ":2:1 store.password: unknown key; the keys here are url, timeout, prefix",
    ),
    (
        "[entity.user]\nttl = '1s'\n[entity.user.profile]\n",
        ":3:14 entity.user.profile: unknown key; a name with a dot needs quotes: \
         [entity.\"user.profile\"]",
    ),
    ("store = 'redis://s3cret'", ":1:9 store: a table is needed here, not a string"),
    ("[[entity]]", ":1:1 entity: a table is needed here, not an array"),
    // Types.
    ("listen = 7070", ":1:10 listen: a string is needed here, not an integer"),
    (
        "listen = 'localhost'",
        ":1:10 listen: \"localhost\" is not an IP address with a port; write \"127.0.0.1:7070\"",
    ),
    ("[policy]\nwatch = 'yes'", ":2:9 policy.watch: true or false is needed here, not a string"),
    (
        "[policy]\ncomponent = ''",
        ":2:13 policy.component: an empty path; write one, or leave the key out",
    ),
    ("[origin]\nmax_loads = '9'", ":2:13 origin.max_loads: a number is needed here, not a string"),
    (
        "[origin]\nmax_loads = 0",
        ":2:13 origin.max_loads: 0 is not valid; write a number from 1 to 1000",
    ),
    (
        "[origin]\npooler = \"transactions\"",
        ":2:10 origin.pooler: \"transactions\" is not valid; write \"auto\" or \"transaction\"; did you mean \"transaction\"?",
    ),
    (
        "[origin]\nmax_writes = 0xfff",
        ":2:14 origin.max_writes: 4095 is not valid; write a number from 1 to 1000",
    ),
    (
        "[origin]\nmax_loads = -1",
        ":2:13 origin.max_loads: -1 is not valid; write a number from 1 to 1000",
    ),
    // Limits.
    (
        "[policy.limits]\nmemory = 16777216",
        r#":2:10 policy.limits.memory: 16777216 has no unit; write "16777216MiB" or "16777216B""#,
    ),
    (
        "[policy.limits]\nmemory = '16MB'",
        r#":2:10 policy.limits.memory: "16MB" is not a size; write "64MiB", "512KiB" or 0"#,
    ),
    (
        "[policy.limits]\ncomponent = '2GiB'",
        r#":2:13 policy.limits.component: 2GiB is not valid; write a size from "1KiB" to "1GiB""#,
    ),
    (
        "[policy.limits]\ncall = '0ms'",
        r#":2:8 policy.limits.call: "0ms" is too short; write at least "1ms""#,
    ),
    (
        "[policy.limits]\nexploration = '1s'",
        ":2:1 policy.limits.exploration: unknown key; the keys here are call, start, gate, memory, component",
    ),
    // Durations.
    ("grace = '5x'", r#":1:9 grace: "5x" is not a duration; write "5m", "300ms" or "1h30m""#),
    ("grace = ''", r#":1:9 grace: "" is not a duration; write "5m", "300ms" or "1h30m""#),
    ("grace = 10", r#":1:9 grace: 10 has no unit; write "10s" or "10ms""#),
    ("grace = 1.5", r#":1:9 grace: 1.5 has no unit; write "1.5s" or "1.5ms""#),
    ("grace = '10'", r#":1:9 grace: "10" has no unit; write "10s" or "10ms""#),
    ("grace = true", r#":1:9 grace: a duration is needed here, such as "5m", not a boolean"#),
    ("threads = 0", ":1:11 threads: 0 is not valid; write a number from 1 to 1024"),
    ("threads = '2'", ":1:11 threads: a number is needed here, not a string"),
    ("grace = '2h'", r#":1:9 grace: "2h" is too long; write at most "1h""#),
    ("grace = '1500us'", r#":1:9 grace: "1500us" is finer than a millisecond; write whole ones"#),
    (
        "grace = '18446744073709551615s 1000000000ns'",
        r#":1:9 grace: "18446744073709551615s 1000000000ns" is not a duration; write "5m", "300ms" or "1h30m""#,
    ),
    // Both HTTP faces.
    ("idle = '500ms'", r#":1:8 idle: "500ms" is too short; write at least "1s""#),
    (
        "max_connections = 0",
        ":1:19 max_connections: 0 is not valid; write a number from 1 to 1000000",
    ),
    (
        "hosts = ['a.example', 'http://a.example']",
        r#":1:23 hosts[1]: "http://a.example" is no name of a host; write one without scheme and port, such as "cache.internal""#,
    ),
    (
        "[entity.a]\nttl = '1s'\ncache_control = 'max-age=1,,'",
        r#":3:17 entity.a.cache_control: "max-age=1,," is no value of Cache-Control; write "no-cache", "no-store" or "private, max-age=5""#,
    ),
    (
        "cache_control = \"no-cache\\r\\nset-cookie: a\"",
        r#":1:17 cache_control: "no-cache\r\nset-cookie: a" is no value of Cache-Control; write "no-cache", "no-store" or "private, max-age=5""#,
    ),
    // Sizes.
    ("[near]\nbytes = 64", r#":2:9 near.bytes: 64 has no unit; write "64MiB" or "64B""#),
    (
        "[near]\nbytes = '64MB'",
        r#":2:9 near.bytes: "64MB" is not a size; write "64MiB", "512KiB" or 0"#,
    ),
    (
        "[near]\nbytes = '99999999999GiB'",
        r#":2:9 near.bytes: "99999999999GiB" is not a size; write "64MiB", "512KiB" or 0"#,
    ),
    (
        "[near]\nbytes = true",
        r#":2:9 near.bytes: a size is needed here, such as "64MiB", not a boolean"#,
    ),
    ("[store]\ntimeout = 0", r#":2:11 store.timeout: 0 is too short; write at least "1ms""#),
    ("[entity.a]", ":1:1 entity.a.ttl: missing; write how long a value is fresh, such as \"5m\""),
    ("[entity.a]\nttl = '0s'", r#":2:7 entity.a.ttl: "0s" is too short; write at least "1ms""#),
    ("[entity.a]\nttl = '31d'", r#":2:7 entity.a.ttl: "31d" is too long; write at most "30days""#),
    (
        "[entity.a]\nttl = '1s'\ndeadline = '6m'",
        r#":3:12 entity.a.deadline: "6m" is too long; write at most "5m""#,
    ),
    (
        "[query]\ndeadline = '301s'",
        r#":2:12 query.deadline: "301s" is too long; write at most "5m""#,
    ),
    (
        "[entity.a]\nttl = '1s'\ndeadline = '0'",
        r#":3:12 entity.a.deadline: "0" is too short; write at least "1ms""#,
    ),
    // Secrets and access.
    ("[admin]\ntoken = ''", ":2:9 admin.token: an empty token; write one, or leave the key out"),
    (
        "[access]\nread = 's3cret s3cret'",
        ":2:8 access.read: not a token; write letters, digits and ASCII signs without spaces",
    ),
    (
        "[admin]\ntoken = 's3cret'\n[access]\nwrite = 's3cret'",
        ":4:9 access.write: the same token as admin.token, so applications may exchange the \
         policy; write another one",
    ),
    (
        "listen = '0.0.0.0:7070'",
        ":1:10 listen: 0.0.0.0:7070 is not loopback, and without access.write any client may \
         write; set access.write, or access.open = true if a network in front guards it",
    ),
    (
        "[admin]\nlisten = '0.0.0.0:7071'",
        ":2:10 admin.listen: 0.0.0.0:7071 is not loopback, and without admin.token any client may \
         exchange the policy; set admin.token or listen on 127.0.0.1",
    ),
    (
        "[store]\nurl = 'http://s3cret'",
        ":2:7 store.url: not an address that works here; begin with redis://, rediss://, \
         unix://, redis+unix://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://",
    ),
    (
        "[origin]\nurl = 'mysql://s3cret'",
        ":2:7 origin.url: not an address that works here; begin with postgres://, postgresql:// \
         or sqlite:",
    ),
    (
        "[origin]\nurl = 'sqlite:'",
        ":2:7 origin.url: nothing follows sqlite:; write a whole address",
    ),
    (
        "[query]\nenabled = true",
        " origin.url: missing, and query.enabled needs a database; \
         write \"postgres://app@127.0.0.1/shop\" or \"sqlite:shop.db\"",
    ),
    (
        "[origin]\n[entity.a]\nttl = '1s'\nread = 'SELECT 1'",
        ":1:1 origin.url: missing, and entity \"a\" needs a database; \
         write \"postgres://app@127.0.0.1/shop\" or \"sqlite:shop.db\"",
    ),
    // Settings of the policy.
    (
        "[policy.settings]\nday = 2024-01-01",
        ":2:7 policy.settings.day: a datetime has no form in JSON; write a string",
    ),
    ("[policy.settings]\nx = { y = [inf] }", ":2:11 policy.settings.x.y: inf is no number in JSON"),
    (
        "[policy.settings]\nx = 9223372036854775808",
        ":2:5 policy.settings.x: 9223372036854775808 is more than 64 bits hold",
    ),
    // Entities.
    (
        "[entity.User]\nttl = '1s'",
        ":1:1 entity.User: \"User\" is not a name; write a-z, 0-9 and . _ -, a letter or digit \
         first, at most 64 characters",
    ),
    (
        "[entity.a]\nttl = '1s'\nrows = 'mny'",
        r#":3:8 entity.a.rows: "mny" is not valid; write "one" or "many"; did you mean "many"?"#,
    ),
    (
        "[entity.a]\nttl = '1s'\ntags = 'all'",
        ":3:8 entity.a.tags: a list of strings is needed here, not a string",
    ),
    (
        "[entity.a]\nttl = '1s'\ntags = ['all', 7]",
        ":3:16 entity.a.tags[1]: a string is needed here, not an integer",
    ),
    (
        "[entity.a]\nttl = '1s'\nparams = ['id']",
        r#":3:11 entity.a.params[0]: "id" has no type; write "id:int8""#,
    ),
    (
        "[entity.a]\nttl = '1s'\nparams = ['Id:int8']",
        r#":3:11 entity.a.params[0]: "Id" is not a parameter's name; write a-z, 0-9 and _, a digit not first, at most 64"#,
    ),
    (
        "[entity.a]\nttl = '1s'\nparams = ['id:int8', 'id:text']",
        r#":3:22 entity.a.params[1]: "id" is declared twice; give each its own name"#,
    ),
    // Wrong parameters are reported once; references to them are not checked.
    (
        "[entity.a]\nttl = '1s'\nparams = ['id']\ntags = ['a:{id}']",
        r#":3:11 entity.a.params[0]: "id" has no type; write "id:int8""#,
    ),
    (
        "[entity.a]\nttl = '1s'\ntags = ['']",
        r#":3:9 entity.a.tags[0]: an empty tag; write one such as "user:{id}""#,
    ),
    (
        "[entity.a]\nttl = '1s'\ntags = ['a b']",
        r#":3:9 entity.a.tags[0]: "a b" has a space; a tag has none"#,
    ),
    (
        "[entity.a]\nttl = '1s'\ntags = ['a:{id']",
        r#":3:9 entity.a.tags[0]: the braces of "a:{id" don't match; write "user:{id}""#,
    ),
    (
        "[entity.a]\nttl = '1s'\ntags = ['a:{}']",
        r#":3:9 entity.a.tags[0]: "a:{}" has a hole without a name; write {id}"#,
    ),
    (
        "[entity.a]\nttl = '1s'\ntags = ['a:{row.}']",
        r#":3:9 entity.a.tags[0]: "a:{row.}": row. names no column; write row.team_id"#,
    ),
    (
        "[entity.a]\nttl = '1s'\ntags = ['a:{old.team}']",
        ":3:9 entity.a.tags[0]: {old.team} is what a row was before a write, and only a write's \
         touches know it; write {row.team}",
    ),
    (
        "[entity.a]\nttl = '1s'\ntags = ['a:{team}']",
        ":3:9 entity.a.tags[0]: {team} is no parameter; a column would be {row.team}",
    ),
    (
        "[entity.a]\nttl = '1s'\nparams = ['user:int8']\ntags = ['a:{usr}']",
        ":4:9 entity.a.tags[0]: {usr} is no parameter; did you mean {user}?",
    ),
];

#[test]
fn each_mistake_is_told_with_its_place_and_its_remedy() {
    let surprises = ONE_PROBLEM.iter().filter_map(|(text, expected)| surprise(text, expected));
    assert_eq!(surprises.collect::<String>(), "");
}

#[test]
fn an_unknown_type_is_told_in_the_words_of_the_type() {
    let problems = problems_of("[entity.a]\nttl = '1s'\nparams = ['id:in8']");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with(":3:11 entity.a.params[0]: \"id:in8\": "), "{}", problems[0]);
}

#[test]
fn every_problem_is_told_at_once_from_top_to_bottom() {
    let text = r#"
listen = "0.0.0.0:1"
grace = 10
[admin]
token = ""
[store]
url = "memcached://s3cret"
timout = "50ms"
[origin]
max_loads = 0
[entity.a]
ttl = "5x"
rows = "some"
params = ["id:int8", "id"]
[entity.b]
tags = ["{x}"]
[entity.b.write.w]
touches = ["c()"]
"#;
    let errors = parse(text).unwrap_err();
    let lines: Vec<_> = errors.problems().iter().map(|p| p.path.as_str()).collect();
    let expected = [
        "listen",
        "grace",
        "admin.token",
        "store.url",
        "store.timout",
        "origin.url",
        "origin.max_loads",
        "entity.a.ttl",
        "entity.a.rows",
        "entity.a.params[1]",
        "entity.b.ttl",
        "entity.b.tags[0]",
        "entity.b.write.w.sql",
        "entity.b.write.w.touches[0]",
    ];
    assert_eq!(lines, expected);
    let printed = errors.to_string();
    assert_eq!(printed.lines().count(), expected.len() + 1);
    assert!(printed.ends_with("\n14 problems"), "{printed}");
    assert!(printed.contains("etc/corral.toml:3:9 grace: 10 has no unit"), "{printed}");
}

#[test]
fn a_column_counts_characters() {
    assert_eq!(problems_of("'ä' = 1")[0].split(' ').next(), Some(":1:1"));
    let problems = problems_of("policy = { settings = { 'ä' = 1 }, watch = 7 }");
    assert!(problems[0].starts_with(":1:44 policy.watch: "), "{}", problems[0]);
}

/// `None` if the text has this one problem and no secret is shown. The words of the TOML parser are
/// not compared.
pub(super) fn surprise(text: &str, expected: &str) -> Option<String> {
    let problems = problems_of(text);
    let right = match problems.as_slice() {
        [problem] if expected.ends_with("not TOML: ") => problem.starts_with(expected),
        [problem] => problem == expected,
        _ => false,
    };
    let right = right && !problems.concat().contains("s3cret");
    (!right).then(|| format!("{text}\nis told\n{problems:#?}\ninstead of\n{expected}\n"))
}

#[test]
fn a_table_that_is_declared_twice_is_one_problem_and_is_named() {
    let text = "[store]\nurl = 'redis://h'\nurl = 'redis://:s3cret@h'\n\
                [entity.'a.b']\nread = 'x'\nttl = '1m'\n[entity.'a.b'.write.w]\nsql = 'x'\n\
                [entity.c]\nttl = '1m'\n\
                [entity.'a.b']\nread = 'y'\nttl = '2m'\n[entity.'a.b'.write.w]\nsql = 'x'\n";
    let expected = [
        ":3:1: not TOML: duplicate key: store.url, which line 2 has already",
        ":11:9: not TOML: duplicate key: entity.'a.b', which line 4 has already",
    ];
    assert_eq!(problems_of(text), expected);
}
