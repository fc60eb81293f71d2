//! What a read uses and what a write changes, as Postgres itself sees it.
//!
//! A read becomes a temporary view, in a transaction that is rolled back: the catalogue then knows
//! what the view depends on. A write is prepared and explained without running: its plan names the
//! tables that it modifies, and the catalogue says what follows from that.

mod cascade;
mod plan;

use serde::Deserialize;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};

use super::errors::{classify, undecodable};
use super::{PostgresOrigin, millis, simple};
use crate::origin::assignments;
use crate::origin::attempt::{CallTime, FailedAttempt};
use crate::origin::relations::{Changes, Columns, Footprint, Table, Unseen};
use crate::origin::tokens::{Dialect, TokenKind, tokens};
use crate::origin::{OriginError, ParamType, ReadStatement, WriteStatement};
use cascade::Catalogue;

/// `insufficient_privilege`
const FORBIDDEN: &str = "42501";

/// `syntax_error`
const SYNTAX: &str = "42601";

/// Gives up the name of the statement that was to be explained, if it has got it.
pub(super) const FORGET: &str = "DO $$ BEGIN EXECUTE (SELECT 'DEALLOCATE _corral_changes' \
    FROM pg_catalog.pg_prepared_statements WHERE name = '_corral_changes'); \
    EXCEPTION WHEN null_value_not_allowed THEN NULL; END $$";

/// What is known of the session.
struct Session {
    dialect: Dialect,
    /// What would allow the role to create temporary objects; `None` if it may.
    missing_right: Option<String>,
}

/// `footprint.sql`'s answer.
#[derive(Deserialize)]
struct Used {
    tables: Vec<UsedColumn>,
    functions: Vec<UsedFunction>,
    has_whole_rows: bool,
}

#[derive(Deserialize)]
struct UsedColumn {
    #[serde(flatten)]
    table: Table,
    /// `None` for the table as such.
    column: Option<String>,
    is_whole: bool,
    row_security: bool,
}

#[derive(Deserialize)]
struct UsedFunction {
    name: String,
    may_write: bool,
}

impl PostgresOrigin {
    /// What a read uses.
    pub(super) async fn footprint(&self, read: &ReadStatement) -> Result<Footprint, OriginError> {
        let used = self.undone(async |connection, patience| {
            let session = session(connection, patience).await?;
            used(connection, &session, &read.sql, &read.params, patience).await
        });
        let used = used.await?;
        let mut footprint = Footprint::default();
        for UsedColumn { table, column, is_whole, row_security } in used.tables {
            let columns = match column {
                _ if is_whole || used.has_whole_rows => Columns::All,
                Some(column) => Columns::Some([column].into()),
                None => Columns::none(),
            };
            footprint.add(table, &columns, row_security);
        }
        let functions = used.functions.into_iter().map(|function| function.name);
        footprint.unseen = functions.map(Unseen::Function).collect();
        Ok(footprint)
    }

    /// What a write changes.
    pub(super) async fn consequences(
        &self,
        write: &WriteStatement,
    ) -> Result<Changes, OriginError> {
        let WriteStatement { sql, params } = write;
        self.undone(async |connection, patience| {
            let session = session(connection, patience).await?;
            let modified = match explain(connection, sql, params, patience).await {
                Ok(plans) => plan::modified(&plans),
                Err(failure) => match failure.error {
                    // Only the statements that the reason names have plans; TRUNCATE, CALL and
                    // others do not.
                    OriginError::Rejected { code, .. } if code == SYNTAX => {
                        let reason = "it is none of INSERT, UPDATE, DELETE, MERGE and SELECT";
                        return Ok(unseen([Unseen::Statement(reason.to_owned())]));
                    }
                    OriginError::Rejected { .. }
                    | OriginError::Unavailable(_)
                    | OriginError::Timeout(_)
                    | OriginError::Undone { .. }
                    | OriginError::TooLarge => return Err(failure),
                },
            };
            if modified.is_empty() {
                return called(connection, &session, sql, params, patience).await;
            }
            let assigned = assignments::of(sql, session.dialect);
            let target = assigned.as_ref().map(|assigned| assigned.target.clone());
            let catalogue: Catalogue =
                catalogue(connection, &modified, target.as_deref(), patience).await?;
            Ok(catalogue.changes(&modified, assigned.as_ref()))
        })
        .await
    }

