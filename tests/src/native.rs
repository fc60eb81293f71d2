//! The native policy behind the host's trait: `corral-core` without a component around it.
//!
//! The two sides have types of their own, one generated from the contract and one written by hand.
//! Here each is taken apart and put together as the other, field by field, so that a field that is
//! added on one side does not compile until it is handled here.

use std::sync::Arc;

use corral_core as core;
use corral_core::Decisions;
use corral_host::policy::{self as host, Configuration, Decider, NativePolicy, Trap};

/// The default policy, called directly.
#[derive(Debug, Clone)]
pub struct Native(core::Policy);

impl Native {
    /// A policy of this configuration.
    ///
    /// # Errors
    /// Everything that the policy objects to.
    pub fn try_new(configuration: &Configuration) -> Result<Self, Vec<core::Objection>> {
        let entities = configuration.entities.iter().map(entity_in).collect();
        core::Policy::configure(entities, &configuration.settings_json()).map(Self)
    }
}

/// A policy of this process under the default policy's name.
#[must_use]
pub fn named(policy: Arc<dyn Decider>, configuration: Configuration) -> NativePolicy {
    let core::Manifest { name, version } = <core::Policy as Decisions>::describe();
    let manifest = host::Manifest { name, version };
    NativePolicy { manifest, configuration: Arc::new(configuration), policy }
}

impl Decider for Native {
    fn plan(&self, request: &host::Request) -> Result<Result<host::Plan, host::Refusal>, Trap> {
        Ok(self.0.plan(&request_in(request)).map(plan_out).map_err(refusal_out))
    }

    fn row_tags(
        &self,
        request: &host::Request,
        rows: &[host::Row],
    ) -> Result<Result<Vec<String>, host::Refusal>, Trap> {
        let tags = self.0.row_tags(&request_in(request), rows);
        Ok(tags.map(strings).map_err(refusal_out))
    }

    fn step(
        &self,
        memo: host::Memo,
        moment: host::Moment,
        event: host::Event,
    ) -> Result<host::Turn, Trap> {
        Ok(turn_out(self.0.step(memo_in(memo), moment_in(moment), event_in(event))))
    }

    fn invalidate(&self, change: &host::Change) -> Result<Vec<host::Target>, Trap> {
        Ok(self.0.invalidate(&change_in(change)).into_iter().map(target_out).collect())
    }
}

// ── in ───────────────────────────────────────────────────────────────────────────────────────────

fn request_in(request: &host::Request) -> core::Request {
    let host::Request { subject, arguments } = request;
    let subject = match subject {
        host::Subject::Entity(name) => core::Subject::Entity(name.clone()),
        host::Subject::Query(host::Query { sql, ttl_ms, tags }) => {
            core::Subject::Query(core::Query {
                sql: sql.clone(),
                ttl_ms: *ttl_ms,
                tags: tags.clone(),
            })
        }
    };
    core::Request { subject, arguments: arguments_in(arguments) }
}

fn arguments_in(arguments: &[host::Argument]) -> Vec<core::Argument> {
    let argument = |host::Argument { name, value }: &host::Argument| core::Argument {
        name: name.clone(),
        value: value.clone(),
    };
    arguments.iter().map(argument).collect()
}

fn memo_in(memo: host::Memo) -> core::Memo {
    let host::Memo { phase, since_ms, terms, note } = memo;
    core::Memo { phase, since_ms, terms, note }
}

fn moment_in(moment: host::Moment) -> core::Moment {
    let host::Moment { elapsed_ms, left_ms, entropy } = moment;
    core::Moment { elapsed_ms, left_ms, entropy }
}

