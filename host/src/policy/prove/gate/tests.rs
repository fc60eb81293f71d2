use std::time::Duration;

use super::*;
use crate::name::StoreKey;
use crate::policy::testing::{WIT, Wat, conditions, engine, first_step};
use crate::policy::{Configuration, Decider, Entity, Limits, builtin};

#[test]
fn a_component_passes_and_decides() {
    let bytes = Wat::default().component();
    let passed = examine(&engine(), &bytes, &conditions()).unwrap();
    let report = passed.report();
    assert_eq!((report.name.as_str(), report.version.as_str()), ("tiny", "1.0.0"));
    assert_eq!((report.bytes, report.digest.len()), (bytes.len(), 64));
    assert!(report.decisions > 700, "{}", report.decisions);
    let (memo, moment, event) = first_step();
    assert!(passed.pool().step(memo, moment, event).is_ok());
}

#[test]
fn the_built_in_policy_passes_with_every_request() {
    let passed = examine(&engine(), builtin(), &conditions());
    assert_eq!(passed.unwrap().report().name, "default");
}

#[test]
fn a_core_module_is_encoded_and_passes() {
    let passed = examine(&engine(), &Wat::default().module(), &conditions()).unwrap();
    assert_eq!(passed.report().name, "tiny");
}

#[test]
fn what_passed_needs_no_new_instance_for_its_first_calls() {
    let passed = Wat::default().passed();
    let created = passed.pool().created();
    let (memo, moment, event) = first_step();
    passed.pool().step(memo, moment, event).unwrap();
    assert_eq!(passed.pool().created(), created);
}

#[test]
fn a_component_over_the_size_limit_is_refused() {
    let limits = Limits { component_bytes: 1_000, ..Limits::default() };
    let engine = Engine::new(limits).unwrap();
    let bytes = vec![0; 1_001];
    let rejection = examine(&engine, &bytes, &Conditions::default()).unwrap_err();
    assert_eq!(rejection.stage, Stage::Size);
    assert_eq!(rejection.reason, "it has 1001 bytes, policy.limits.component allows 1000");
}

#[test]
fn what_is_no_webassembly_is_refused_with_what_it_is() {
    let cases: [(&[u8], &str); 4] = [
        (b"", "it is empty"),
        (b"(module)", "it is text"),
        (b"\x7fELF\0\0\0\0", "it is not WebAssembly"),
        (b"\0as", "it ends within the first four bytes"),
    ];
    for (bytes, reason) in cases {
        let rejection = refused(bytes);
        assert_eq!(rejection.stage, Stage::Format, "{rejection}");
        assert!(rejection.reason.starts_with(reason), "{rejection}");
    }
}

#[test]
fn a_truncated_component_is_refused_wherever_it_ends() {
    let bytes = Wat::default().component();
    for end in [4, 7, 9, 100, bytes.len() / 2, bytes.len() - 1] {
        let rejection = refused(&bytes[..end]);
        assert_eq!(rejection.stage, Stage::Format, "{end}: {rejection}");
        let reason = format!("it ends too early, after {end} bytes: truncated");
        assert_eq!(rejection.reason, reason);
    }
}

#[test]
fn a_damaged_component_is_refused() {
    let mut bytes = Wat::default().component();
    let code = bytes.windows(4).position(|four| four == [0x42, 0xc2, 0x81, 0x8b]);
    let at = code.unwrap_or(bytes.len() / 3);
    bytes[at..at + 8].fill(0xff);
    let rejection = refused(&bytes);
    assert_eq!(rejection.stage, Stage::Validity, "{rejection}");
}

#[test]
fn a_component_that_imports_is_refused_with_every_import() {
    let head = r#"
        (import "$root" "clock" (func $clock (result i64)))
        (import "$root" "dice" (func $dice (result i64)))"#;
    let imports =
        "import clock: func() -> u64;\n  import dice: func() -> u64;\n  export decisions;";
    let wat = Wat {
        wit: WIT.replace("export decisions;", imports),
        head,
        step: "(drop (call $clock)) (drop (call $dice)) (i32.const 1152)",
        ..Wat::default()
    };
    let rejection = refused(&wat.component());
    assert_eq!(rejection.stage, Stage::Imports);
    assert_eq!(rejection.reason, "it imports something; a policy imports nothing");
    assert_eq!(places(&rejection), ["clock", "dice"]);
}

