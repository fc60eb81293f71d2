//! The origin: the database that knows the truth.
//!
//! Rows come back as JSON text, faithfully; parameters go in typed. The origin knows nothing of
//! policies or stores.

mod assignments;
mod attempt;
mod connect;
mod doubt;
mod fault;
mod fetched;
mod identity;
mod pool;
mod postgres;
mod relations;
mod rows;
#[cfg(feature = "sqlite")]
mod sqlite;
mod tokens;
mod value;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use connect::{ConnectError, CurrentUrl, OriginOptions, Pooler, connect, is_same_origin};
pub use doubt::{CommitError, ServerLife, Xid};
pub use fault::Fault;
pub use fetched::Fetched;
pub use identity::OriginIdentity;
pub use postgres::PostgresOrigin;
pub use relations::{
    ChangedBy, Changes, Columns, Footprint, Table, TableChange, TableUsage, Unseen,
};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteOrigin;
pub use value::{Element, InvalidValue, ParamType, UnknownType, Value};

/// How many rows a read answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// A JSON object, or nothing. When the statement finds more rows, the first is the answer and
    /// the others are not fetched.
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
pub struct Uncommitted {
    /// Rows that the statement changed.
    pub rows: u64,
    /// The canonical texts of the asked columns, in the order asked, for each row that the
    /// statement returned; `None` for SQL's null. Empty if no columns were asked.
    pub returned: Vec<Vec<Option<String>>>,
    /// The asked columns that gave no text: the statement does not return them, returns them twice,
    /// or returns a value that has none. Empty when no row was changed.
    pub missing: Vec<String>,
    /// The transaction's id, by which the database can be asked whether the transaction has ended.
    /// `None` if the transaction has written nothing, or if the database is SQLite, where the end
    /// of a commit is seen at once.
    pub xid: Option<Xid>,
    /// The transaction, still open; dropping it rolls it back.
    pub transaction: Box<dyn Transaction>,
}

/// An open transaction.
#[async_trait]
pub trait Transaction: Send {
    /// Commits, and waits for that no longer than the write's deadline.
    ///
    /// # Errors
    /// [`CommitError::RolledBack`] only where the database itself says so; every other failure
    /// leaves the transaction in doubt.
    async fn commit(self: Box<Self>) -> Result<(), CommitError>;
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
    /// The database took the transaction back: for the sake of another one (a deadlock, a failure
    /// to serialise, a lock that is not to be had), or because this host left it idle for too long.
    /// The same statement may succeed now.
    #[error("the origin took the transaction back ({code}): {message}")]
    Undone {
        /// SQLSTATE: `40P01`, `40001`, `55P03`, `25P03`.
        code: String,
        /// The database's words: for logs and `check`, never for a response.
        message: String,
    },
    /// The answer is larger than [`BODY_LIMIT`].
    #[error("the answer is larger than {BODY_LIMIT} bytes")]
    TooLarge,
}

/// A transaction that is left open between its statement and its commit is ended by the database
/// after this long: by then the host that wrote has committed, or is lost and never will. SQLite
/// has no such limit: a host that is suspended between the two commits when it resumes.
pub const WRITE_IDLE_LIMIT: Duration = Duration::from_secs(1);

/// The largest answer that is passed on and stored: 16 MiB. A larger one needs another interface
/// than a cache.
pub const BODY_LIMIT: usize = 16 << 20;

/// What preparing a statement found, for `corral check`.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    /// Columns of the answer, in order.
    pub columns: Vec<OutputColumn>,
    /// What does not fit, in sentences: parameter count, parameter types, duplicate columns, what
    /// would stay behind in the session.
    pub complaints: Vec<String>,
    /// What preparing can't know, in sentences for the operator.
    pub notes: Vec<String>,
    /// The statement may answer something else each time although nothing is written, so readers
    /// can't share an answer.
    pub varies: bool,
}

impl Prepared {
    /// Complains of a function that answers something else on each call.
    fn complain_of_chance(&mut self, name: &str) {
        self.varies = true;
        self.complaints.push(format!(
            "it calls {name}, which answers each call something else, while readers share one answer: \
             call it in the application"
        ));
    }

    /// Notes a function that says what time it is.
    fn note_clock(&mut self, name: &str) {
        self.notes.push(format!(
            "it calls {name}, whose result changes while nothing is written: its lifetime alone \
             bounds how old the answer may be"
        ));
    }
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    /// Its name.
    pub name: String,
    /// Whether names can be built from its values.
    pub ty: ColumnType,
}

