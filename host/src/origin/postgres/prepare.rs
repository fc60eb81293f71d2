//! Preparing a statement to see whether it fits its declaration. Nothing runs.

use std::time::Duration;

use sqlx::postgres::{PgStatement, PgTypeInfo};
use sqlx::{
    AssertSqlSafe, Column, Either, Executor, PgConnection, SqlSafeStr, Statement, TypeInfo,
};

use super::bind::{oid, types};
use super::errors::classify;
use super::statement;
use crate::origin::attempt::Failure;
use crate::origin::rows::duplicates;
use crate::origin::{OriginError, ParamType, Prepared, ReadStatement, WriteStatement};

/// `indeterminate_datatype` and `ambiguous_parameter`: the server can't tell a parameter's type
/// unless it is declared.
const UNDECIDED: [&str; 2] = ["42P18", "42P08"];

/// What is examined.
#[derive(Clone, Copy)]
pub(super) enum Subject<'s> {
    Read(&'s ReadStatement),
    Write(&'s WriteStatement),
}

/// Compares a statement with its declaration.
pub(super) async fn examine(
    connection: &mut PgConnection,
    subject: Subject<'_>,
    deadline: Duration,
) -> Result<Prepared, Failure> {
    let (sql, params) = match subject {
        Subject::Read(read) => (&read.sql, &read.params),
        Subject::Write(write) => (&write.sql, &write.params),
    };
    let mut prepared = Prepared::default();
    // Left alone, the server says which types the statement asks for.
    match prepare(connection, sql.clone(), &[], deadline).await {
        Ok(free) => {
            prepared.columns = columns(&free);
            prepared.complaints = misfits(params, parameters(&free));
        }
        Err(failure) if is_undecided(&failure) => {}
        Err(failure) => return Err(failure),
    }
    // With the declared types, it says whether they will do.
    let declared = statement::plain(sql, params);
    match prepare(connection, declared, &types(params), deadline).await {
        Ok(declared) => {
            prepared.columns = columns(&declared);
            let used = parameters(&declared).len();
            if prepared.complaints.is_empty() && used > params.len() {
                prepared.complaints.push(miscounted(params.len(), used));
            }
            examine_rows(connection, subject, deadline, &mut prepared).await?;
        }
        Err(failure) if prepared.columns.is_empty() && prepared.complaints.is_empty() => {
            return Err(failure);
        }
        Err(failure) => complain(&mut prepared, "with the declared types", failure)?,
    }
    prepared.complaints.extend(duplicates(&prepared.columns));
    Ok(prepared)
}

/// Whether its rows can be had as JSON, in the form that will run.
async fn examine_rows(
    connection: &mut PgConnection,
    subject: Subject<'_>,
    deadline: Duration,
    prepared: &mut Prepared,
) -> Result<(), Failure> {
    let (sql, params) = match subject {
        Subject::Read(_) if prepared.columns.is_empty() => {
            prepared.complaints.push("the statement returns no columns".to_owned());
            return Ok(());
        }
        Subject::Read(read) => (statement::read_rows(read), &read.params),
        Subject::Write(_) if prepared.columns.is_empty() => return Ok(()),
        Subject::Write(write) => (statement::write_rows(&write.sql, &write.params), &write.params),
    };
    match prepare(connection, sql, &types(params), deadline).await {
        Ok(_) => Ok(()),
        Err(failure) => complain(prepared, "as a source of rows", failure),
    }
}

/// Turns what the server says of the statement into a complaint; passes on everything else.
fn complain(prepared: &mut Prepared, how: &str, failure: Failure) -> Result<(), Failure> {
    let OriginError::Rejected { code, message } = &failure.error else { return Err(failure) };
    prepared.complaints.push(format!("{how}, the statement is refused: {message} ({code})"));
    Ok(())
}

async fn prepare(
    connection: &mut PgConnection,
    sql: String,
    types: &[PgTypeInfo],
    deadline: Duration,
) -> Result<PgStatement, Failure> {
    let sql = AssertSqlSafe(sql).into_sql_str();
    connection.prepare_with(sql, types).await.map_err(|e| classify(e, deadline))
}

fn is_undecided(failure: &Failure) -> bool {
    matches!(&failure.error, OriginError::Rejected { code, .. } if UNDECIDED.contains(&code.as_str()))
}

fn columns(statement: &PgStatement) -> Vec<String> {
    statement.columns().iter().map(|column| column.name().to_owned()).collect()
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

/// Whether a parameter of the declared type can be used where the other was inferred, and an index
/// on a column of that type still be used. A type that we have no name for is left to the server.
fn fits(declared: ParamType, asked: &PgTypeInfo) -> bool {
    let declared = oid(declared).0;
    let Some(asked) = asked.oid().map(|oid| oid.0) else { return true };
    let (Some(declared_family), Some(asked_family)) = (family(declared), family(asked)) else {
        return true;
    };
    declared_family == asked_family
        || (declared_family == Family::Integer
            && matches!(asked_family, Family::Float | Family::Numeric))
}

/// Types whose values Postgres compares with each other by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
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

/// None: no type of ours.
fn family(oid: u32) -> Option<Family> {
    match oid {
        20 | 21 | 23 => Some(Family::Integer),
        700 | 701 => Some(Family::Float),
        1700 => Some(Family::Numeric),
        // text, varchar, bpchar, name
        25 | 1043 | 1042 | 19 => Some(Family::Text),
        1082 | 1114 | 1184 => Some(Family::Time),
        114 | 3802 => Some(Family::Json),
        1005 | 1007 | 1016 => Some(Family::IntegerArray),
        1021 | 1022 => Some(Family::FloatArray),
        1009 | 1014 | 1015 | 1003 => Some(Family::TextArray),
        1182 | 1115 | 1185 => Some(Family::TimeArray),
        16 | 17 | 2950 | 1000 | 1231 | 2951 => Some(Family::Alone(oid)),
        _ => None,
    }
}