#[test]
fn a_core_module_that_imports_is_refused_with_every_import() {
    let head = r#"(import "env" "now" (func (result i64))) (import "env" "log" (func))"#;
    let rejection = refused(&Wat { head, ..Wat::default() }.module());
    assert_eq!(rejection.stage, Stage::Imports);
    assert_eq!(places(&rejection), ["env::now", "env::log"]);
}

#[test]
fn a_core_module_without_a_contract_is_refused() {
    let rejection = refused(&wat::parse_str("(module)").unwrap());
    assert_eq!(rejection.stage, Stage::Exports);
    assert!(rejection.reason.contains("no `component-type` section"), "{rejection}");
}

#[test]
fn a_component_of_another_world_is_refused_with_everything_it_lacks() {
    let rejection = refused(b"\0asm\x0d\0\x01\0");
    assert_eq!(rejection.stage, Stage::Exports);
    assert_eq!(places(&rejection), ["corral:policy/decisions@0.2.0"]);
    assert_eq!(rejection.findings[0].message, "not exported");
}

#[test]
fn a_component_for_another_version_of_the_contract_is_refused_with_both_versions() {
    let wit = WIT
        .replace("corral:policy@0.2.0", "corral:policy@0.3.0")
        .replace("phase: u32,", "phase: s32,");
    let rejection = refused(&Wat { wit, ..Wat::default() }.component());
    assert_eq!(rejection.stage, Stage::Exports);
    let newer = "it was built for corral:policy@0.3.0, this host speaks corral:policy@0.2.0: serve it \
                 with a newer host";
    assert!(rejection.reason.starts_with(newer), "{rejection}");
}

#[test]
fn a_component_for_an_older_contract_is_refused_with_what_to_do() {
    let wit = WIT.replace("corral:policy@0.2.0", "corral:policy@0.1.0");
    let rejection = refused(&Wat { wit, ..Wat::default() }.component());
    assert_eq!(rejection.stage, Stage::Exports);
    let older = "it was built for corral:policy@0.1.0, this host speaks corral:policy@0.2.0: \
                 `corral policy new` writes a project of this contract; move into its file what";
    assert!(rejection.reason.starts_with(older), "{rejection}");
}

#[test]
fn other_types_under_our_version_are_refused_with_what_differs() {
    let wit = WIT.replace("phase: u32,", "phase: s32,");
    let rejection = refused(&Wat { wit, ..Wat::default() }.component());
    assert_eq!(rejection.stage, Stage::Exports);
    assert!(rejection.reason.contains("its types are not those of"), "{rejection}");
    assert!(rejection.reason.contains("expected `u32` found `s32`"), "{rejection}");
}

#[test]
fn a_component_that_needs_more_memory_than_allowed_is_refused() {
    let one = Wat { pages: 257, ..Wat::default() };
    let two = Wat { head: "(memory 200)", pages: 57, ..Wat::default() };
    for wat in [one, two] {
        let rejection = refused(&wat.component());
        assert_eq!(rejection.stage, Stage::Instance);
        let grows = "its memory would grow to 16842752 bytes, policy.limits.memory allows 16777216";
        assert!(rejection.reason.contains(grows), "{rejection}");
    }
}

#[test]
fn a_component_that_does_not_start_is_refused() {
    let head = "(start $fail) (func $fail unreachable)";
    let rejection = refused(&Wat { head, ..Wat::default() }.component());
    assert_eq!(rejection.stage, Stage::Instance);
    assert!(rejection.reason.contains("unreachable"), "{rejection}");
}

