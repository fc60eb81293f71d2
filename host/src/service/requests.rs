//! Requests by name: makes what the cache works with from what a client sent.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::cache::{
    Answer, CacheRead, Invalidated, Invalidation, LoadError, ReadError, WriteCall, WriteError,
    Wrote,
};
use crate::config::{EntityConfig, Param};
use crate::name::{Name, StoreKey, StoreTag};
use crate::origin::{OriginError, Value};
use crate::policy::{Argument, Request, Subject};

use super::tags::{GivenTag, NoTag};
use super::{BoundEntity, Corral, Edition};

/// Parameters as a client sent them.
#[derive(Debug, Clone, Copy)]
pub enum Arguments<'a> {
    /// From a query string.
    Text(&'a [(Cow<'a, str>, Cow<'a, str>)]),
    /// From a JSON body.
    Json(&'a Map<String, Json>),
}

impl Arguments<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Text(pairs) => pairs.len(),
            Self::Json(object) => object.len(),
        }
    }
}

/// A read by name.
#[derive(Debug, Clone, Copy)]
pub struct ReadRequest<'a> {
    /// The entity.
    pub entity: &'a str,
    /// The entity's parameters.
    pub arguments: Arguments<'a>,
    /// Whether the client wants a value that is loaded after its request began. Where the configuration does
    /// not permit that (`access.no_cache`), it is an ordinary read.
    pub no_cache: bool,
}

/// A parameter that is missing, surplus or of another type.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct InvalidArgument {
    /// The parameter's name.
    pub parameter: String,
    /// What is wrong with the parameter, as a sentence.
    pub problem: String,
}

impl InvalidArgument {
    /// Says what is wrong with a parameter; only the beginning of a long name is kept.
    #[must_use]
    pub fn new(parameter: &str, problem: impl Into<String>) -> Self {
        Self { parameter: parameter.chars().take(64).collect(), problem: problem.into() }
    }
}

