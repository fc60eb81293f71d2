//! Under which names a target is removed, and when a floor is raised instead.

use super::*;
use crate::config::Config;
use crate::policy::{
    Change, Configuration, Decider, Event, Manifest, Memo, Moment, NativePolicy, Plan, Refusal,
    Row, Target as Touched, Trap, Turn,
};
use crate::store::{Epoch, StoreTag};
use crate::store::{Layout, Range, RangeId};
use serde_json::{Map, Value};

const USER: &str = "[entity.user]\nttl = '1m'\nparams = ['id:int8']\n";

#[test]
fn a_read_is_removed_under_the_naming_of_this_host_before_anybody_has_published() {
    let world = World::new();
    let names = world.names(&[read("7")]);
    assert_eq!(names.names, [world.named(&world.ours, "v1:7")]);
    assert_eq!(names.scopes, []);
}

#[test]
fn a_read_is_removed_under_every_digest_that_is_in_use() {
    let world = World::new();
    let theirs = definition("[entity.user]\nttl = '1m'\nparams = ['id:int8']\ntags = ['users']\n");
    world.publish(vec![world.ours.naming(world.policy()), theirs.naming(world.policy())]);
    let names = world.names(&[read("7")]);
    let mut expected = [world.named(&world.ours, "v1:7"), world.named(&theirs, "v1:7")];
    expected.sort();
    assert_eq!(names.names, expected);
    assert_eq!(names.scopes, []);
}

#[test]
fn a_floor_is_raised_where_the_parameters_differ() {
    let world = World::new();
    let theirs = definition("[entity.user]\nttl = '1m'\nparams = ['id:text']\n");
    let naming = theirs.naming(world.policy());
    world.publish(vec![naming.clone()]);
    let names = world.names(&[read("7")]);
    assert_eq!(names.scopes, [naming.scope()]);
    assert_eq!(names.names, [world.named(&world.ours, "v1:7")]);
}

#[test]
fn a_floor_is_raised_where_the_policy_is_not_known_here() {
    let world = World::new();
    let naming = world.ours.naming(PolicyId::of("another component", "{}"));
    world.publish(vec![naming.clone()]);
    let names = world.names(&[read("7")]);
    assert_eq!(names.scopes, [naming.scope()]);
}

#[test]
fn a_floor_is_raised_of_an_entity_that_this_host_does_not_have() {
    let world = World::new();
    let theirs = Naming { entity: "order".to_owned(), ..world.ours.naming(world.policy()) };
    world.publish(vec![theirs.clone()]);
    let order = IntentTarget::Read { entity: "order".to_owned(), arguments: vec![] };
    let names = world.names(&[order]);
    assert_eq!(names.scopes, [theirs.scope()]);
    assert_eq!(names.names, []);
    // An entity that no naming has costs nothing.
    let nobody = IntentTarget::Read { entity: "nobody".to_owned(), arguments: vec![] };
    let names = world.names(&[nobody]);
    assert!(names.names.is_empty() && names.scopes.is_empty());
}

#[test]
fn a_policy_that_traps_costs_a_floor_and_leaves_nothing_out() {
    let world = World::new();
    let names = world.names(&[read("trap")]);
    assert_eq!(names.scopes, [world.ours.naming(world.policy()).scope()]);
}

#[test]
fn both_generations_are_asked_while_keys_of_the_earlier_one_may_live() {
    let world = World::new();
    let earlier = world.policy();
    world.slot.activate_native(native("v2"));
    assert_ne!(earlier, world.policy());
    let names = world.names(&[read("7")]);
    let mut expected = ["v1:7", "v2:7"].map(|key| world.named(&world.ours, key));
    expected.sort();
    assert_eq!(names.names, expected);
}

#[test]
fn a_key_is_removed_under_every_digest_whatever_its_entity() {
    let world = World::new();
    let theirs = definition("[entity.user]\nttl = '1m'\nparams = ['id:text']\n");
    world.publish(vec![theirs.naming(PolicyId::of("another component", "{}"))]);
    let names = world.names(&[IntentTarget::Key(key("v1:7"))]);
    let mut expected = [world.named(&world.ours, "v1:7"), world.named(&theirs, "v1:7")];
    expected.sort();
    assert_eq!(names.names, expected);
    assert_eq!(names.scopes, []);
}