#[test]
fn an_illegal_manifest_is_refused_with_all_of_it() {
    let rejection = refused(&Wat { name: "Tiny!", version: "1.0", ..Wat::default() }.component());
    assert_eq!(rejection.stage, Stage::Manifest);
    assert_eq!(places(&rejection), ["name", "version"]);
}

#[test]
fn settings_that_are_not_accepted_are_refused_with_their_paths() {
    // One objection to a setting whose path is the policy's name, with its version as the message.
    let configure = "(i32.store8 (i32.const 256) (i32.const 1))
        (i32.store (i32.const 260) (i32.const 288)) (i32.store (i32.const 264) (i32.const 1))
        (i32.store8 (i32.const 288) (i32.const KIND))
        (i32.store (i32.const 292) (i32.const 16)) (i32.store (i32.const 296) (i32.const 4))
        (i32.store (i32.const 300) (i32.const 64)) (i32.store (i32.const 304) (i32.const 5))
        (i32.const 256)";
    for (kind, place) in [("0", "policy.settings.tiny"), ("1", "entity.tiny")] {
        let configure = configure.replace("KIND", kind).leak();
        let rejection = refused(&Wat { configure, ..Wat::default() }.component());
        assert_eq!(rejection.stage, Stage::Settings);
        assert_eq!(rejection.findings, [Finding::new(place, "1.0.0")]);
    }
}

#[test]
fn a_configure_that_traps_is_refused() {
    let rejection = refused(&Wat { configure: "unreachable", ..Wat::default() }.component());
    assert_eq!(rejection.stage, Stage::Settings);
    assert!(rejection.reason.contains("unreachable"), "{rejection}");
}

#[test]
fn colliding_keys_are_refused_with_two_requests_that_collide() {
    let plan = "(global.set $count (i32.const 0)) (call $key) (i32.const 1024)";
    let rejection = refused(&Wat { plan, ..Wat::default() }.component());
    assert_eq!(rejection.stage, Stage::Behaviour);
    // One entity has no arguments that could be ignored.
    assert_eq!(places(&rejection), ["orders", "user.profile"]);
    let finding = &rejection.findings[1];
    assert!(finding.message.starts_with("two reads share the key"), "{rejection}");
    assert_eq!(finding.examples.len(), 2);
    assert!(finding.examples.iter().map(String::len).sum::<usize>() < 45, "{rejection}");
}

#[test]
fn keys_that_depend_on_the_call_are_refused() {
    let plan = "(global.set $length (global.get $calls)) (global.set $entity (i32.const 16))
        (call $key) (i32.const 1024)";
    let rejection = refused(&Wat { plan, ..Wat::default() }.component());
    assert_eq!(rejection.stage, Stage::Behaviour);
    assert!(says(&rejection, "asked twice, the key"), "{rejection}");
}

#[test]
fn keys_that_depend_on_the_order_of_arguments_are_refused() {
    // Hashes the first argument's name alone, and all arguments.
    let plan = "(global.set $entity (i32.load (global.get $arguments)))
        (global.set $length (i32.load offset=4 (global.get $arguments)))
        (call $key) (i32.const 1024)";
    let entities = vec![Entity::of("orders", &["user", "day"])];
    let one = Conditions::of(Configuration { entities, ..Configuration::default() });
    let bytes = Wat { plan, ..Wat::default() }.component();
    let rejection = examine(&engine(), &bytes, &one).unwrap_err();
    assert!(says(&rejection, "with its arguments in another order, the key"), "{rejection}");
    assert!(!says(&rejection, "asked twice"), "{rejection}");
}

#[test]
fn illegal_keys_and_tags_are_refused() {
    let key = "(i32.store8 (i32.const 515) (i32.const 32))";
    let tags = "(i32.store (i32.const 1036) (i32.const 1100))
        (i32.store (i32.const 1040) (i32.const 1))";
    for (bad, message) in [(key, "it has ' ' at byte 3"), (tags, "the tag \"\" is not legal")] {
        let plan = format!("(call $key) {bad} (i32.const 1024)").leak();
        let rejection = refused(&Wat { plan, ..Wat::default() }.component());
        assert_eq!(rejection.stage, Stage::Behaviour);
        assert!(says(&rejection, message), "{rejection}");
        assert_eq!(rejection.findings.len(), 3, "{rejection}");
    }
}