/// Why a request was not served.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RequestError {
    /// There is no entity of this name.
    #[error("there is no entity {0:?}")]
    UnknownEntity(String),
    /// The entity has no such write.
    #[error("the entity has no write {0:?}")]
    UnknownWrite(String),
    /// Parameters are wrong; all of them are listed.
    #[error("{} parameters are wrong", .0.len())]
    Arguments(Vec<InvalidArgument>),
    /// The configuration does not allow the request.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// There was no answer within this time, which the configuration sets under this key.
    #[error("no answer within {limit:?} ({key})")]
    Late {
        /// The configuration's key of the limit.
        key: String,
        /// How long an answer may take.
        limit: Duration,
        /// How long a load for the answer may take.
        load_limit: Duration,
    },
    /// The origin rejected the client's statement, with this code.
    #[error("the origin rejected the query ({0})")]
    Query(String),
    /// The answer to the client's statement has more bytes than a query's may have.
    #[error("the answer to the query is larger than {0} bytes")]
    QueryTooLarge(u64),
    /// The read failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The write failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Corral {
    /// Answers a read of a configured entity.
    ///
    /// # Errors
    /// [`RequestError`]
    pub async fn read(&self, request: ReadRequest<'_>) -> Result<Answer, RequestError> {
        self.read_by(&self.edition(), request).await
    }

    /// Answers a read by the edition that was in force when the request came.
    pub(crate) async fn read_by(
        &self,
        edition: &Edition,
        request: ReadRequest<'_>,
    ) -> Result<Answer, RequestError> {
        let bound = edition.entity(request.entity)?;
        let values = typed(&bound.entity.params, request.arguments)?;
        // Permission is needed because a browser sends `no-cache` with every reload, without a wish of its
        // user.
        let bypasses = request.no_cache && edition.config().access.no_cache;
        let read = sql_read(bound, values)?.bypassing(bypasses);
        self.inner.cache.read(read).await.map_err(|error| {
            let key = || format!("entity.{:?}.deadline", bound.entity.name);
            of_read(error, &bound.entity, key)
        })
    }

    /// Runs a configured write.
    ///
    /// # Errors
    /// [`RequestError`]
    pub async fn write(
        &self,
        entity: &str,
        write: &str,
        arguments: &Map<String, Json>,
    ) -> Result<Wrote, RequestError> {
        let bound = self.entity(entity)?;
        let unknown = || RequestError::UnknownWrite(write.to_owned());
        let declared = bound.entity.writes.get(write).ok_or_else(unknown)?;
        let statement = bound.writes.get(write).map(Arc::clone).ok_or_else(unknown)?;
        let values = typed(&declared.params, Arguments::Json(arguments))?;
        let origin = self.inner.origin.as_ref().ok_or(ReadError::Unbound)?;
        let call = WriteCall {
            definition: Arc::clone(&bound.definition),
            entity: entity.to_owned(),
            write: write.to_owned(),
            arguments: named(&declared.params, &values),
            statement,
            values,
            needs: declared.touched_columns(),
            origin: Arc::clone(origin),
            deadline: bound.entity.deadline,
            resolve: self.resolver(),
        };
        Ok(self.inner.cache.write(call).await?)
    }

    /// Invalidates keys, tags and reads. If a tag can be read as several, all of them are invalidated.
    ///
    /// # Errors
    /// [`RequestError`] if a key, a tag or a read can't be named; then nothing was invalidated.
    pub async fn invalidate(
        &self,
        keys: &[String],
        tags: &[GivenTag],
        reads: &[(String, Map<String, Json>)],
    ) -> Result<Invalidated, RequestError> {
        let key = |(at, key): (usize, &String)| {
            let no_key = |problem| {
                InvalidArgument::new(&format!("keys[{at}]"), format!("it is no key: {problem}"))
            };
            StoreKey::try_new(key).map_err(|problem| RequestError::Arguments(vec![no_key(problem)]))
        };
        let invalidation = Invalidation {
            keys: keys.iter().enumerate().map(key).collect::<Result<_, _>>()?,
            tags: self.tags(tags)?,
            reads: reads
                .iter()
                .map(|(entity, params)| self.named_read(entity, params))
                .collect::<Result<_, _>>()?,
        };
        Ok(self.inner.cache.invalidate(invalidation).await?)
    }

    /// Makes every value of the deployment untrue; returns once every host has learned it, about a second
    /// later.
    pub async fn flush(&self) -> Invalidated {
        self.inner.cache.flush().await
    }

    /// The name of a read in the store, under the policy in force; `None` if the policy gives it no key.
    ///
    /// # Errors
    /// [`RequestError`] if there is no such read.
    pub fn name_of(
        &self,
        entity: &str,
        params: &Map<String, Json>,
    ) -> Result<Option<Name>, RequestError> {
        let request = self.named_read(entity, params)?;
        let definition = Arc::clone(&self.entity(entity)?.definition);
        let plan = self.inner.policies.slot().current().name(&request);
        let plan = plan.ok().and_then(Result::ok);
        Ok(plan.map(|plan| definition.place_of(&request, &plan).name))
    }

    /// Every tag of the store that the client can have meant.
    pub(super) fn tags(&self, given: &[GivenTag]) -> Result<Vec<StoreTag>, RequestError> {
        let edition = self.inner.edition.load();
        let mut tags = BTreeSet::new();
        for (place, given) in given.iter().enumerate() {
            let readings = edition.tags.readings(given).map_err(|NoTag { at, problem }| {
                RequestError::Arguments(vec![InvalidArgument::new(
                    &format!("tags[{place}]{at}"),
                    problem,
                )])
            })?;
            tags.extend(readings);
        }
        Ok(tags.into_iter().collect())
    }

    pub(super) fn entity(&self, name: &str) -> Result<Arc<BoundEntity>, RequestError> {
        self.inner.edition.load().entity(name).map(Arc::clone)
    }

    fn named_read(
        &self,
        entity: &str,
        params: &Map<String, Json>,
    ) -> Result<Request, RequestError> {
        let bound = self.entity(entity)?;
        let values = typed(&bound.entity.params, Arguments::Json(params))?;
        let arguments = named(&bound.entity.params, &values);
        Ok(Request { subject: Subject::Entity(entity.to_owned()), arguments })
    }

    /// How write-through finds the read that the policy named.
    fn resolver(&self) -> crate::cache::Resolve {
        let edition = self.inner.edition.load_full();
        Arc::new(move |request| {
            let Subject::Entity(name) = &request.subject else { return None };
            let bound = edition.entities.get(name)?;
            let value = |param: &Param| {
                let argument = request.arguments.iter().find(|a| a.name == param.name)?;
                Value::from_text(param.ty, argument.value.as_deref()).ok()
            };
            let values = bound.entity.params.iter().map(value).collect::<Option<_>>()?;
            sql_read(bound, values).ok()
        })
    }
}

