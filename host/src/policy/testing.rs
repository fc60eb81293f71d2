//! Small policies for tests, good and bad, written in WebAssembly text.

use std::sync::Arc;

use serde_json::Value;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::config::{Config, Environment};

use super::{
    Action, Argument, Change, Configuration, Decider, Engine, Entity, Event, Limits, Memo, Moment,
    Plan, Refusal, Request, Row, Subject, Target, Trap, Turn, builtin,
};
use crate::policy::prove::gate::{Conditions, Passed, examine};

pub(super) const WIT: &str = include_str!("../../../wit/policy.wit");

/// A core module that decides as little as a policy can: keys are hashes of their requests, and a
/// flight loads and answers. Its parts can be exchanged for bad ones.
pub(super) struct Wat {
    pub(super) wit: String,
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Declarations at the head of the module: imports, data, functions.
    pub(super) head: &'static str,
    pub(super) pages: u32,
    pub(super) configure: &'static str,
    pub(super) plan: &'static str,
    pub(super) step: &'static str,
}

impl Default for Wat {
    fn default() -> Self {
        Self {
            wit: WIT.to_owned(),
            name: "tiny",
            version: "1.0.0",
            head: "",
            pages: 4,
            configure: "(i32.const 1024)",
            plan: "(call $key) (i32.const 1024)",
            step: LOAD_AND_ANSWER,
        }
    }
}

impl Wat {
    /// The core module, with the description of its contract.
    pub(super) fn module(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let package = resolve.push_source("policy.wit", &self.wit).unwrap();
        let world = resolve.select_world(&[package], None).unwrap();
        let mut module = wat::parse_str(self.text()).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        module
    }

    pub(super) fn component(&self) -> Vec<u8> {
        ComponentEncoder::default().module(&self.module()).unwrap().encode().unwrap()
    }

    /// Passes the gate for [`entities`], in an engine of its own.
    pub(super) fn passed(&self) -> Passed {
        examine(&engine(), &self.component(), &conditions()).unwrap()
    }

    /// The prefix of the names of exported functions: `corral:policy/decisions@0.2.0#`.
    fn interface(&self) -> String {
        let package = self.wit.lines().find_map(|line| line.strip_prefix("package "));
        let (package, version) = package.unwrap().trim_end_matches(';').split_once('@').unwrap();
        format!("{package}/decisions@{version}#")
    }

    /// The signatures are the contract's, flattened as the canonical ABI prescribes. Addresses in
    /// memory: 16 for the name, 64 for the version, 512 for the key, 1024 for answers of `plan`,
    /// 1152 for turns, 8192 for arguments.
    fn text(&self) -> String {
        let Self { head, pages, name, version, configure, plan, step, .. } = self;
        let at = self.interface();
        let key = KEY.replace("cabi_post_plan", &format!("cabi_post_{at}plan"));
        format!(
            r#"(module {head} {key}
            (memory (export "memory") {pages})
            (data (i32.const 16) "{name}")
            (data (i32.const 64) "{version}")
            (func (export "{at}describe") (result i32)
                (i32.store (i32.const 128) (i32.const 16))
                (i32.store (i32.const 132) (i32.const {}))
                (i32.store (i32.const 136) (i32.const 64))
                (i32.store (i32.const 140) (i32.const {}))
                (i32.const 128))
            (func (export "{at}configure") (param i32 i32 i32 i32) (result i32) {configure})
            (func (export "{at}plan")
                (param $kind i32) (param $entity i32) (param $length i32) (param i32 i32 i32)
                (param $arguments i32) (param $count i32) (result i32)
                (local.get $entity) (local.get $length)
                (local.get $arguments) (local.get $count)
                (call $request)
                {plan})
            (func (export "{at}row-tags")
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 2048))
            (func (export "{at}step")
                (param i32 i32 i32 i32 i32 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32)
                (result i32) {step})
            (func (export "{at}invalidate")
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 2048))
            )"#,
            name.len(),
            version.len(),
        )
    }
}

/// A step that asks the origin at every event, answers what the origin brings and fails if it
/// fails.
pub(super) const LOAD_AND_ANSWER: &str = "
    (i32.store8 (i32.const 1168) (select (i32.const 8)
        (select (i32.const 6) (i32.const 4) (i32.ge_u (local.get 7) (i32.const 7)))
        (i32.eq (local.get 7) (i32.const 8))))
    (i32.const 1152)";