fn event_in(event: host::Event) -> core::Event {
    match event {
        host::Event::Absent => core::Event::Absent,
        host::Event::Found(seen) => core::Event::Found(sighting_in(seen)),
        host::Event::Bypassed => core::Event::Bypassed,
        host::Event::StoreUnavailable => core::Event::StoreUnavailable,
        host::Event::LeaseGranted => core::Event::LeaseGranted,
        host::Event::LeaseHeld(held_ms) => core::Event::LeaseHeld(held_ms),
        host::Event::Waited => core::Event::Waited,
        host::Event::Loaded(host::LoadReport { cost_ms, bytes, negative }) => {
            core::Event::Loaded(core::LoadReport { cost_ms, bytes, negative })
        }
        host::Event::LoadFailed(host::Failure { cause, at_hand }) => {
            let at_hand = at_hand.map(sighting_in);
            core::Event::LoadFailed(core::Failure { cause: cause_in(cause), at_hand })
        }
        host::Event::Filled => core::Event::Filled,
        host::Event::FillRejected => core::Event::FillRejected,
    }
}

fn sighting_in(seen: host::Sighting) -> core::Sighting {
    let host::Sighting { age_ms, refresh_ms, fresh_ms, past_ms, cost_ms, negative } = seen;
    core::Sighting { age_ms, refresh_ms, fresh_ms, past_ms, cost_ms, negative }
}

fn cause_in(cause: host::Cause) -> core::Cause {
    match cause {
        host::Cause::Unavailable => core::Cause::Unavailable,
        host::Cause::Timeout => core::Cause::Timeout,
        host::Cause::Overloaded => core::Cause::Overloaded,
        host::Cause::Rejected => core::Cause::Rejected,
    }
}

fn change_in(change: &host::Change) -> core::Change {
    match change {
        host::Change::Written(host::Written { entity, write, arguments, rows }) => {
            core::Change::Written(core::Written {
                entity: entity.clone(),
                write: write.clone(),
                arguments: arguments_in(arguments),
                rows: rows.iter().map(row_in).collect(),
            })
        }
        host::Change::Logged(host::Logged { relation, operation, rows }) => {
            let operation = match operation {
                host::Operation::Inserted => core::Operation::Inserted,
                host::Operation::Updated => core::Operation::Updated,
                host::Operation::Deleted => core::Operation::Deleted,
                host::Operation::Truncated => core::Operation::Truncated,
            };
            core::Change::Logged(core::Logged {
                relation: relation.clone(),
                operation,
                rows: rows.iter().map(row_in).collect(),
            })
        }
    }
}

fn row_in(row: &host::RowChange) -> core::RowChange {
    let host::RowChange { before, after } = row;
    core::RowChange { before: columns_in(before), after: columns_in(after) }
}

fn columns_in(columns: &[host::Column]) -> Vec<core::Column> {
    let value = |value: &host::ColumnValue| match value {
        host::ColumnValue::Unknown => core::ColumnValue::Unknown,
        host::ColumnValue::Null => core::ColumnValue::Null,
        host::ColumnValue::Text(text) => core::ColumnValue::Text(text.clone()),
    };
    let column = |host::Column { name, value: held }: &host::Column| core::Column {
        name: name.clone(),
        value: value(held),
    };
    columns.iter().map(column).collect()
}

fn entity_in(entity: &host::Entity) -> core::Entity {
    let host::Entity { name, parameters, tags, terms, writes, depends } = entity;
    let host::Terms { ttl_ms, negative_ttl_ms, stale_while_revalidate_ms, stale_if_error_ms } =
        *terms;
    core::Entity {
        name: name.clone(),
        parameters: parameters_in(parameters),
        tags: tags.iter().map(|tag| template_in(tag)).collect(),
        terms: core::Terms {
            ttl_ms,
            negative_ttl_ms,
            stale_while_revalidate_ms,
            stale_if_error_ms,
        },
        writes: writes.iter().map(write_in).collect(),
        depends: depends.clone(),
    }
}

fn parameters_in(parameters: &[host::Parameter]) -> Vec<core::Parameter> {
    let parameter = |host::Parameter { name, type_name }: &host::Parameter| core::Parameter {
        name: name.clone(),
        type_name: type_name.clone(),
    };
    parameters.iter().map(parameter).collect()
}

fn template_in(template: &[host::Piece]) -> core::Template {
    let piece = |piece: &host::Piece| match piece {
        host::Piece::Text(text) => core::Piece::Text(text.clone()),
        host::Piece::Value(source) => core::Piece::Value(source_in(source)),
    };
    template.iter().map(piece).collect()
}

