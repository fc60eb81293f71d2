use std::collections::BTreeMap;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

#[test]
fn a_short_read_has_a_key_that_a_person_can_read() {
    assert_eq!(entity(&[Some("42")]), "v1:user.profile:42");
    assert_eq!(entity(&[Some("42"), None, Some("")]), "v1:user.profile:42:~:");
    assert_eq!(entity(&[]), "v1:user.profile");
}

#[test]
fn values_made_to_be_mistaken_for_each_other_get_keys_of_their_own() {
    let long = "x".repeat(10_000);
    let longer = "x".repeat(10_001);
    let digest = entity(&[Some(&long)]);
    let lookalike = digest.rsplit(':').next().unwrap();
    let values = [
        vec![Some("42:admin")],
        vec![Some("42"), Some("admin")],
        vec![Some("42%3Aadmin")],
        vec![Some("42%253Aadmin")],
        vec![Some("")],
        vec![None],
        vec![],
        vec![Some("~")],
        vec![Some("%7E")],
        vec![None, None],
        vec![Some(""), None],
        vec![None, Some("")],
        vec![Some("{42}")],
        vec![Some("42\n")],
        vec![Some("42\r\n")],
        vec![Some("é")],
        vec![Some("e\u{301}")],
        vec![Some("%C3%A9")],
        vec![Some(long.as_str())],
        vec![Some(longer.as_str())],
        vec![Some(lookalike)],
        vec![Some(long.as_str()), None],
    ];
    let mut seen = BTreeMap::new();
    for values in values {
        let key = entity(&values);
        assert_legal(&key);
        assert_eq!(seen.insert(key, values), None);
    }
}

#[test]
fn the_limits_are_where_the_plain_form_ends() {
    let room = PLAIN_BYTES_MAX - "v1:user.profile:".len();
    assert_eq!(entity(&[Some(&"x".repeat(room))]).len(), PLAIN_BYTES_MAX);
    assert!(is_digest(&entity(&[Some(&"x".repeat(room + 1))])));
    assert!(!is_digest(&entity(&[Some("1"); PLAIN_ARGUMENTS_MAX])));
    assert!(is_digest(&entity(&[Some("1"); PLAIN_ARGUMENTS_MAX + 1])));
}

#[test]
fn a_digest_never_stands_for_another_entity_or_a_query() {
    let long = "x".repeat(1_000);
    let of_user = Key::entity("v1", "user", &[Some(&long)]);
    let of_order = Key::entity("v1", "order", &[Some(&long)]);
    let of_query = Key::query("v1", ("user", 0), &[], &[("", Some(&long))]);
    let digests = [&of_user, &of_order, &of_query].map(|key| key.as_str().rsplit(':').next());
    assert_ne!(digests[0], digests[1]);
    assert_ne!(digests[0], digests[2]);
}

#[test]
fn the_longest_names_leave_a_key_within_the_contract() {
    let namespace = "n".repeat(NAMESPACE_BYTES_MAX);
    let name = "e".repeat(ENTITY_BYTES_MAX);
    let many = [Some("é"); 500];
    assert_legal(Key::entity(&namespace, &name, &many).as_str());
    let sql = "x".repeat(10_000);
    assert_legal(Key::query(&namespace, (&sql, u32::MAX), &[], &[("p", None)]).as_str());
}

proptest! {
    #[test]
    fn keys_are_equal_exactly_when_their_values_are(a in values(), b in values()) {
        let (key_a, key_b) = (entity(&borrowed(&a)), entity(&borrowed(&b)));
        assert_legal(&key_a);
        prop_assert_eq!(a == b, key_a == key_b);
    }

    #[test]
    fn query_keys_are_equal_exactly_when_everything_asked_for_is(
        a in asked(), b in asked()
    ) {
        let (key_a, key_b) = (query(&a), query(&b));
        assert_legal(&key_a);
        prop_assert_eq!(a == b, key_a == key_b);
    }
}

/// Statement, lifetime, tags and arguments.
type Asked = (String, u32, Vec<String>, Named);
type Named = Vec<(String, Option<String>)>;

/// Few distinct texts, so that pairs are often equal or nearly so, and some long ones.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a:~%{}7E\n é]{0,3}",
        2 => any::<String>(),
        1 => "[ab]{255,257}",
    ]
}

fn values() -> impl Strategy<Value = Vec<Option<String>>> {
    prop_oneof![
        4 => prop::collection::vec(prop::option::of(texts()), 0..3),
        1 => prop::collection::vec(prop::option::of("[ab]{0,1}"), 8..10),
    ]
}

fn named() -> impl Strategy<Value = Named> {
    prop::collection::vec(("[a:]{0,1}", prop::option::of("[a:]{0,1}")), 0..3)
}

fn asked() -> impl Strategy<Value = Asked> {
    (texts(), 0_u32..3, prop::collection::vec("[a:]{0,1}", 0..3), named())
}

fn borrowed(values: &[Option<String>]) -> Vec<Option<&str>> {
    values.iter().map(Option::as_deref).collect()
}

fn entity(values: &[Option<&str>]) -> String {
    Key::entity("v1", "user.profile", values).to_string()
}

fn query((sql, ttl_ms, tags, arguments): &Asked) -> String {
    let arguments: Vec<_> =
        arguments.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    let tags: Vec<Tag> = tags.iter().map(|tag| Tag::given(tag)).collect();
    Key::query("v1", (sql, *ttl_ms), &tags, &arguments).to_string()
}

fn is_digest(key: &str) -> bool {
    key.rsplit(":~").next().is_some_and(|hex| hex.len() == digest::HEX_BYTES)
}

fn assert_legal(key: &str) {
    assert!((1..=KEY_BYTES_MAX).contains(&key.len()), "{} bytes", key.len());
    assert!(key.bytes().all(|b| b.is_ascii_graphic() && b != b'{' && b != b'}'), "{key}");
}
