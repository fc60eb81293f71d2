//! The questions for comparing two policies: requests that were recorded, or made from the
//! declarations of the configuration.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::config::{Config, EntityConfig, Param, WriteConfig};
use crate::origin::{ParamType, Value};
use crate::policy::prove::compare::Questions;
use crate::policy::{Argument, Change, OLD, Request, Subject, Written, row_change};

use super::requests::{Arguments, RequestError, named, typed};

/// The number of requests that are generated for each entity's read and for each write.
const GENERATED: u32 = 100;

/// A request that can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// A line is no request.
    #[error("line {line}: {problem}")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with the line.
        problem: String,
    },
    /// The configuration declares nothing that a trace's numbers fit.
    #[error("{0}")]
    Trace(String),
}

/// A line of a recording: a write if `write` is set, or else a read.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedLine {
    entity: String,
    #[serde(default)]
    write: Option<String>,
    #[serde(default)]
    params: Map<String, Json>,
}

/// Makes requests from the numbers of a trace.
pub struct TraceRequests<'a> {
    entity: &'a EntityConfig,
    param: &'a Param,
    write: Option<&'a WriteConfig>,
}

/// Requests of every entity and write, the simplest first.
#[must_use]
pub fn generated_questions(config: &Config) -> Questions {
    let mut questions = empty(config);
    for entity in config.entities.values() {
        let reads = (1..=GENERATED).map(|n| read(entity, &sample(&entity.params, n)));
        questions.reads.extend(reads);
        for write in entity.writes.values() {
            let changes =
                (1..=GENERATED).map(|n| change(entity, write, &sample(&write.params, n), n));
            questions.changes.extend(changes);
        }
    }
    questions.reads.dedup();
    questions
}

/// The requests of a recording: one JSON object a line, `{"entity": "user.profile", "params": {"id":
/// 42}}`, and for a write `"write": "rename"` beside it.
///
/// # Errors
/// [`QuestionError::Line`] for the first line that is no request, or of which the configuration
/// knows nothing.
pub fn recorded_questions(config: &Config, text: &str) -> Result<Questions, QuestionError> {
    let mut questions = empty(config);
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |problem: String| QuestionError::Line { line: at + 1, problem };
        let line: RecordedLine =
            serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let entity = config.entities.get(&line.entity);
        let entity =
            entity.ok_or_else(|| wrong(format!("there is no entity {:?}", line.entity)))?;
        let values = |params: &[Param]| {
            typed(params, Arguments::Json(&line.params)).map_err(|error| wrong(problems(&error)))
        };
        match &line.write {
            None => questions.reads.push(read(entity, &values(&entity.params)?)),
            Some(name) => {
                let unknown = || wrong(format!("{} has no write {name:?}", line.entity));
                let write = entity.writes.get(name).ok_or_else(unknown)?;
                questions.changes.push(change(entity, write, &values(&write.params)?, 1));
            }
        }
    }
    Ok(questions)
}

/// Takes a trace's numbers as reads of `entity`. The numbers are values of the parameter `param`,
/// or of the only one; other parameters stay the same.
///
/// # Errors
/// [`QuestionError::Trace`] if there is no such entity or parameter.
pub fn trace_requests<'a>(
    config: &'a Config,
    entity: &str,
    param: Option<&str>,
) -> Result<TraceRequests<'a>, QuestionError> {
    let wrong = |problem: String| QuestionError::Trace(problem);
    let found = config.entities.get(entity);
    let entity = found.ok_or_else(|| wrong(format!("there is no entity {entity:?}")))?;
    let param = match (param, &entity.params[..]) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(name), params) => params.iter().find(|param| param.name == name),
    };
    let names = || entity.params.iter().map(|param| param.name.as_str()).collect::<Vec<_>>();
    let param = param.ok_or_else(|| {
        wrong(format!("say which parameter of {} the numbers are: {:?}", entity.name, names()))
    })?;
    Ok(TraceRequests { entity, param, write: entity.writes.values().next() })
}

