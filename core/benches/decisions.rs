//! What a decision costs natively. The same decisions through the component are measured where the
//! component runs, in the host.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use std::hint::black_box;

use corral_core::{
    Argument, BuiltIn, Decisions, Entity, Event, LoadReport, Memo, Moment, Parameter, Piece,
    Policy, Query, Request, Sighting, Source, Subject, Terms,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const FRESH: Sighting = Sighting {
    age_ms: 1_000,
    refresh_ms: 200_000,
    fresh_ms: 299_000,
    past_ms: 0,
    cost_ms: 20,
    negative: false,
};

fn plan(c: &mut Criterion) {
    let policy = policy();
    let entity = Request {
        subject: Subject::Entity("user.profile".into()),
        arguments: vec![argument("id", "4711")],
    };
    let sql = "SELECT count(*) FROM orders WHERE user_id = $1 AND created_at > $2".into();
    let query = Request {
        subject: Subject::Query(Query { sql, ttl_ms: 60_000, tags: vec!["orders".into()] }),
        arguments: vec![argument("1", "4711"), argument("2", "2026-01-01")],
    };
    let mut group = c.benchmark_group("plan");
    group.bench_function("entity", |b| b.iter(|| policy.plan(black_box(&entity))));
    group.bench_function("query", |b| b.iter(|| policy.plan(black_box(&query))));
    group.finish();
}

fn step(c: &mut Criterion) {
    let policy = policy();
    let memo = Memo { phase: 0, since_ms: 0, terms: 0, note: 0 };
    let claiming = policy.step(memo, moment(1), Event::Absent).memo;
    let loading = policy.step(claiming, moment(1), Event::LeaseGranted).memo;
    let loaded = Event::Loaded(LoadReport { cost_ms: 20, bytes: 300, negative: false });
    let mut group = c.benchmark_group("step");
    for (name, memo, event) in [
        ("hit", memo, Event::Found(FRESH)),
        ("held", claiming, Event::LeaseHeld(900)),
        ("fill", loading, loaded),
    ] {
        let turn = |entropy| policy.step(black_box(memo), moment(entropy), black_box(event));
        let mut entropy = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                entropy += 1;
                turn(entropy)
            });
        });
    }
    group.finish();
}

fn configure(c: &mut Criterion) {
    c.bench_function("configure/one entity", |b| {
        b.iter_batched(|| vec![profile()], configured, BatchSize::SmallInput);
    });
}

fn policy() -> Policy<BuiltIn> {
    configured(vec![profile()])
}

fn configured(entities: Vec<Entity>) -> Policy<BuiltIn> {
    Policy::configure(entities, "{}").unwrap_or_else(|_| unreachable!("it is legal"))
}

fn profile() -> Entity {
    let tag = |name: &str, source| vec![Piece::Text(name.into()), Piece::Value(source)];
    Entity {
        name: "user.profile".into(),
        parameters: vec![Parameter { name: "id".into(), type_name: "int8".into() }],
        tags: vec![
            tag("user:", Source::Argument("id".into())),
            tag("team:", Source::Column("team_id".into())),
        ],
        terms: Terms {
            ttl_ms: 300_000,
            negative_ttl_ms: 30_000,
            stale_while_revalidate_ms: 60_000,
            stale_if_error_ms: 0,
        },
        writes: vec![],
        depends: vec![],
    }
}

fn argument(name: &str, value: &str) -> Argument {
    Argument { name: name.into(), value: Some(value.into()) }
}

fn moment(entropy: u64) -> Moment {
    Moment { elapsed_ms: 3, left_ms: 2_000, entropy }
}

criterion_group!(decisions, configure, plan, step);
criterion_main!(decisions);