    /// Runs work in a transaction and rolls it back. The connection is closed afterwards, and what
    /// was prepared on it goes with it.
    async fn undone<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection, CallTime) -> Result<T, FailedAttempt>,
    ) -> Result<T, OriginError> {
        let patience = CallTime::new(self.session_deadline);
        let mut lease = self.questions.lease(patience.left()).await?;
        let all = async {
            // One message, since a pooler lends a session to the message that begins a transaction.
            let (limit, settings) = (millis(patience.left()), self.lending.settings());
            let begin =
                format!("BEGIN READ WRITE; SET LOCAL statement_timeout = {limit}{settings}");
            simple(lease.connection(), begin, patience).await?;
            // Compiling the queries of the catalogue takes a hundred times as long as running them.
            run(lease.connection(), "SET LOCAL jit = off", patience).await?;
            let done = work(lease.connection(), patience).await?;
            run(lease.connection(), "ROLLBACK", patience).await?;
            Ok(done)
        };
        patience.guard(all).await.map_err(|failure| failure.error)
    }
}

async fn session(
    connection: &mut PgConnection,
    patience: CallTime,
) -> Result<Session, FailedAttempt> {
    let sql = "SELECT current_setting('standard_conforming_strings') = 'off', \
               has_database_privilege(current_database(), 'TEMPORARY'), \
               format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), current_user)";
    let row = connection.fetch_one(sql).await.map_err(|e| classify(e, patience.deadline()))?;
    let undecodable = |e: sqlx::Error| FailedAttempt::dirty(undecodable(&e));
    let has_backslashes = row.try_get(0).map_err(undecodable)?;
    let may_create: bool = row.try_get(1).map_err(undecodable)?;
    let grant: String = row.try_get(2).map_err(undecodable)?;
    let missing_right = (!may_create).then_some(grant);
    Ok(Session { dialect: Dialect::Postgres { has_backslashes }, missing_right })
}

/// What a statement that returns rows depends on.
async fn used(
    connection: &mut PgConnection,
    session: &Session,
    sql: &str,
    params: &[ParamType],
    patience: CallTime,
) -> Result<Used, FailedAttempt> {
    if let Some(grant) = &session.missing_right {
        let message = format!(
            "this role may not create temporary objects, and a temporary view is how Postgres says \
             what a statement uses: {grant}"
        );
        return Err(FailedAttempt::usable(OriginError::Rejected {
            code: FORBIDDEN.into(),
            message,
        }));
    }
    let sql = without_parameters(sql, params, session.dialect)?;
    // With `SELECT 1` the statement's columns need no distinct names; the view depends on them all
    // the same.
    let view = format!("CREATE TEMPORARY VIEW _corral_footprint AS SELECT 1 FROM (\n{sql}\n) AS q");
    run(connection, &view, patience).await?;
    let document = include_str!("relations/footprint.sql");
    let row = connection.fetch_one(document).await.map_err(|e| classify(e, patience.deadline()))?;
    document_in(&row)
}

/// What a statement that modifies no table itself may change: what the functions do that it calls.
async fn called(
    connection: &mut PgConnection,
    session: &Session,
    sql: &str,
    params: &[ParamType],
    patience: CallTime,
) -> Result<Changes, FailedAttempt> {
    match used(connection, session, sql, params, patience).await {
        Ok(used) => {
            let functions = used.functions.into_iter().filter(|function| function.may_write);
            Ok(unseen(functions.map(|function| Unseen::Function(function.name))))
        }
        Err(failure) => match failure.error {
            OriginError::Rejected { message, .. } => Ok(unseen([Unseen::Statement(message)])),
            OriginError::Unavailable(_)
            | OriginError::Timeout(_)
            | OriginError::Undone { .. }
            | OriginError::TooLarge => Err(failure),
        },
    }
}

/// The plans of a write, as JSON; more than one where a rule adds statements.
pub(super) async fn explain(
    connection: &mut PgConnection,
    sql: &str,
    params: &[ParamType],
    patience: CallTime,
) -> Result<serde_json::Value, FailedAttempt> {
    let row = explained(connection, sql, params, "FORMAT JSON, VERBOSE", patience).await?;
    let text = row.try_get_raw(0).and_then(|plan| plan.as_str().map_err(sqlx::Error::Decode));
    let text = text.map_err(|error| FailedAttempt::dirty(undecodable(&error)))?;
    serde_json::from_str(text).map_err(|error| FailedAttempt::dirty(undecodable(&error)))
}

