//! Values as Postgres' binary parameters, each with its declared type: a `bigint` column is only
//! looked up in its index when it is compared with a `bigint`.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::{Arguments, Encode, Postgres, Type};
use uuid::Uuid;

use super::errors::undecodable;
use crate::origin::attempt::FailedAttempt;
use crate::origin::value::{bytes, elements};
use crate::origin::{Element, ParamType, Value};

/// Days from chrono's epoch, 0000-12-31, to Postgres', 2000-01-01.
pub(super) const EPOCH_DAY: i32 = 730_120;

/// Microseconds from the Unix epoch to Postgres', 2000-01-01.
pub(super) const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// The values as arguments.
pub(super) fn arguments(values: &[Value]) -> Result<PgArguments, FailedAttempt> {
    let mut arguments = PgArguments::default();
    for value in values {
        let bound = BoundValue(value);
        arguments.add(bound).map_err(|e| FailedAttempt::usable(undecodable(e.as_ref())))?;
    }
    Ok(arguments)
}

/// The declared types, for preparing.
pub(super) fn types(params: &[ParamType]) -> Vec<PgTypeInfo> {
    params.iter().map(|ty| PgTypeInfo::with_oid(oid(*ty))).collect()
}

/// The built-in type's number, from Postgres' `pg_type.dat`.
pub(super) fn oid(ty: ParamType) -> Oid {
    Oid(match ty {
        ParamType::Bool => 16,
        ParamType::Int2 => 21,
        ParamType::Int4 => 23,
        ParamType::Int8 => 20,
        ParamType::Float4 => 700,
        ParamType::Float8 => 701,
        ParamType::Numeric => 1700,
        ParamType::Text => 25,
        ParamType::Uuid => 2950,
        ParamType::Date => 1082,
        ParamType::Timestamp => 1114,
        ParamType::TimestampTz => 1184,
        ParamType::Json => 114,
        ParamType::Jsonb => 3802,
        ParamType::Bytea => 17,
        ParamType::Array(element) => match element {
            Element::Bool => 1000,
            Element::Int2 => 1005,
            Element::Int4 => 1007,
            Element::Int8 => 1016,
            Element::Float4 => 1021,
            Element::Float8 => 1022,
            Element::Numeric => 1231,
            Element::Text => 1009,
            Element::Uuid => 2951,
            Element::Date => 1182,
            Element::Timestamp => 1115,
            Element::TimestampTz => 1185,
        },
    })
}

/// The type whose parameters have the canonical texts of this built-in type's values. `None` if
/// there is no such type, as for `json`, whose values are not comparable.
pub(super) fn named(oid: u32) -> Option<ParamType> {
    Some(match oid {
        16 => ParamType::Bool,
        21 => ParamType::Int2,
        23 => ParamType::Int4,
        20 => ParamType::Int8,
        700 => ParamType::Float4,
        701 => ParamType::Float8,
        1700 => ParamType::Numeric,
        // text, varchar, bpchar, name
        25 | 1043 | 1042 | 19 => ParamType::Text,
        2950 => ParamType::Uuid,
        1082 => ParamType::Date,
        1114 => ParamType::Timestamp,
        1184 => ParamType::TimestampTz,
        3802 => ParamType::Jsonb,
        17 => ParamType::Bytea,
        1000 => ParamType::Array(Element::Bool),
        1005 => ParamType::Array(Element::Int2),
        1007 => ParamType::Array(Element::Int4),
        1016 => ParamType::Array(Element::Int8),
        1021 => ParamType::Array(Element::Float4),
        1022 => ParamType::Array(Element::Float8),
        1231 => ParamType::Array(Element::Numeric),
        1009 | 1015 | 1014 | 1003 => ParamType::Array(Element::Text),
        2951 => ParamType::Array(Element::Uuid),
        1182 => ParamType::Array(Element::Date),
        1115 => ParamType::Array(Element::Timestamp),
        1185 => ParamType::Array(Element::TimestampTz),
        _ => return None,
    })
}

