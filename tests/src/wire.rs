//! Calls of a policy and their answers as JSON, in JavaScript's form of WIT's types: records in
//! camel case, variants as `{"tag", "val"}`, `none` as null. 64-bit entropy is a text, since JSON's
//! numbers lose bits of it in some languages.

use corral_host::policy::{
    Action, Argument, Cause, Change, Column, ColumnValue, Configuration, Decider, Entity, Event,
    Lifetime, Logged, Memo, Moment, Operation, Parameter, Piece, Plan, Refusal, Request, Row,
    RowChange, Scope, Sighting, Source, Subject, Target, Terms, Touch, TouchedRead, Trap, Turn,
    Way, Write, Written,
};
use serde_json::{Value, json};

use crate::behaviour::Call;

/// A call, with this policy's answer.
///
/// # Errors
/// When the policy traps.
pub fn recorded(call: &Call, policy: &dyn Decider) -> Result<Value, Trap> {
    let line = |function: &str, arguments: Value, answer: Value| json!({ "function": function, "arguments": arguments, "answer": answer });
    Ok(match call {
        Call::Plan(asked) => {
            line("plan", json!([request(asked)]), result(policy.plan(asked)?, plan))
        }
        Call::RowTags(asked, rows) => {
            let arguments = json!([request(asked), rows.iter().map(row).collect::<Vec<_>>()]);
            line("rowTags", arguments, result(policy.row_tags(asked, rows)?, |tags| json!(tags)))
        }
        Call::Step(at, now, happened) => {
            let answer = turn(policy.step(*at, *now, *happened)?);
            line("step", json!([memo(*at), moment(*now), event(*happened)]), answer)
        }
        Call::Invalidate(written) => {
            let targets: Vec<Value> = policy.invalidate(written)?.iter().map(target).collect();
            line("invalidate", json!([change(written)]), json!(targets))
        }
    })
}

/// The call of `configure`, which comes before all others.
#[must_use]
pub fn configure(configuration: &Configuration) -> Value {
    let entities: Value = configuration.entities.iter().map(entity).collect();
    let arguments = json!([entities, configuration.settings_json()]);
    json!({ "function": "configure", "arguments": arguments, "answer": null })
}

fn entity(entity: &Entity) -> Value {
    let Terms { ttl_ms, negative_ttl_ms, stale_while_revalidate_ms, stale_if_error_ms } =
        entity.terms;
    json!({
        "name": entity.name,
        "parameters": parameters(&entity.parameters),
        "tags": entity.tags.iter().map(|tag| template(tag)).collect::<Vec<_>>(),
        "terms": {
            "ttlMs": ttl_ms,
            "negativeTtlMs": negative_ttl_ms,
            "staleWhileRevalidateMs": stale_while_revalidate_ms,
            "staleIfErrorMs": stale_if_error_ms,
        },
        "writes": entity.writes.iter().map(write).collect::<Vec<_>>(),
        "depends": entity.depends,
    })
}

fn parameters(parameters: &[Parameter]) -> Value {
    let one = |one: &Parameter| json!({ "name": one.name, "typeName": one.type_name });
    parameters.iter().map(one).collect()
}

fn template(template: &[Piece]) -> Value {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => with("text", text.as_str()),
        Piece::Value(from) => with("value", source(from)),
    };
    template.iter().map(piece).collect()
}

fn source(source: &Source) -> Value {
    match source {
        Source::Argument(name) => with("argument", name.as_str()),
        Source::Column(name) => with("column", name.as_str()),
        Source::OldColumn(name) => with("old-column", name.as_str()),
    }
}

fn write(write: &Write) -> Value {
    let touch = |touch: &Touch| match touch {
        Touch::Read(TouchedRead { entity, arguments }) => {
            let arguments: Value = arguments.iter().map(source).collect();
            with("read", json!({ "entity": entity, "arguments": arguments }))
        }
        Touch::Tag(tag) => with("tag", template(tag)),
    };
    json!({
        "name": write.name,
        "parameters": parameters(&write.parameters),
        "way": way(write.way),
        "touches": write.touches.iter().map(touch).collect::<Vec<_>>(),
    })
}

fn way(way: Way) -> &'static str {
    match way {
        Way::Removed => "removed",
        Way::Refreshed => "refreshed",
    }
}

fn result<T>(answer: Result<T, Refusal>, ok: impl Fn(T) -> Value) -> Value {
    match answer {
        Ok(value) => with("ok", ok(value)),
        Err(refusal) => with("err", self::refusal(refusal)),
    }
}

fn bare(tag: &str) -> Value {
    json!({ "tag": tag })
}

fn with(tag: &str, val: impl Into<Value>) -> Value {
    json!({ "tag": tag, "val": val.into() })
}

fn request(request: &Request) -> Value {
    let subject = match &request.subject {
        Subject::Entity(name) => with("entity", name.as_str()),
        Subject::Query(query) => {
            with("query", json!({ "sql": query.sql, "ttlMs": query.ttl_ms, "tags": query.tags }))
        }
    };
    json!({ "subject": subject, "arguments": arguments(&request.arguments) })
}