/// Makes a statement ready to run and does not run it. The server's answer does not hold the output
/// columns, which may be large constants.
pub(super) async fn make_ready(
    connection: &mut PgConnection,
    sql: &str,
    params: &[ParamType],
    patience: CallTime,
) -> Result<(), FailedAttempt> {
    explained(connection, sql, params, "COSTS OFF", patience).await.map(|_plan| ())
}

/// The first line of a statement's plan, which is the generic one: if the planner knew the
/// arguments, it might see that nothing can be modified.
async fn explained(
    connection: &mut PgConnection,
    sql: &str,
    params: &[ParamType],
    how: &str,
    patience: CallTime,
) -> Result<PgRow, FailedAttempt> {
    run(connection, "SET LOCAL plan_cache_mode = force_generic_plan", patience).await?;
    let listed = |texts: Vec<String>| match texts.is_empty() {
        true => String::new(),
        false => format!("({})", texts.join(", ")),
    };
    let types = listed(params.iter().map(ParamType::to_string).collect());
    let nulls = listed(params.iter().map(|_| "NULL".to_owned()).collect());
    run(connection, &format!("PREPARE _corral_changes {types} AS\n{sql}"), patience).await?;
    let explain = format!("EXPLAIN ({how}) EXECUTE _corral_changes {nulls}");
    let row = sqlx::query(AssertSqlSafe(explain)).persistent(false);
    let row = row.fetch_one(&mut *connection).await;
    let row = row.map_err(|e| classify(e, patience.deadline()))?;
    // The statement keeps its name beyond the end of the transaction.
    run(connection, "DEALLOCATE _corral_changes", patience).await?;
    Ok(row)
}

/// What the catalogue knows of the modified tables.
async fn catalogue(
    connection: &mut PgConnection,
    modified: &[plan::Modified],
    target: Option<&str>,
    patience: CallTime,
) -> Result<Catalogue, FailedAttempt> {
    let tables: Vec<serde_json::Value> = modified
        .iter()
        .map(|modified| serde_json::json!({"schema": modified.schema, "name": modified.name}))
        .collect();
    let query = sqlx::query(include_str!("relations/catalogue.sql"))
        .persistent(false)
        .bind(serde_json::Value::from(tables).to_string())
        .bind(target);
    let row = query.fetch_one(connection).await.map_err(|e| classify(e, patience.deadline()))?;
    document_in(&row)
}

/// Parses the document in a row's only column.
fn document_in<T: serde::de::DeserializeOwned>(
    row: &sqlx::postgres::PgRow,
) -> Result<T, FailedAttempt> {
    let text: &str = row.try_get(0).map_err(|e| FailedAttempt::dirty(undecodable(&e)))?;
    serde_json::from_str(text).map_err(|e| FailedAttempt::dirty(undecodable(&e)))
}

/// The statement with a null of the declared type in place of each parameter: a view has none.
pub(super) fn without_parameters(
    sql: &str,
    params: &[ParamType],
    dialect: Dialect,
) -> Result<String, FailedAttempt> {
    let mut text = String::with_capacity(sql.len());
    let mut copied = 0;
    for token in tokens(sql, dialect) {
        let TokenKind::Parameter(number) = token.kind else { continue };
        let Some(ty) = number.checked_sub(1).and_then(|index| params.get(index)) else {
            let message = format!("${number} is used, and {} are declared", params.len());
            return Err(FailedAttempt::usable(OriginError::Rejected {
                code: "42P02".into(),
                message,
            }));
        };
        text.push_str(&sql[copied..token.start]);
        text.push_str(&format!("(NULL::{ty})"));
        copied = token.start + token.text.len();
    }
    text.push_str(&sql[copied..]);
    Ok(text)
}

fn unseen(unseen: impl IntoIterator<Item = Unseen>) -> Changes {
    Changes { unseen: unseen.into_iter().collect(), ..Changes::default() }
}

/// Runs a command. The server takes it for one statement, and refuses more.
async fn run(
    connection: &mut PgConnection,
    sql: &str,
    patience: CallTime,
) -> Result<(), FailedAttempt> {
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    let done = query.execute(connection).await;
    done.map(|_| ()).map_err(|e| classify(e, patience.deadline()))
}
