//! The example of the manual, and what it means.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::super::{
    Access, AdminConfig, Config, EntityConfig, HttpConfig, NearConfig, OriginConfig, Param,
    PolicyConfig, QueryConfig, Secret, StoreConfig, TagTemplate, Then, TouchText, WriteConfig,
};
use super::parse;
use crate::origin::{ParamType, Pooler, ReadStatement, Rows, WriteStatement};
use crate::policy::Limits;
use crate::store::Prefix;

/// The example of the manual, with tokens written out.
pub(super) const EXAMPLE: &str = r#"
listen = "127.0.0.1:7070"
threads = 4
[admin]
listen = "127.0.0.1:7071"        # anything but loopback requires token
token  = "t-admin"
[access]
read  = "t-read"
write = "t-write"
[store]
url = "redis://127.0.0.1:6379"
timeout = "50ms"
[near]
bytes = "16MiB"
[origin]
url = "postgres://app@127.0.0.1/shop"
max_loads = 32
[policy]
component = "policy.wasm"
cache = "cache"
watch = true
[policy.settings]
namespace = "v1"
jitter = 0.2

[entity."user.profile"]
params = ["id:int8"]
read   = "SELECT id, name, email, role FROM users WHERE id = $1"
rows   = "one"
ttl = "5m"
stale_while_revalidate = "1m"
stale_if_error = "1h"
negative_ttl = "30s"
tags = ["user:{id}"]
deadline = "2s"
near = "1s"

[entity."user.profile".write.rename]
params = ["id:int8", "name:text", "email:text"]
sql   = "UPDATE users SET name = $2, email = $3 WHERE id = $1"
then  = "invalidate"
touches = ["user.profile(id)", "tag user:{id}"]

[query]
enabled = false

[policy.limits]
call = "20ms"
"#;

#[test]
fn the_example_of_the_manual_means_what_it_says() {
    assert_eq!(parse(EXAMPLE), Ok(example()));
}

fn example() -> Config {
    let secret = |text: &str| Some(Secret(text.to_owned()));
    let settings = json!({"jitter": 0.2, "namespace": "v1"}).as_object().unwrap().clone();
    Config {
        file: None,
        listen: "127.0.0.1:7070".parse().unwrap(),
        drain: Duration::from_secs(5),
        grace: Duration::from_secs(10),
        threads: 4,
        http: HttpConfig {
            idle: Duration::from_secs(75),
            max_connections: 10_000,
            hosts: vec![],
            cache_control: "no-cache".to_owned(),
        },
        admin: AdminConfig { listen: "127.0.0.1:7071".parse().unwrap(), token: secret("t-admin") },
        access: Access {
            read: secret("t-read"),
            write: secret("t-write"),
            open: false,
            no_cache: false,
        },
        near: NearConfig { bytes: 16 << 20 },
        store: StoreConfig {
            url: secret("redis://127.0.0.1:6379"),
            prefix: Prefix::default(),
            timeout: Duration::from_millis(50),
        },
        origin: OriginConfig {
            url: secret("postgres://app@127.0.0.1/shop"),
            max_loads: 32,
            max_writes: 8,
            pooler: Pooler::Auto,
        },
        policy: PolicyConfig {
            component: Some(Path::new("etc").join("policy.wasm")),
            cache: Some(Path::new("etc").join("cache")),
            watch: true,
            probation: Duration::from_secs(60),
            allow_rename: false,
            settings,
            limits: Limits { call: Duration::from_millis(20), ..Limits::default() },
        },
        query: QueryConfig {
            enabled: false,
            url: None,
            max_loads: 4,
            ttl: Duration::from_secs(60),
            max_ttl: Duration::from_secs(3600),
            max_bytes: 1 << 20,
            deadline: Duration::from_secs(2),
        },
        entities: BTreeMap::from([("user.profile".to_owned(), profile())]),
    }
}

fn profile() -> EntityConfig {
    EntityConfig {
        name: "user.profile".to_owned(),
        params: vec![param("id", ParamType::Int8)],
        read: Some(ReadStatement {
            sql: "SELECT id, name, email, role FROM users WHERE id = $1".to_owned(),
            params: vec![ParamType::Int8],
            rows: Rows::One,
        }),
        rows: Rows::One,
        ttl: Duration::from_secs(300),
        stale_while_revalidate: Duration::from_secs(60),
        stale_if_error: Duration::from_secs(3600),
        negative_ttl: Duration::from_secs(30),
        tags: vec![TagTemplate::parse("user:{id}").unwrap()],
        depends: Vec::new(),
        deadline: Duration::from_secs(2),
        load_limit: Duration::from_secs(10),
        near: Duration::from_secs(1),
        cache_control: None,
        writes: BTreeMap::from([("rename".to_owned(), rename())]),
    }
}

fn rename() -> WriteConfig {
    let params = vec![
        param("id", ParamType::Int8),
        param("name", ParamType::Text),
        param("email", ParamType::Text),
    ];
    WriteConfig {
        name: "rename".to_owned(),
        params,
        statement: WriteStatement {
            sql: "UPDATE users SET name = $2, email = $3 WHERE id = $1".to_owned(),
            params: vec![ParamType::Int8, ParamType::Text, ParamType::Text],
        },
        then: Then::Invalidate,
        touches: ["user.profile(id)", "tag user:{id}"]
            .map(|text| TouchText::parse(text).unwrap())
            .to_vec(),
        touches_nothing: false,
        allowed: Vec::new(),
    }
}

fn param(name: &str, ty: ParamType) -> Param {
    Param { name: name.to_owned(), ty }
}
