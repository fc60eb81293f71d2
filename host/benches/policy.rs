//! What a policy call costs through the component. A read that the store answers takes one step and
//! at most one plan of the policy; both together are to take a microsecond at most.
#![allow(missing_docs, reason = "criterion's macros generate undocumented items")]
#![allow(clippy::expect_used, reason = "a bench that can't begin has nothing to measure")]

use std::hint::black_box;
use std::sync::Arc;

use corral_host::policy::prove::gate::{Conditions, examine};
use corral_host::policy::{
    Argument, Configuration, Decider, Engine, Entity, Event, InstancePool, Limits, Memo, Moment,
    Provenance, Request, Sighting, Slot, Subject, Terms, builtin,
};
use corral_host::read_name::ReadName;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

/// One entity and empty settings.
fn conditions() -> Conditions {
    let terms = Terms::of_query(300_000);
    let entities = vec![Entity { terms, ..Entity::of("user.profile", &["id"]) }];
    Conditions::of(Configuration { entities, ..Configuration::default() })
}

const MEMO: Memo = Memo { phase: 0, since_ms: 0, terms: 0, note: 0 };

fn calls(criterion: &mut Criterion) {
    let pool = pool();
    let mut group = criterion.benchmark_group("component");
    group.bench_function("step, absent", |bencher| {
        bencher.iter(|| pool.step(black_box(MEMO), moment(), Event::Absent));
    });
    group.bench_function("step, found fresh", |bencher| {
        bencher.iter(|| pool.step(black_box(MEMO), moment(), Event::Found(fresh())));
    });
    let request = request();
    group.bench_function("plan", |bencher| bencher.iter(|| pool.plan(black_box(&request))));
    group.finish();
}

fn generations(criterion: &mut Criterion) {
    let engine = Engine::new(Limits::default()).expect("an engine");
    let passed = examine(&engine, builtin(), &conditions()).expect("the built-in policy passes");
    let slot = Slot::new(passed, Provenance::BuiltIn);
    let mut group = criterion.benchmark_group("generation");
    group.bench_function("the current one", |bencher| bencher.iter(|| slot.current()));
    let generation = slot.current();
    let read = ReadName::new("user.profile", [Some("42")].into_iter());
    group.bench_function("a remembered plan", |bencher| {
        bencher.iter(|| generation.name_read(black_box(&read), request));
    });
    group.finish();
}

fn examination(criterion: &mut Criterion) {
    let engine = Engine::new(Limits::default()).expect("an engine");
    let mut group = criterion.benchmark_group("gate");
    group.sample_size(10);
    group.bench_function("what is known already", |bencher| {
        bencher.iter(|| examine(&engine, builtin(), &conditions()).is_ok());
    });
    group.bench_function("what was never seen", |bencher| {
        let fresh = || Engine::new(Limits::default()).expect("an engine");
        let gate = |engine: Engine| examine(&engine, builtin(), &conditions()).is_ok();
        bencher.iter_batched(fresh, gate, BatchSize::PerIteration);
    });
    group.finish();
}

fn pool() -> Arc<InstancePool> {
    let engine = Engine::new(Limits::default()).expect("an engine");
    let passed = examine(&engine, builtin(), &conditions()).expect("the built-in policy passes");
    Arc::clone(passed.pool())
}

fn moment() -> Moment {
    Moment { elapsed_ms: 1, left_ms: 5_000, entropy: 0x9e37_79b9_7f4a_7c15 }
}

fn fresh() -> Sighting {
    Sighting {
        age_ms: 1_000,
        refresh_ms: 200_000,
        fresh_ms: 240_000,
        past_ms: 0,
        cost_ms: 20,
        negative: false,
    }
}

fn request() -> Request {
    Request {
        subject: Subject::Entity("user.profile".into()),
        arguments: vec![Argument { name: "id".into(), value: Some("42".into()) }],
    }
}

criterion_group!(benches, calls, generations, examination);
criterion_main!(benches);