/// Names requests: 32 hexadecimal digits of two hashes, which add up over the arguments so that
/// their order does not matter.
const KEY: &str = r#"
    (global $heap (mut i32) (i32.const 8192))
    (global $entity (mut i32) (i32.const 0))
    (global $length (mut i32) (i32.const 0))
    (global $arguments (mut i32) (i32.const 0))
    (global $count (mut i32) (i32.const 0))
    (global $calls (mut i32) (i32.const 0))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
        (global.set $heap (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (func (export "cabi_post_plan") (param i32) (global.set $heap (i32.const 8192)))
    (func $request (param i32 i32 i32 i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (global.set $entity (local.get 0)) (global.set $length (local.get 1))
        (global.set $arguments (local.get 2)) (global.set $count (local.get 3)))
    (func $hash (param $h i64) (param $at i32) (param $n i32) (result i64)
        (block $end (loop $next
            (br_if $end (i32.eqz (local.get $n)))
            (local.set $h (i64.mul (i64.const 0x100000001b3)
                (i64.xor (local.get $h) (i64.load8_u (local.get $at)))))
            (local.set $h (i64.xor (local.get $h) (i64.shr_u (local.get $h) (i64.const 29))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $next)))
        (local.get $h))
    (func $argument (param $h i64) (param $at i32) (result i64)
        (local.set $h (call $hash (local.get $h)
            (i32.load (local.get $at)) (i32.load offset=4 (local.get $at))))
        (local.set $h (call $hash (local.get $h) (i32.add (local.get $at) (i32.const 8))
            (i32.const 1)))
        (if (result i64) (i32.load8_u offset=8 (local.get $at))
            (then (call $hash (local.get $h)
                (i32.load offset=12 (local.get $at)) (i32.load offset=16 (local.get $at))))
            (else (local.get $h))))
    (func $digest (param $seed i64) (result i64)
        (local $sum i64) (local $n i32)
        (local.set $sum (call $hash (local.get $seed)
            (global.get $entity) (global.get $length)))
        (local.set $n (global.get $count))
        (block $end (loop $next
            (br_if $end (i32.eqz (local.get $n)))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (local.set $sum (i64.add (local.get $sum) (call $argument (local.get $seed)
                (i32.add (global.get $arguments) (i32.mul (local.get $n) (i32.const 20))))))
            (br $next)))
        (local.get $sum))
    (func $hex (param $at i32) (param $value i64)
        (local $n i32)
        (loop $next
            (i32.store8 (i32.add (local.get $at) (local.get $n))
                (i32.add (i32.const 97) (i32.wrap_i64 (i64.and (local.get $value)
                    (i64.const 15)))))
            (local.set $value (i64.shr_u (local.get $value) (i64.const 4)))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $n) (i32.const 16)))))
    (func $key
        (call $hex (i32.const 512) (call $digest (i64.const 0x6c62272e07bb0142)))
        (call $hex (i32.const 528) (call $digest (i64.const 0x27d4eb2f165667c5)))
        (i32.store (i32.const 1028) (i32.const 512))
        (i32.store (i32.const 1032) (i32.const 32)))
"#;

pub(super) fn engine() -> Engine {
    // The gate comes to its end however slow the machine is.
    let limits = Limits { gate: std::time::Duration::from_secs(60), ..Limits::default() };
    Engine::new(limits).unwrap()
}

pub(super) fn entities() -> Vec<Entity> {
    vec![
        Entity::of("catalogue", &[]),
        Entity::of("orders", &["user", "day"]),
        Entity::of("user.profile", &["id"]),
    ]
}

/// [`entities`] and empty settings.
pub(super) fn conditions() -> Conditions {
    Conditions::of(Configuration { entities: entities(), ..Configuration::default() })
}

pub(super) fn read(entity: &str) -> Request {
    Request { subject: Subject::Entity(entity.into()), arguments: Vec::new() }
}

pub(super) fn first_step() -> (Memo, Moment, Event) {
    let memo = Memo { phase: 0, since_ms: 0, terms: 0, note: 0 };
    (memo, Moment { elapsed_ms: 0, left_ms: 1_000, entropy: 7 }, Event::Absent)
}

/// The built-in policy with other actions.
pub(super) struct Altered(pub(super) Arc<dyn Decider>, pub(super) fn(Event, Turn) -> Action);

impl Decider for Altered {
    fn plan(&self, request: &Request) -> Result<Result<Plan, Refusal>, Trap> {
        self.0.plan(request)
    }

    fn row_tags(
        &self,
        request: &Request,
        rows: &[Row],
    ) -> Result<Result<Vec<String>, Refusal>, Trap> {
        self.0.row_tags(request, rows)
    }

    fn step(&self, memo: Memo, moment: Moment, event: Event) -> Result<Turn, Trap> {
        let turn = self.0.step(memo, moment, event)?;
        Ok(Turn { action: (self.1)(event, turn), ..turn })
    }

    fn invalidate(&self, change: &Change) -> Result<Vec<Target>, Trap> {
        self.0.invalidate(change)
    }
}

/// Two entities.
const SHOP: &str = r#"
origin.url = "sqlite:shop.db"
[entity.item]
params = ["id:text"]
read = "SELECT * FROM items WHERE id = $1"
ttl = "1m"
stale_while_revalidate = "1s"
negative_ttl = "5s"
tags = ["item:{id}", "team:{row.team}"]
write.rename = { params = ["id:text"], sql = "UPDATE", touches = ["item(id)", "tag item:{id}"] }
[entity.list]
read = "SELECT * FROM items"
ttl = "1m"
negative_ttl = "5s"
"#;

/// The built-in policy over two entities, with these settings of its own.
pub(super) fn builtin_with(settings: Value) -> Arc<dyn Decider> {
    builtin_over(settings, |_| {})
}

/// The built-in policy with these settings, over two entities of which the first, the item, is
/// changed.
pub(super) fn builtin_over(settings: Value, item: impl FnOnce(&mut Entity)) -> Arc<dyn Decider> {
    let Value::Object(settings) = settings else { panic!("settings are an object") };
    let config = Config::parse(SHOP, "shop", &Environment::default()).unwrap();
    let mut configuration = config.for_policy_with(&settings);
    item(&mut configuration.entities[0]);
    let passed = examine(&engine(), builtin(), &Conditions::of(configuration)).unwrap();
    Arc::clone(passed.pool()) as Arc<dyn Decider>
}

/// A read of an entity with one parameter, `id`.
pub(super) fn read_of(entity: &str, id: Option<&str>) -> Request {
    let argument = |id: &str| Argument { name: "id".to_owned(), value: Some(id.to_owned()) };
    Request {
        subject: Subject::Entity(entity.to_owned()),
        arguments: id.map(argument).into_iter().collect(),
    }
}
