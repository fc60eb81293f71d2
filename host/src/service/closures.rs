//! Reads that are bound to a Rust closure instead of SQL, with the same protocol underneath.

use std::error::Error;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use tokio::time::timeout;

use crate::cache::{CacheRead, Loader};
use crate::origin::{Fetched, OriginError, Value};

use super::Corral;
use super::requests::{Arguments, RequestError, typed};

/// Why [`Corral::get_or_load`] gave no value.
#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    /// The read failed, as every read may.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The stored value does not have the type that the caller expects.
    #[error("the stored value is of another type: {0}")]
    Type(#[from] serde_json::Error),
}

struct Closure<F, T> {
    load: F,
    value: PhantomData<fn() -> T>,
}

#[async_trait]
impl<F, Fut, T, E> Loader for Closure<F, T>
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Result<Option<T>, E>> + Send,
    T: Serialize + Send,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    async fn load(
        &self,
        _values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Fetched, OriginError> {
        let loaded = timeout(deadline, (self.load)()).await;
        let value = loaded
            .map_err(|_elapsed| OriginError::Timeout(deadline))?
            .map_err(|error| OriginError::Unavailable(error.into().to_string()))?;
        let text = value.map(|value| serde_json::to_vec(&value)).transpose();
        let rejected = |error: serde_json::Error| OriginError::Rejected {
            code: "serialize".to_owned(),
            message: error.to_string(),
        };
        Ok(Fetched::of_json(text.map_err(rejected)?.map(Bytes::from), columns))
    }
}

impl Corral {
    /// The value of `entity` for these `arguments`, from the store or from `load`, which runs once
    /// for all callers that ask meanwhile on any host. `None` if the value does not exist, which is
    /// remembered for the entity's negative lifetime.
    ///
    /// The entity is one of the configuration; it needs no statement. `load` may be called more
    /// than once: again if a tag of its value was invalidated while it ran.
    ///
    /// # Errors
    /// [`ClosureError`]; an error of `load` arrives as [`ClosureError::Request`], unless the entity
    /// allows a stale value in its place.
    pub async fn get_or_load<T, F, Fut, E>(
        &self,
        entity: &str,
        arguments: &Map<String, Json>,
        load: F,
    ) -> Result<Option<T>, ClosureError>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let bound = self.entity(entity)?;
        let values = typed(&bound.entity.params, Arguments::Json(arguments))?;
        let loader = Arc::new(Closure { load, value: PhantomData });
        let read = CacheRead::new(Arc::clone(&bound.definition), values, loader);
        let answer = self.inner.cache.read(read).await.map_err(RequestError::Read)?;
        Ok(answer.body.map(|body| serde_json::from_slice(&body)).transpose()?)
    }
}