struct BoundValue<'v>(&'v Value);

impl Type<Postgres> for BoundValue<'_> {
    /// Never used, since `produces` gives each value's own type.
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(oid(ParamType::Text))
    }
}

impl Encode<'_, Postgres> for BoundValue<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let Some(text) = self.0.canonical() else { return Ok(IsNull::Yes) };
        encode(self.0.ty(), text, buffer)?;
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(oid(self.0.ty())))
    }
}

fn encode(ty: ParamType, text: &str, out: &mut Vec<u8>) -> Result<(), BoxDynError> {
    match ty {
        ParamType::Bool => out.push(u8::from(text == "true")),
        ParamType::Int2 => out.extend(text.parse::<i16>()?.to_be_bytes()),
        ParamType::Int4 => out.extend(text.parse::<i32>()?.to_be_bytes()),
        ParamType::Int8 => out.extend(text.parse::<i64>()?.to_be_bytes()),
        ParamType::Float4 => out.extend(text.parse::<f32>()?.to_be_bytes()),
        ParamType::Float8 => out.extend(text.parse::<f64>()?.to_be_bytes()),
        ParamType::Numeric => numeric(text, out)?,
        ParamType::Text | ParamType::Json => out.extend(text.as_bytes()),
        ParamType::Uuid => out.extend(Uuid::parse_str(text)?.as_bytes()),
        ParamType::Date => {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d")?;
            let day = chrono::Datelike::num_days_from_ce(&date);
            out.extend((day - EPOCH_DAY).to_be_bytes());
        }
        ParamType::Timestamp => {
            let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")?.and_utc();
            out.extend((time.timestamp_micros() - EPOCH_MICROS).to_be_bytes());
        }
        ParamType::TimestampTz => {
            let time = DateTime::parse_from_rfc3339(text)?;
            out.extend((time.timestamp_micros() - EPOCH_MICROS).to_be_bytes());
        }
        ParamType::Jsonb => {
            // The format's version.
            out.push(1);
            out.extend(text.as_bytes());
        }
        ParamType::Bytea => out.extend(bytes(text)?),
        ParamType::Array(element) => array(element, text, out)?,
    }
    Ok(())
}

/// `array_recv`: dimensions, whether there are nulls, element type, length, lower bound; and each
/// element with its length.
fn array(element: Element, text: &str, out: &mut Vec<u8>) -> Result<(), BoxDynError> {
    let items = elements(text)?;
    out.extend(1_i32.to_be_bytes());
    out.extend(i32::from(items.iter().any(Option::is_none)).to_be_bytes());
    out.extend(oid(element.scalar()).0.to_be_bytes());
    out.extend(i32::try_from(items.len())?.to_be_bytes());
    out.extend(1_i32.to_be_bytes());
    for item in items {
        let Some(item) = item else {
            out.extend((-1_i32).to_be_bytes());
            continue;
        };
        let start = out.len();
        out.extend([0; 4]);
        encode(element.scalar(), &item, out)?;
        let length = i32::try_from(out.len() - start - 4)?;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// `numeric_recv`: the number of base-10000 digits, the first one's weight, sign and scale; and
/// the digits.
fn numeric(text: &str, out: &mut Vec<u8>) -> Result<(), BoxDynError> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (0x4000_u16, unsigned),
        None => (0, text),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    // Groups of four are counted from the point.
    let before = whole.len().div_ceil(4);
    let after = fraction.len().div_ceil(4);
    let padded =
        format!("{whole:0>before$}{fraction:0<after$}", before = before * 4, after = after * 4);
    out.extend(i16::try_from(before + after)?.to_be_bytes());
    out.extend((i16::try_from(before)? - 1).to_be_bytes());
    out.extend(sign.to_be_bytes());
    out.extend(i16::try_from(fraction.len())?.to_be_bytes());
    for start in (0..padded.len()).step_by(4) {
        out.extend(padded[start..start + 4].parse::<i16>()?.to_be_bytes());
    }
    Ok(())
}
