//! Preparing a statement to see whether it fits its declaration. Nothing runs.
//!
//! The driver gives names to the statements that it prepares. All of them are prepared in one
//! transaction, at whose end the names are given up, so that a pooler that lends its sessions by
//! transaction gets this one back as it was.

use std::time::Duration;

use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgColumn, PgStatement, PgTypeInfo};
use sqlx::{
    AssertSqlSafe, Column as _, Either, Executor, PgConnection, Row as _, SqlSafeStr, Statement,
    TypeInfo,
};

use super::bind::{oid, types};
use super::errors::{classify, is_undecodable, undecodable};
use super::lending::Lending;
use super::read::forget_statements;
use super::text::column_type;
use super::{described, frame, millis, relations, session, simple, statement};
use crate::origin::attempt::{CallTime, FailedAttempt};
use crate::origin::rows::duplicates;
use crate::origin::{
    ColumnType, OriginError, OutputColumn, ParamType, Prepared, ReadStatement, WriteStatement,
};

/// `insufficient_privilege`
const FORBIDDEN: &str = "42501";

/// What is examined.
#[derive(Clone, Copy)]
pub(super) enum ExaminedStatement<'s> {
    Read(&'s ReadStatement),
    Write(&'s WriteStatement),
}

/// Compares a statement with its declaration, in a transaction of its own.
pub(super) async fn examine(
    connection: &mut PgConnection,
    subject: ExaminedStatement<'_>,
    lending: &Lending,
    patience: CallTime,
) -> Result<Prepared, FailedAttempt> {
    let deadline = patience.deadline();
    let (limit, settings) = (millis(patience.left()), lending.settings());
    let begin = format!("BEGIN READ WRITE; SET LOCAL statement_timeout = {limit}{settings}");
    simple(connection, begin, patience).await?;
    if lending.is_lent() {
        free_names(connection, patience).await?;
    }
    let prepared = compare(connection, subject, deadline).await?;
    forget_statements(connection, patience).await?;
    // The driver forgets the name of a statement that it could not describe. Then the transaction
    // is left open: with it the pooler drops the lent session, and that name.
    let is_described = |column: &OutputColumn| !matches!(&column.ty, ColumnType::Opaque(_));
    if prepared.columns.iter().all(is_described) {
        simple(connection, "ROLLBACK".to_owned(), patience).await?;
    }
    Ok(prepared)
}

/// Gives up the names that another client of the same driver has left in a lent session. That
/// client can't count on getting this session again.
async fn free_names(
    connection: &mut PgConnection,
    patience: CallTime,
) -> Result<(), FailedAttempt> {
    let sql = r"SELECT coalesce(string_agg(format('DEALLOCATE %I', name), '; '), '')
                FROM pg_catalog.pg_prepared_statements WHERE name LIKE 'sqlx\_s\_%'";
    let row = sqlx::raw_sql(sql).fetch_one(&mut *connection).await;
    let row = row.map_err(|e| classify(e, patience.deadline()))?;
    let free: String = row.try_get(0).map_err(|e| FailedAttempt::dirty(undecodable(&e)))?;
    simple(connection, free, patience).await
}

async fn compare(
    connection: &mut PgConnection,
    subject: ExaminedStatement<'_>,
    deadline: Duration,
) -> Result<Prepared, FailedAttempt> {
    let (sql, params) = match subject {
        ExaminedStatement::Read(read) => (&read.sql, &read.params),
        ExaminedStatement::Write(write) => (&write.sql, &write.params),
    };
    let mut prepared = Prepared::default();
    // Without declared types, the server says which types the statement asks for, if it can:
    // `$1->>'a'` has as many meanings as there are types.
    match prepare(connection, sql.clone(), &[], deadline).await {
        Ok(free) => {
            prepared.columns = columns(&free);
            prepared.complaints = misfits(params, parameters(&free));
        }
        Err(FailedAttempt { error: OriginError::Rejected { .. }, .. }) => {}
        Err(failure) => return Err(failure),
    }
    // With the declared types, the server says whether they fit.
    let declared = statement::plain(sql, params);
    match prepare(connection, declared, &types(params), deadline).await {
        Ok(declared) => {
            prepared.columns = columns(&declared);
            let used = parameters(&declared).len();
            if prepared.complaints.is_empty() && used > params.len() {
                prepared.complaints.push(miscounted(params.len(), used));
            }
            examine_collations(connection, &declared, deadline, &mut prepared.columns).await?;
            if let ExaminedStatement::Write(_) = subject {
                examine_forms(connection, &declared, deadline, &mut prepared).await?;
            }
        }
        Err(failure) if is_undecodable(&failure.error) => match subject {
            ExaminedStatement::Read(read) => {
                let patience = CallTime::new(deadline);
                prepared.columns = described::columns(connection, read, patience).await?;
            }
            ExaminedStatement::Write(_) => prepared.complaints.push(
                "it returns a type that the driver does not know, such as a multirange: return \
                 only the columns that touches need"
                    .to_owned(),
            ),
        },
        Err(failure) if prepared.columns.is_empty() && prepared.complaints.is_empty() => {
            return Err(failure);
        }
        Err(failure) => {
            complain(&mut prepared, "with the declared types", failure)?;
            prepared.complaints.extend(duplicates(&prepared.columns));
            return Ok(prepared);
        }
    }
    if let ExaminedStatement::Read(read) = subject {
        examine_rows(connection, read, deadline, &mut prepared).await?;
    }
    examine_rights(connection, sql, params, deadline, &mut prepared).await?;
    prepared.complaints.extend(duplicates(&prepared.columns));
    Ok(prepared)
}

/// Whether the rows of a read can be had in the form in which they are asked for, and what the read
/// leaves behind in its session.
async fn examine_rows(
    connection: &mut PgConnection,
    read: &ReadStatement,
    deadline: Duration,
    prepared: &mut Prepared,
) -> Result<(), FailedAttempt> {
    if prepared.columns.is_empty() {
        prepared.complaints.push("the statement returns no columns".to_owned());
        return Ok(());
    }
    let sql = statement::read_rows(read, &[]);
    match prepare(connection, sql, &types(&read.params), deadline).await {
        Ok(_) => session::examine(connection, &read.sql, &read.params, deadline, prepared).await,
        Err(failure) => complain(prepared, "as a source of rows", failure),
    }
}

/// Complains of returned columns that have no binary form: what a write returns comes in binary.
async fn examine_forms(
    connection: &mut PgConnection,
    statement: &PgStatement,
    deadline: Duration,
    prepared: &mut Prepared,
) -> Result<(), FailedAttempt> {
    let oids: Vec<Oid> =
        statement.columns().iter().filter_map(|column| column.type_info().oid()).collect();
    let sql = "SELECT oid FROM pg_catalog.pg_type WHERE oid = ANY ($1) AND typsend = 0";
    let formless: Vec<Oid> = sqlx::query_scalar(sql)
        .bind(oids)
        .fetch_all(connection)
        .await
        .map_err(|e| classify(e, deadline))?;
    for column in statement.columns() {
        if column.type_info().oid().is_some_and(|oid| formless.contains(&oid)) {
            prepared.complaints.push(format!(
                "it returns `{}`, of a type without a binary form ({}): return only the columns \
                 that touches need",
                column.name(),
                column.type_info().name()
            ));
        }
    }
    Ok(())
}

/// Marks the columns whose collation takes different texts for equal: no names can be built from
/// them. This is known of the columns of tables and views; an expression has the collation that its
/// statement gives it.
async fn examine_collations(
    connection: &mut PgConnection,
    statement: &PgStatement,
    deadline: Duration,
    columns: &mut [OutputColumn],
) -> Result<(), FailedAttempt> {
    let origin = |column: &PgColumn| Some((column.relation_id()?, column.relation_attribute_no()?));
    let (relations, numbers): (Vec<Oid>, Vec<i16>) =
        statement.columns().iter().filter_map(origin).unzip();
    let sql = "SELECT attrelid, attnum, collname::text FROM pg_catalog.pg_attribute
               JOIN pg_catalog.pg_collation ON pg_collation.oid = attcollation
               WHERE NOT collisdeterministic
                 AND (attrelid, attnum) IN (SELECT * FROM unnest($1::oid[], $2::int2[]))";
    let found: Vec<(Oid, i16, String)> = sqlx::query_as(sql)
        .bind(relations)
        .bind(numbers)
        .fetch_all(connection)
        .await
        .map_err(|e| classify(e, deadline))?;
    for (column, described) in columns.iter_mut().zip(statement.columns()) {
        let collation = found
            .iter()
            .find(|(relation, number, _)| origin(described) == Some((*relation, *number)));
        if let Some((_, _, collation)) = collation {
            column.ty = ColumnType::Opaque(format!("text collate {collation}"));
        }
    }
    Ok(())
}

/// Whether the role may run the statement. Postgres checks rights when a statement begins to run,
/// so the statement is made ready to run and then only explained. A statement without a plan is not
/// examined.
async fn examine_rights(
    connection: &mut PgConnection,
    sql: &str,
    params: &[ParamType],
    deadline: Duration,
    prepared: &mut Prepared,
) -> Result<(), FailedAttempt> {
    let patience = CallTime::new(deadline);
    simple(connection, "SAVEPOINT _corral".to_owned(), patience).await?;
    let ready = relations::make_ready(connection, sql, params, patience).await;
    let Err(failure) = ready else { return Ok(()) };
    let OriginError::Rejected { code, message } = &failure.error else { return Err(failure) };
    if code == FORBIDDEN {
        prepared
            .complaints
            .push(format!("this role may not run it: {message}; grant the role that right"));
    }
    simple(connection, frame::UNDO.to_owned(), patience).await?;
    // A statement that was given its name before the failure still has it.
    simple(connection, relations::FORGET.to_owned(), patience).await
}

/// Turns the server's rejection of the statement into a complaint; passes on every other failure.
fn complain(
    prepared: &mut Prepared,
    how: &str,
    failure: FailedAttempt,
) -> Result<(), FailedAttempt> {
    let OriginError::Rejected { code, message } = &failure.error else { return Err(failure) };
    prepared.complaints.push(format!("{how}, the statement is refused: {message} ({code})"));
    Ok(())
}

async fn prepare(
    connection: &mut PgConnection,
    sql: String,
    types: &[PgTypeInfo],
    deadline: Duration,
) -> Result<PgStatement, FailedAttempt> {
    let patience = CallTime::new(deadline);
    simple(connection, "SAVEPOINT _corral".to_owned(), patience).await?;
    let sql = AssertSqlSafe(sql).into_sql_str();
    let prepared = connection.prepare_with(sql, types).await.map_err(|e| classify(e, deadline));
    if prepared.is_err() {
        simple(connection, frame::UNDO.to_owned(), patience).await?;
    }
    prepared
}

fn columns(statement: &PgStatement) -> Vec<OutputColumn> {
    let column = |column: &PgColumn| OutputColumn {
        name: column.name().to_owned(),
        ty: column_type(column.type_info()),
    };
    statement.columns().iter().map(column).collect()
}

fn parameters(statement: &PgStatement) -> &[PgTypeInfo] {
    match statement.parameters() {
        Some(Either::Left(types)) => types,
        Some(Either::Right(_)) | None => &[],
    }
}

fn misfits(declared: &[ParamType], asked: &[PgTypeInfo]) -> Vec<String> {
    let mut complaints = Vec::new();
    if declared.len() != asked.len() {
        complaints.push(miscounted(declared.len(), asked.len()));
    }
    for (index, (declared, asked)) in declared.iter().zip(asked).enumerate() {
        if !fits(*declared, asked) {
            let (position, asked) = (index + 1, asked.name().to_ascii_lowercase());
            complaints.push(format!(
                "${position} is declared {declared}, and the statement asks for {asked}: declare \
                 it so, or cast it in the statement"
            ));
        }
    }
    complaints
}

fn miscounted(declared: usize, used: usize) -> String {
    format!("{declared} parameters are declared, and the statement uses {used}")
}

/// Whether a parameter of the declared type can be used where the other type was inferred, and an
/// index on a column of that type still be used. A type that is not known here is left to the
/// server.
fn fits(declared: ParamType, asked: &PgTypeInfo) -> bool {
    let declared = oid(declared).0;
    let Some(asked) = asked.oid().map(|oid| oid.0) else { return true };
    let (Some(declared_family), Some(asked_family)) = (family(declared), family(asked)) else {
        return true;
    };
    declared_family == asked_family
        || (declared_family == IndexFamily::Integer
            && matches!(asked_family, IndexFamily::Float | IndexFamily::Numeric))
}

/// Types whose values Postgres compares with each other by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IndexFamily {
    Integer,
    Float,
    Numeric,
    Text,
    Time,
    Json,
    IntegerArray,
    FloatArray,
    TextArray,
    TimeArray,
    /// A type that is compared with nothing but itself.
    Alone(u32),
}

/// `None` if no type that is known here has this number.
fn family(oid: u32) -> Option<IndexFamily> {
    match oid {
        20 | 21 | 23 => Some(IndexFamily::Integer),
        700 | 701 => Some(IndexFamily::Float),
        1700 => Some(IndexFamily::Numeric),
        // text, varchar, bpchar, name
        25 | 1043 | 1042 | 19 => Some(IndexFamily::Text),
        1082 | 1114 | 1184 => Some(IndexFamily::Time),
        114 | 3802 => Some(IndexFamily::Json),
        1005 | 1007 | 1016 => Some(IndexFamily::IntegerArray),
        1021 | 1022 => Some(IndexFamily::FloatArray),
        1009 | 1014 | 1015 | 1003 => Some(IndexFamily::TextArray),
        1182 | 1115 | 1185 => Some(IndexFamily::TimeArray),
        16 | 17 | 2950 | 1000 | 1231 | 2951 => Some(IndexFamily::Alone(oid)),
        _ => None,
    }
}