impl TraceRequests<'_> {
    /// The read of a number of the trace.
    #[must_use]
    pub fn read(&self, thing: u32) -> Request {
        read(self.entity, &self.values(&self.entity.params, thing))
    }

    /// The write of a number of the trace, by the entity's first write; `None` if the entity has
    /// none.
    #[must_use]
    pub fn write(&self, thing: u32) -> Option<Change> {
        let write = self.write?;
        Some(change(self.entity, write, &self.values(&write.params, thing), thing))
    }

    /// The entity's deadline.
    #[must_use]
    pub fn deadline_ms(&self) -> u32 {
        deadline_ms(self.entity)
    }

    /// The longest that the entity's values may be kept.
    #[must_use]
    pub fn kept_at_most(&self) -> std::time::Duration {
        self.entity.terms().kept_at_most()
    }

    fn values(&self, params: &[Param], thing: u32) -> Vec<Value> {
        let value = |param: &Param| {
            let number = if param.name == self.param.name { thing } else { 1 };
            value(param.ty, number)
        };
        params.iter().map(value).collect()
    }
}

fn empty(config: &Config) -> Questions {
    let deadline = |entity: &EntityConfig| (entity.name.clone(), deadline_ms(entity));
    let deadlines_ms: BTreeMap<String, u32> = config.entities.values().map(deadline).collect();
    Questions { deadlines_ms, ..Questions::default() }
}

fn deadline_ms(entity: &EntityConfig) -> u32 {
    u32::try_from(entity.deadline.as_millis()).unwrap_or(u32::MAX)
}

fn read(entity: &EntityConfig, values: &[Value]) -> Request {
    let subject = Subject::Entity(entity.name.clone());
    Request { subject, arguments: named(&entity.params, values) }
}

/// A write; its statement returned one row if its touches need columns.
fn change(entity: &EntityConfig, write: &WriteConfig, values: &[Value], number: u32) -> Change {
    // Old columns get another value than new ones.
    let value = |name: &str| if name.starts_with(OLD) { number + 1 } else { number };
    let column = |name: String| {
        let value = Some(value(&name).to_string());
        Argument { name, value }
    };
    let columns = write.touched_columns();
    let rows = match columns.is_empty() {
        true => Vec::new(),
        false => vec![row_change(columns.into_iter().map(column))],
    };
    Change::Written(Written {
        entity: entity.name.clone(),
        write: write.name.clone(),
        arguments: named(&write.params, values),
        rows,
    })
}

fn sample(params: &[Param], number: u32) -> Vec<Value> {
    params.iter().map(|param| value(param.ty, number)).collect()
}

/// A value of this type, different for most numbers; null if no value can be made.
fn value(ty: ParamType, number: u32) -> Value {
    let texts = [
        number.to_string(),
        format!("00000000-0000-4000-8000-{number:012x}"),
        format!("{:04}-01-01", 1 + number % 9_999),
        format!("{:04}-01-01T00:00:00Z", 1 + number % 9_999),
        format!("[{number}]"),
        (number % 2 == 1).to_string(),
    ];
    let mut values = texts.iter().filter_map(|text| Value::from_text(ty, Some(text)).ok());
    values.next().unwrap_or_else(|| Value::null(ty))
}

fn problems(error: &RequestError) -> String {
    match error {
        RequestError::Arguments(problems) => {
            let shown = problems.iter().map(|p| format!("{}: {}", p.parameter, p.problem));
            shown.collect::<Vec<_>>().join("; ")
        }
        RequestError::UnknownEntity(_)
        | RequestError::UnknownWrite(_)
        | RequestError::NotAllowed(_)
        | RequestError::Late { .. }
        | RequestError::Query(_)
        | RequestError::QueryTooLarge(_)
        | RequestError::Read(_)
        | RequestError::Write(_) => error.to_string(),
    }
}