/// What names can be built from a column's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// Equal values have one text, that of a parameter of this type.
    Named(ParamType),
    /// SQLite only: an expression, or a column without a declared type. Each value has the text of
    /// its storage class.
    Dynamic,
    /// Values that the database takes for equal can have different texts, or the type is not known
    /// here. Holds the database's own name of the type.
    Opaque(String),
}

/// A database.
#[async_trait]
pub trait Origin: Send + Sync {
    /// Runs a read, and brings the canonical texts of `columns` with its rows. The statement ends
    /// by `deadline`, in the database too; waiting for a connection counts. The statement can't
    /// write, and the next statement finds nothing that it changed in its session.
    ///
    /// # Errors
    /// Any [`OriginError`]. A read that met a connection that had died while idle is tried once more.
    async fn load(
        &self,
        read: &ReadStatement,
        values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Fetched, OriginError>;

    /// Runs a read that a client wrote, as [`Origin::load`] runs those of the configuration; it is
    /// not kept prepared. `None` if [`Rows::One`] is asked for and there is no row.
    ///
    /// # Errors
    /// As [`Origin::load`].
    async fn query(
        &self,
        read: &ReadStatement,
        values: &[Value],
        deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError>;

    /// Runs a write in a transaction and leaves it open, for [`WRITE_IDLE_LIMIT`] at most. Brings the
    /// canonical texts of `columns` of the rows that the statement returns.
    ///
    /// # Errors
    /// Any [`OriginError`]; nothing has changed then.
    async fn execute(
        &self,
        write: &WriteStatement,
        values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Uncommitted, OriginError>;

    /// Prepares a read and compares it with its declaration; runs nothing.
    ///
    /// # Errors
    /// The statement is wrong whatever is declared, or the database does not answer.
    async fn prepare_read(&self, read: &ReadStatement) -> Result<Prepared, OriginError>;

    /// Prepares a write and compares it with its declaration; runs nothing.
    ///
    /// # Errors
    /// As [`Origin::prepare_read`].
    async fn prepare_write(&self, write: &WriteStatement) -> Result<Prepared, OriginError>;

    /// What a read uses, as the database itself sees it; runs nothing. Postgres makes a temporary view
    /// for it and takes it back.
    ///
    /// # Errors
    /// The statement is wrong, the database does not answer, or this role may not make such a view;
    /// the error then says what would allow it.
    async fn reads_from(&self, read: &ReadStatement) -> Result<Footprint, OriginError>;

    /// What a write changes, as the database itself sees it: the statement, and the foreign keys that
    /// change other rows in its wake; runs nothing.
    ///
    /// # Errors
    /// The statement is wrong, or the database does not answer.
    async fn changes(&self, write: &WriteStatement) -> Result<Changes, OriginError>;

    /// Whether the database answers. The question waits for no read and takes no read's connection.
    ///
    /// # Errors
    /// The database does not answer.
    async fn ping(&self) -> Result<(), OriginError>;

    /// Whether a transaction that was in doubt has ended. If so, every read from now on sees its
    /// outcome, be it committed or not. The question does not wait for reads and writes.
    ///
    /// # Errors
    /// The database does not answer, or is a standby, which can't tell.
    async fn has_ended(&self, xid: Xid) -> Result<bool, OriginError>;

    /// Whether a transaction that has ended committed. `None` if the database does not say, or if
    /// the server may have crashed since it gave the id out.
    ///
    /// # Errors
    /// As [`Origin::has_ended`].
    async fn has_committed(&self, xid: Xid) -> Result<Option<bool>, OriginError> {
        let _ = xid;
        Ok(None)
    }

    /// Asks which database this is.
    ///
    /// # Errors
    /// The database does not answer, or this role may not ask it.
    async fn identity(&self) -> Result<OriginIdentity, OriginError>;

    /// Which database the newest connection leads to, or what [`Origin::identity`] or a write's
    /// transaction has said since. A connection to another database is not used again. `None` if no
    /// connection was asked yet, or if the database does not say.
    fn last_identity(&self) -> Option<OriginIdentity>;

    /// `postgres` or `sqlite`, for people.
    fn kind(&self) -> &'static str;
}
