//! The origin: the database that knows the truth.
//!
//! Rows come back as JSON text, faithfully; parameters go in typed. The origin knows nothing of
//! policies or stores.

mod value;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use value::{InvalidValue, ParamType, Value};

/// How many rows a read answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// A JSON object, or nothing.
    One,
    /// A JSON array, perhaps empty.
    Many,
}

/// A read statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadStatement {
    /// As the user wrote it, without a trailing semicolon.
    pub sql: String,
    /// The types of `$1`, `$2`, ….
    pub params: Vec<ParamType>,
    /// One object or an array.
    pub rows: Rows,
}

/// A write statement, perhaps with `RETURNING`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteStatement {
    /// As the user wrote it, without a trailing semicolon.
    pub sql: String,
    /// The types of `$1`, `$2`, ….
    pub params: Vec<ParamType>,
}

/// What an executed and not yet committed write did.
pub struct Written {
    /// Rows that the statement changed.
    pub rows: u64,
    /// What it returned, each row a JSON object; empty without `RETURNING`.
    pub returned: Vec<serde_json::Map<String, serde_json::Value>>,
    /// The transaction, still open. Dropped: rolled back.
    pub transaction: Box<dyn Transaction>,
}

/// An open transaction.
#[async_trait]
pub trait Transaction: Send {
    /// Commits.
    ///
    /// # Errors
    /// After an error that is not [`OriginError::Rejected`] it is unknown whether it committed.
    async fn commit(self: Box<Self>) -> Result<(), OriginError>;
}

/// Why the origin did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OriginError {
    /// No connection.
    #[error("origin unavailable: {0}")]
    Unavailable(String),
    /// The statement did not end in its time.
    #[error("the statement did not end within {0:?}")]
    Timeout(Duration),
    /// The database answered with an error of the statement's own. `code` is its SQLSTATE, or
    /// SQLite's result code.
    #[error("the origin rejected the statement ({code}): {message}")]
    Rejected {
        /// SQLSTATE (`23505`), or SQLite's extended result code.
        code: String,
        /// The database's words: for logs and `check`, never for a response.
        message: String,
    },
    /// The answer is larger than [`BODY_LIMIT`].
    #[error("the answer is larger than {BODY_LIMIT} bytes")]
    TooLarge,
}

/// The largest answer that is passed on and stored: 16 MiB. What is larger wants another interface
/// than a cache.
pub const BODY_LIMIT: usize = 16 << 20;

/// What preparing a statement found, for `corral check`.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    /// Columns of the answer, in order.
    pub columns: Vec<String>,
    /// What does not fit: parameter count, parameter types, duplicate columns. Sentences.
    pub complaints: Vec<String>,
}

/// A database.
#[async_trait]
pub trait Origin: Send + Sync {
    /// Runs a read. None: `Rows::One` and there is no row. The statement ends by `deadline`, in
    /// the database too.
    async fn load(
        &self,
        read: &ReadStatement,
        values: &[Value],
        deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError>;

    /// Runs a write in a transaction and leaves it open.
    async fn execute(
        &self,
        write: &WriteStatement,
        values: &[Value],
        deadline: Duration,
    ) -> Result<Written, OriginError>;

    /// Prepares a read and compares it with its declaration; runs nothing.
    async fn prepare_read(&self, read: &ReadStatement) -> Result<Prepared, OriginError>;

    /// Prepares a write and compares it with its declaration; runs nothing.
    async fn prepare_write(&self, write: &WriteStatement) -> Result<Prepared, OriginError>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), OriginError>;

    /// `postgres` or `sqlite`, for people.
    fn kind(&self) -> &'static str;
}
