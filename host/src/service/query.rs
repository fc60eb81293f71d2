//! Ad-hoc queries: statements that clients write.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use crate::cache::{Answer, CacheRead, Definition, LoadError, QueryLoader, ReadError};
use crate::config::{Config, EntityConfig, Param, duration_text};
use crate::origin::{OriginError, ParamType, ReadStatement, Rows, Value};
use crate::policy::Query;

use super::Corral;
use super::requests::{InvalidArgument, RequestError, of_read};
use super::tags::GivenTag;

/// An ad-hoc query.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryRequest {
    /// One statement that reads.
    pub sql: String,
    /// The values of `$1`, `$2`, …: booleans, integers, floats, texts, null.
    #[serde(default)]
    pub params: Vec<Json>,
    /// Tags by which the answer shall be invalidated.
    #[serde(default)]
    pub tags: Vec<GivenTag>,
    /// How long the answer may be kept (`30s`); `None` for the time that is configured.
    #[serde(default)]
    pub ttl: Option<String>,
}

/// The SQLSTATE of a statement that was given too few values.
const PROTOCOL_VIOLATION: &str = "08P01";

impl Corral {
    /// Answers an ad-hoc query.
    ///
    /// # Errors
    /// [`RequestError`]
    pub async fn query(&self, request: QueryRequest) -> Result<Answer, RequestError> {
        let edition = self.inner.edition.load_full();
        let config = &edition.config.query;
        let Some(origin) = self.inner.queries.as_ref().filter(|_| config.enabled) else {
            return Err(RequestError::NotAllowed("ad-hoc queries are off (query.enabled)"));
        };
        if request.sql.contains('\0') {
            let problem = "it holds the character U+0000".to_owned();
            return Err(RequestError::Arguments(vec![InvalidArgument::new("sql", problem)]));
        }
        let ttl = match &request.ttl {
            None => config.ttl,
            Some(text) => query_ttl(text, config.max_ttl)?,
        };
        let tags = self.tags(&request.tags)?;
        let values = request.params.iter().enumerate().map(query_value);
        let values = values.collect::<Result<Vec<Value>, _>>()?;
        let entity = Arc::new(query_entity(&values, ttl, config.deadline));
        let statement = ReadStatement {
            sql: request.sql.trim().trim_end_matches(';').to_owned(),
            params: values.iter().map(Value::ty).collect(),
            rows: Rows::Many,
        };
        let query = Query {
            sql: statement.sql.clone(),
            ttl_ms: u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX),
            tags: tags.iter().map(ToString::to_string).collect(),
        };
        let (origin, max_bytes) = (Arc::clone(origin), config.max_bytes);
        let loader = Arc::new(QueryLoader { origin, statement, max_bytes });
        let definition = Arc::clone(&edition.query);
        let read = CacheRead::new(definition, values, loader).of_query(query, Arc::clone(&entity));
        self.inner.cache.read(read).await.map_err(|error| {
            if let ReadError::Load(LoadError::Origin(OriginError::Rejected { code, .. })) = error {
                return rejected(code);
            }
            if let ReadError::Load(LoadError::Origin(OriginError::TooLarge)) = error {
                return RequestError::QueryTooLarge(max_bytes);
            }
            of_read(error, &entity, || "query.deadline".to_owned())
        })
    }
}

/// The error for a rejected query. Too few values get an error of their own, since the database
/// says only that they do not fit the statement.
fn rejected(code: String) -> RequestError {
    if code == PROTOCOL_VIOLATION {
        let problem = "the statement takes more values";
        return RequestError::Arguments(vec![InvalidArgument::new("params", problem)]);
    }
    RequestError::Query(code)
}

fn query_ttl(text: &str, most: Duration) -> Result<Duration, RequestError> {
    let problem =
        |problem: String| RequestError::Arguments(vec![InvalidArgument::new("ttl", problem)]);
    let ttl = duration_text(text)
        .ok_or_else(|| problem("it is no duration; write \"30s\" or \"5m\"".to_owned()))?;
    if ttl < Duration::from_millis(1) || ttl > most {
        let most = humantime::format_duration(most);
        return Err(problem(format!("it must lie between 1ms and {most} (query.max_ttl)")));
    }
    Ok(ttl)
}

fn query_value((at, json): (usize, &Json)) -> Result<Value, RequestError> {
    let ty = match json {
        Json::Bool(_) => ParamType::Bool,
        Json::Number(number) if number.is_f64() => ParamType::Float8,
        Json::Number(_) => ParamType::Int8,
        Json::Null | Json::String(_) | Json::Array(_) | Json::Object(_) => ParamType::Text,
    };
    Value::from_json(ty, json).map_err(|invalid| {
        RequestError::Arguments(vec![InvalidArgument::new(
            &format!("params[{at}]"),
            invalid.to_string(),
        )])
    })
}

/// The one definition of all ad-hoc queries: their names share its digest and its floor.
pub(super) fn query_definition(config: &Config) -> Arc<Definition> {
    let entity = query_entity(&[], config.query.max_ttl, config.query.deadline);
    Definition::new(Arc::new(entity), &config.store.prefix)
}

/// The entity that stands for a query in the cache. A parameter's name contains its type, since `1`
/// and `"1"` have the same text and are two values.
fn query_entity(values: &[Value], ttl: Duration, deadline: Duration) -> EntityConfig {
    let param = |(at, value): (usize, &Value)| {
        let ty = value.ty();
        Param { name: format!("{:03}:{ty}", at + 1), ty }
    };
    EntityConfig {
        name: "~query".to_owned(),
        params: values.iter().enumerate().map(param).collect(),
        read: None,
        rows: Rows::Many,
        ttl,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        negative_ttl: ttl,
        tags: Vec::new(),
        depends: Vec::new(),
        deadline,
        load_limit: deadline,
        near: Duration::ZERO,
        cache_control: None,
        writes: std::collections::BTreeMap::new(),
    }
}