/// The error of a request after its read failed; for a read that was too late, with the limit and its key.
pub(super) fn of_read(
    error: ReadError,
    entity: &EntityConfig,
    key: impl FnOnce() -> String,
) -> RequestError {
    match error {
        ReadError::Deadline | ReadError::Load(LoadError::Origin(OriginError::Timeout(_))) => {
            let (limit, load_limit) = (entity.deadline, entity.load_limit);
            RequestError::Late { key: key(), limit, load_limit }
        }
        ReadError::Unbound | ReadError::Load(_) | ReadError::Nothing => error.into(),
    }
}

fn sql_read(bound: &BoundEntity, values: Vec<Value>) -> Result<CacheRead, ReadError> {
    let loader = bound.loader.as_ref().ok_or(ReadError::Unbound)?;
    Ok(CacheRead::new(Arc::clone(&bound.definition), values, Arc::clone(loader)))
}

/// The values of `params`, in their order, or everything that is wrong with them.
pub(super) fn typed(
    params: &[Param],
    arguments: Arguments<'_>,
) -> Result<Vec<Value>, RequestError> {
    let mut problems = Vec::new();
    let mut values = Vec::with_capacity(params.len());
    for param in params {
        let value = match arguments {
            Arguments::Text(pairs) => pairs
                .iter()
                .find(|(name, _)| *name == param.name)
                .map(|(_, text)| Value::from_text(param.ty, Some(text))),
            Arguments::Json(object) => {
                object.get(&param.name).map(|json| Value::from_json(param.ty, json))
            }
        };
        match value {
            Some(Ok(value)) => values.push(value),
            Some(Err(invalid)) => {
                problems.push(InvalidArgument::new(&param.name, invalid.to_string()))
            }
            None => problems.push(InvalidArgument::new(
                &param.name,
                format!("it is missing; it is {}", param.ty),
            )),
        }
    }
    // If every parameter has an argument and there are no more arguments than parameters, none is surplus.
    if !problems.is_empty() || arguments.len() > params.len() {
        problems.splice(0..0, surplus(params, arguments));
        return Err(RequestError::Arguments(problems));
    }
    Ok(values)
}

fn surplus(params: &[Param], arguments: Arguments<'_>) -> Vec<InvalidArgument> {
    let names: Vec<&str> = match arguments {
        Arguments::Text(pairs) => pairs.iter().map(|(name, _)| &**name).collect(),
        Arguments::Json(object) => object.keys().map(String::as_str).collect(),
    };
    let mut problems = Vec::new();
    for (at, name) in names.iter().enumerate() {
        if !params.iter().any(|param| param.name == *name) {
            problems.push(InvalidArgument::new(name, "there is no such parameter".to_owned()));
        } else if names[..at].contains(name) {
            problems.push(InvalidArgument::new(name, "it is given twice".to_owned()));
        }
    }
    problems
}

pub(super) fn named(params: &[Param], values: &[Value]) -> Vec<Argument> {
    let pairs = params.iter().zip(values);
    pairs
        .map(|(param, value)| Argument {
            name: param.name.clone(),
            value: value.canonical().map(str::to_owned),
        })
        .collect()
}