fn arguments(arguments: &[Argument]) -> Value {
    let one = |argument: &Argument| json!({ "name": argument.name, "value": argument.value });
    arguments.iter().map(one).collect()
}

fn row(row: &Row) -> Value {
    json!(row)
}

fn change(change: &Change) -> Value {
    match change {
        Change::Written(Written { entity, write, arguments: given, rows }) => with(
            "written",
            json!({
                "entity": entity, "write": write, "arguments": arguments(given),
                "rows": changed(rows),
            }),
        ),
        Change::Logged(Logged { relation, operation, rows }) => {
            let operation = match operation {
                Operation::Inserted => "inserted",
                Operation::Updated => "updated",
                Operation::Deleted => "deleted",
                Operation::Truncated => "truncated",
            };
            with(
                "logged",
                json!({ "relation": relation, "operation": operation, "rows": changed(rows) }),
            )
        }
    }
}

fn changed(rows: &[RowChange]) -> Value {
    let row =
        |row: &RowChange| json!({ "before": columns(&row.before), "after": columns(&row.after) });
    rows.iter().map(row).collect()
}

fn columns(columns: &[Column]) -> Value {
    let value = |value: &ColumnValue| match value {
        ColumnValue::Unknown => bare("unknown"),
        ColumnValue::Null => bare("null"),
        ColumnValue::Text(text) => with("text", text.as_str()),
    };
    let one = |one: &Column| json!({ "name": one.name, "value": value(&one.value) });
    columns.iter().map(one).collect()
}

fn plan(plan: Plan) -> Value {
    json!({
        "key": plan.key,
        "tags": plan.tags,
        "rowColumns": plan.row_columns,
        "memo": memo(plan.memo),
    })
}

fn refusal(refusal: Refusal) -> Value {
    match refusal {
        Refusal::UnknownEntity => bare("unknown-entity"),
        Refusal::MissingArgument(name) => with("missing-argument", name),
        Refusal::SurplusArgument(name) => with("surplus-argument", name),
    }
}

fn memo(memo: Memo) -> Value {
    let Memo { phase, since_ms, terms, note } = memo;
    json!({ "phase": phase, "sinceMs": since_ms, "terms": terms, "note": note })
}

fn moment(moment: Moment) -> Value {
    let Moment { elapsed_ms, left_ms, entropy } = moment;
    json!({ "elapsedMs": elapsed_ms, "leftMs": left_ms, "entropy": entropy.to_string() })
}

fn sighting(seen: Sighting) -> Value {
    json!({
        "ageMs": seen.age_ms,
        "refreshMs": seen.refresh_ms,
        "freshMs": seen.fresh_ms,
        "pastMs": seen.past_ms,
        "costMs": seen.cost_ms,
        "negative": seen.negative,
    })
}

fn event(event: Event) -> Value {
    match event {
        Event::Absent => bare("absent"),
        Event::Found(seen) => with("found", sighting(seen)),
        Event::Bypassed => bare("bypassed"),
        Event::StoreUnavailable => bare("store-unavailable"),
        Event::LeaseGranted => bare("lease-granted"),
        Event::LeaseHeld(held_ms) => with("lease-held", held_ms),
        Event::Waited => bare("waited"),
        Event::Loaded(report) => with(
            "loaded",
            json!({
                "costMs": report.cost_ms,
                "bytes": report.bytes,
                "negative": report.negative,
            }),
        ),
        Event::LoadFailed(failure) => {
            let cause = match failure.cause {
                Cause::Unavailable => "unavailable",
                Cause::Timeout => "timeout",
                Cause::Overloaded => "overloaded",
                Cause::Rejected => "rejected",
            };
            let at_hand = failure.at_hand.map(sighting);
            with("load-failed", json!({ "cause": cause, "atHand": at_hand }))
        }
        Event::Filled => bare("filled"),
        Event::FillRejected => bare("fill-rejected"),
    }
}

fn turn(turn: Turn) -> Value {
    let action = match turn.action {
        Action::Look => bare("look"),
        Action::Claim(lease_ms) => with("claim", lease_ms),
        Action::Wait(at_most_ms) => with("wait", at_most_ms),
        Action::Load => bare("load"),
        Action::LoadUncached => bare("load-uncached"),
        Action::Fill(Lifetime { fresh_ms, stale_ms, refresh_ms }) => with(
            "fill",
            json!({ "freshMs": fresh_ms, "staleMs": stale_ms, "refreshMs": refresh_ms }),
        ),
        Action::Answer => bare("answer"),
        Action::AnswerAndRefresh => bare("answer-and-refresh"),
        Action::Fail => bare("fail"),
    };
    json!({ "memo": memo(turn.memo), "action": action })
}

fn target(target: &Target) -> Value {
    let scope = match &target.scope {
        Scope::Key(key) => with("key", key.as_str()),
        Scope::Tag(tag) => with("tag", tag.as_str()),
        Scope::Read(read) => with("read", request(read)),
    };
    json!({ "scope": scope, "way": way(target.way) })
}