#[test]
fn an_entity_that_the_policy_does_not_know_is_refused() {
    let plan = "(i32.store8 (i32.const 1200) (i32.const 1)) (i32.const 1200)";
    let rejection = refused(&Wat { plan, ..Wat::default() }.component());
    assert!(says(&rejection, "it refuses a read that is declared: unknown entity"), "{rejection}");
}

#[test]
fn a_plan_that_traps_is_refused_and_ends_the_exploration_soon() {
    let rejection = refused(&Wat { plan: "unreachable", ..Wat::default() }.component());
    assert_eq!(rejection.stage, Stage::Behaviour);
    assert!(says(&rejection, "policy function plan"), "{rejection}");
}

#[test]
fn a_step_without_end_is_refused() {
    let step = "(loop $ever (br $ever)) unreachable";
    let limits = Limits { call: Duration::from_millis(2), gate: LONG, ..Limits::default() };
    let engine = Engine::new(limits).unwrap();
    let bytes = Wat { step, ..Wat::default() }.component();
    let rejection = examine(&engine, &bytes, &conditions()).unwrap_err();
    assert_eq!(rejection.stage, Stage::Behaviour);
    assert!(
        says(&rejection, "it did not end within its time (2ms, policy.limits.call)"),
        "{rejection}"
    );
    assert_eq!(rejection.findings[0].sequence.len(), 1);
}

#[test]
fn hot_reads_that_would_go_cold_are_counted_and_one_is_named() {
    let passed = Wat::default().passed();
    let ids: Vec<String> = (0..10).map(|id| id.to_string()).collect();
    let read = |id: &String| Entity::of("user.profile", &["id"]).request(&[Some(id)]);
    let hot = |id: &String| {
        let key = passed.pool().plan(&read(id)).unwrap().unwrap().key;
        let key = if id == "7" { "another" } else { key.as_str() };
        HotRead { request: read(id), key: StoreKey::try_new(key).unwrap() }
    };
    let conditions = Conditions { hot: ids.iter().map(hot).collect(), ..conditions() };
    let report =
        examine(&engine(), &Wat::default().component(), &conditions).unwrap().report().clone();
    assert_eq!((report.hot.asked, report.hot.renamed), (10, 1));
    let example = report.hot.example.unwrap();
    assert_eq!(
        (example.read.as_str(), example.key.as_str()),
        (r#"user.profile(id="7")"#, "another")
    );
    assert_eq!(example.becomes.len(), 32);
}

#[test]
fn a_rejection_is_a_document_and_a_text() {
    let rejection = Rejection::findings(
        Stage::Imports,
        "it imports something",
        [Finding::new("clock", "a function")],
    );
    let json = serde_json::to_string(&rejection).unwrap();
    let expected = r#"{"stage":"imports","reason":"it imports something","findings":[{"at":"clock","message":"a function"}]}"#;
    assert_eq!(json, expected);
    let text = "refused at the gate (imports): it imports something\n  clock: a function";
    assert_eq!(rejection.to_string(), text);
}

#[test]
fn the_version_of_the_contract_is_the_one_in_its_file() {
    assert!(WIT.contains(&format!("package {CONTRACT};")));
}

/// Long enough for any machine that runs tests.
const LONG: Duration = Duration::from_secs(60);

fn refused(bytes: &[u8]) -> Rejection {
    examine(&engine(), bytes, &conditions()).unwrap_err()
}

fn places(rejection: &Rejection) -> Vec<&str> {
    rejection.findings.iter().map(|finding| finding.at.as_str()).collect()
}

fn says(rejection: &Rejection, message: &str) -> bool {
    rejection.findings.iter().any(|finding| finding.message.contains(message))
}
