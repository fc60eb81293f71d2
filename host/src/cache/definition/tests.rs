//! What distinguishes definitions and reads.

use super::*;
use crate::config::Config;

/// The definition that the others are compared with.
pub(in super::super) const ENTITY: &str = "[entity.user]\nttl = '1m'\nstale_if_error = '4m'\ndeadline = '3s'\n\
                      params = ['id:int8']\ntags = ['user:{id}']\n";

pub(in super::super) fn definition(text: &str) -> Arc<Definition> {
    let config = Config::parse(text, "corral.toml", &Default::default()).unwrap();
    Definition::new(Arc::new(config.entities["user"].clone()), &Prefix::default())
}

fn read(value: &str) -> ReadName {
    ReadName::new("user", [Some(value)].into_iter())
}

pub(in super::super) fn policy(settings: &str) -> PolicyId {
    PolicyId::of("component", settings)
}

pub(in super::super) fn naming(definition: &Definition) -> Naming {
    definition.naming(policy("{}"))
}

#[test]
fn a_definition_that_answers_otherwise_has_another_digest_and_one_that_lives_otherwise_has_not() {
    let base = definition(ENTITY);
    for (text, other) in [
        ("ttl = '1m'", "ttl = '2m'"),
        ("deadline = '3s'", "deadline = '4s'"),
        ("stale_if_error = '4m'", "near = '1s'"),
    ] {
        let same = definition(&ENTITY.replace(text, other));
        assert_eq!(same.digest(), base.digest(), "{other}");
        assert_eq!(same.fingerprint(&read("1")), base.fingerprint(&read("1")), "{other}");
    }
    for (text, other) in [
        ("params = ['id:int8']", "params = ['id:int4']"),
        ("params = ['id:int8']", "params = ['id:int8', 'lang:text']"),
        ("tags = ['user:{id}']", "tags = []"),
        ("tags = ['user:{id}']", "tags = ['user:{id}', 'users']"),
        ("ttl = '1m'", "ttl = '1m'\nrows = 'many'"),
    ] {
        let changed = definition(&ENTITY.replace(text, other));
        assert_ne!(changed.digest(), base.digest(), "{other}");
        assert_ne!(changed.fingerprint(&read("1")), base.fingerprint(&read("1")), "{other}");
    }
}

#[test]
fn a_fingerprint_tells_reads_of_one_definition_apart_and_is_the_same_on_every_host() {
    let (here, there) = (definition(ENTITY), definition(ENTITY));
    assert_eq!(here.fingerprint(&read("1")), there.fingerprint(&read("1")));
    assert_ne!(here.fingerprint(&read("1")), here.fingerprint(&read("2")));
    let null = ReadName::new("user", [None].into_iter());
    assert_ne!(here.fingerprint(&read("")), here.fingerprint(&null));
}

#[test]
fn a_naming_says_how_its_definition_names_and_for_how_long() {
    let naming = naming(&definition(ENTITY));
    assert_eq!(naming.entity, "user");
    assert_eq!(naming.params, ["id:int8"]);
    assert_eq!(naming.deadline_ms, 10_000, "a load may outlast its readers");
    assert!(naming.lasts_ms >= 5 * 60_000, "a value is kept for as long as it may be answered");
    let short = definition(&ENTITY.replace("1m", "1s").replace("stale_if_error = '4m'\n", ""));
    let published_every_ms = 10_000;
    assert!(self::naming(&short).lasts_ms >= 3 * published_every_ms, "its host is alive");
}