#[test]
fn what_several_targets_say_is_removed_once() {
    let world = World::new();
    let tag = StoreTag::try_new("user:7").unwrap();
    let targets =
        [IntentTarget::Tag(tag.clone()), read("7"), IntentTarget::Key(key("v1:7")), read("7")];
    let names = world.names(&targets);
    assert_eq!(names.names, [world.named(&world.ours, "v1:7")]);
    assert_eq!(names.tags, [tag]);
}

struct World {
    prefix: Prefix,
    ours: Arc<Definition>,
    stamps: Stamps,
    slot: Slot,
}

impl World {
    fn new() -> Self {
        let ours = definition(USER);
        let stamps = Stamps::new(vec![Arc::clone(&ours)], Layout::Single);
        Self { prefix: Prefix::default(), ours, stamps, slot: Slot::native(native("v1")) }
    }

    fn policy(&self) -> PolicyId {
        self.slot.current().policy_id()
    }

    fn publish(&self, namings: Vec<Naming>) {
        let range = Range { version: 1, namings, ..Range::default() };
        self.stamps.set(
            Epoch(1),
            vec![(RangeId::FIRST, range)],
            (&self.stamps.in_use(), self.policy()),
            Duration::ZERO,
            Duration::ZERO,
        );
    }

    fn names(&self, targets: &[IntentTarget]) -> InvalidationNames {
        Namer::new(&self.prefix, &self.stamps, &self.slot, Duration::ZERO).names(targets)
    }

    fn named(&self, definition: &Definition, text: &str) -> Name {
        Name::new(&self.prefix, definition.digest(), &key(text))
    }
}

fn definition(text: &str) -> Arc<Definition> {
    let config = Config::parse(text, "corral.toml", &Default::default()).unwrap();
    Definition::new(Arc::new(config.entities["user"].clone()), &Prefix::default())
}

fn read(id: &str) -> IntentTarget {
    let arguments = vec![("id".to_owned(), Some(id.to_owned()))];
    IntentTarget::Read { entity: "user".to_owned(), arguments }
}

fn key(text: &str) -> StoreKey {
    StoreKey::try_new(text).unwrap()
}

fn native(version: &'static str) -> NativePolicy {
    let manifest = Manifest { name: "naming".to_owned(), version: "1".to_owned() };
    let settings = Map::from_iter([("version".to_owned(), Value::from(version))]);
    let configuration = Arc::new(Configuration { settings, ..Configuration::default() });
    NativePolicy { manifest, configuration, policy: Arc::new(Naive(version)) }
}

/// A policy that names, and traps at one value.
struct Naive(&'static str);

fn trap<T>(function: &'static str) -> Result<T, Trap> {
    Err(Trap { function, reason: "as the test wants it".to_owned() })
}

impl Decider for Naive {
    fn plan(&self, request: &Request) -> Result<Result<Plan, Refusal>, Trap> {
        let id = request.arguments[0].value.clone().unwrap_or_default();
        if id == "trap" {
            return trap("plan");
        }
        let key = format!("{}:{id}", self.0);
        Ok(Ok(Plan {
            key,
            tags: vec![],
            row_columns: vec![],
            memo: Memo { phase: 0, since_ms: 0, terms: 0, note: 0 },
        }))
    }

    fn row_tags(
        &self,
        _request: &Request,
        _rows: &[Row],
    ) -> Result<Result<Vec<String>, Refusal>, Trap> {
        trap("row-tags")
    }

    fn step(&self, _memo: Memo, _moment: Moment, _event: Event) -> Result<Turn, Trap> {
        trap("step")
    }

    fn invalidate(&self, _change: &Change) -> Result<Vec<Touched>, Trap> {
        trap("invalidate")
    }
}

#[test]
fn a_naming_that_the_range_has_just_lost_is_named_still() {
    let world = World::new();
    let theirs = definition(&USER.replace("int8", "int8']\ntags = ['users")).naming(world.policy());
    world.publish(vec![world.ours.naming(world.policy()), theirs.clone()]);
    let before = world.names(&[read("7")]);
    world.publish(vec![world.ours.naming(world.policy())]);
    assert_eq!(world.names(&[read("7")]).names, before.names);
}

#[test]
fn what_was_sent_before_is_not_sent_again() {
    let names = |texts: &[&str]| {
        let tags = texts.iter().map(|text| StoreTag::try_new(text).unwrap()).collect();
        InvalidationNames { names: vec![], tags, scopes: vec![FloorScope::Everything] }
    };
    let beyond = names(&["a", "b", "c"]).beyond(&names(&["a", "c"]));
    assert_eq!(beyond.tags, names(&["b"]).tags);
    assert!(beyond.scopes.is_empty());
}