fn source_in(source: &host::Source) -> core::Source {
    match source {
        host::Source::Argument(name) => core::Source::Argument(name.clone()),
        host::Source::Column(name) => core::Source::Column(name.clone()),
        host::Source::OldColumn(name) => core::Source::OldColumn(name.clone()),
    }
}

fn write_in(write: &host::Write) -> core::Write {
    let host::Write { name, parameters, way, touches } = write;
    let touch = |touch: &host::Touch| match touch {
        host::Touch::Read(host::TouchedRead { entity, arguments }) => {
            let arguments = arguments.iter().map(source_in).collect();
            core::Touch::Read(core::TouchedRead { entity: entity.clone(), arguments })
        }
        host::Touch::Tag(template) => core::Touch::Tag(template_in(template)),
    };
    let way = match way {
        host::Way::Removed => core::Way::Removed,
        host::Way::Refreshed => core::Way::Refreshed,
    };
    core::Write {
        name: name.clone(),
        parameters: parameters_in(parameters),
        way,
        touches: touches.iter().map(touch).collect(),
    }
}

// ── out ──────────────────────────────────────────────────────────────────────────────────────────

fn plan_out(plan: core::Plan) -> host::Plan {
    let core::Plan { key, tags, row_columns, memo } = plan;
    host::Plan { key: key.into(), tags: strings(tags), row_columns, memo: memo_out(memo) }
}

fn refusal_out(refusal: core::Refusal) -> host::Refusal {
    match refusal {
        core::Refusal::UnknownEntity => host::Refusal::UnknownEntity,
        core::Refusal::MissingArgument(name) => host::Refusal::MissingArgument(name),
        core::Refusal::SurplusArgument(name) => host::Refusal::SurplusArgument(name),
    }
}

fn memo_out(memo: core::Memo) -> host::Memo {
    let core::Memo { phase, since_ms, terms, note } = memo;
    host::Memo { phase, since_ms, terms, note }
}

fn turn_out(turn: core::Turn) -> host::Turn {
    let core::Turn { memo, action } = turn;
    let action = match action {
        core::Action::Look => host::Action::Look,
        core::Action::Claim(lease_ms) => host::Action::Claim(lease_ms),
        core::Action::Wait(at_most_ms) => host::Action::Wait(at_most_ms),
        core::Action::Load => host::Action::Load,
        core::Action::LoadUncached => host::Action::LoadUncached,
        core::Action::Fill(core::Lifetime { fresh_ms, stale_ms, refresh_ms }) => {
            host::Action::Fill(host::Lifetime { fresh_ms, stale_ms, refresh_ms })
        }
        core::Action::Answer => host::Action::Answer,
        core::Action::AnswerAndRefresh => host::Action::AnswerAndRefresh,
        core::Action::Fail => host::Action::Fail,
    };
    host::Turn { memo: memo_out(memo), action }
}

fn target_out(target: core::Target) -> host::Target {
    let core::Target { scope, way } = target;
    let scope = match scope {
        core::Scope::Key(key) => host::Scope::Key(key.into()),
        core::Scope::Tag(tag) => host::Scope::Tag(tag.into()),
        core::Scope::Read(request) => host::Scope::Read(request_out(request)),
    };
    let way = match way {
        core::Way::Removed => host::Way::Removed,
        core::Way::Refreshed => host::Way::Refreshed,
    };
    host::Target { scope, way }
}

fn request_out(request: core::Request) -> host::Request {
    let core::Request { subject, arguments } = request;
    let subject = match subject {
        core::Subject::Entity(name) => host::Subject::Entity(name),
        core::Subject::Query(core::Query { sql, ttl_ms, tags }) => {
            host::Subject::Query(host::Query { sql, ttl_ms, tags })
        }
    };
    let argument = |core::Argument { name, value }: core::Argument| host::Argument { name, value };
    host::Request { subject, arguments: arguments.into_iter().map(argument).collect() }
}

fn strings(tags: Vec<core::Tag>) -> Vec<String> {
    tags.into_iter().map(Into::into).collect()
}
