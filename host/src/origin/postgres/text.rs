//! The canonical texts of a result's columns, out of Postgres' binary forms.
//!
//! The forms are those of the types' `*_send` functions. The server describes a column of a domain
//! by the domain's base type.

use chrono::{DateTime, NaiveDate};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgColumn, PgRow, PgTypeInfo, PgTypeKind};
use sqlx::{Column as _, Row as _, TypeInfo as _, ValueRef as _};
use uuid::Uuid;

use super::bind::{EPOCH_DAY, EPOCH_MICROS, named};
use super::errors::undecodable;
use crate::origin::attempt::FailedAttempt;
use crate::origin::rows::{ColumnText, Texts};
use crate::origin::value::{Decimal, held};
use crate::origin::{ColumnType, Element, ParamType};

/// `char(n)`, whose values are equal when they differ in spaces at the end.
const BPCHAR: u32 = 1042;

/// Most dimensions of an array (Postgres' `MAXDIM`).
const DIMENSIONS_LIMIT: usize = 6;

/// What names can be built from a column of this type. An enum is named by its labels.
pub(super) fn column_type(ty: &PgTypeInfo) -> ColumnType {
    if let Some(named) = ty.oid().and_then(|oid| named(oid.0)) {
        return ColumnType::Named(named);
    }
    let is_enum = |ty: &PgTypeInfo| matches!(ty.kind(), PgTypeKind::Enum(_));
    if is_enum(ty) {
        return ColumnType::Named(ParamType::Text);
    }
    if let PgTypeKind::Array(element) = ty.kind()
        && is_enum(element)
    {
        return ColumnType::Named(ParamType::Array(Element::Text));
    }
    ColumnType::Opaque(ty.name().to_ascii_lowercase())
}

/// Where the asked columns stand in a result, and how they are read.
#[derive(Debug)]
pub(super) struct ColumnPlaces(Vec<Option<ColumnPlace>>);

#[derive(Debug)]
struct ColumnPlace {
    index: usize,
    oid: u32,
    ty: ParamType,
}

impl ColumnPlaces {
    /// The columns from the second one on, as a read's wrapper selects them.
    pub(super) fn after_first(columns: &[PgColumn]) -> Self {
        Self(columns.iter().skip(1).map(place).collect())
    }

    /// The columns of these names. A column that is returned twice has no place, as it can't be
    /// told from its namesake.
    pub(super) fn by_name(columns: &[PgColumn], asked: &[String]) -> Self {
        let only = |name: &String| {
            let mut namesakes = columns.iter().filter(|column| column.name() == name);
            namesakes.next().filter(|_| namesakes.next().is_none()).and_then(place)
        };
        Self(asked.iter().map(only).collect())
    }

    /// Adds a row's texts.
    pub(super) fn read(&self, row: &PgRow, texts: &mut Texts<'_>) -> Result<(), FailedAttempt> {
        let mut read = Vec::with_capacity(self.0.len());
        for place in &self.0 {
            let text = place.as_ref().map_or(Ok(ColumnText::Missing), |place| place.read(row));
            read.push(text.map_err(|e| FailedAttempt::dirty(undecodable(e.as_ref())))?);
        }
        texts.push(read.into_iter()).map_err(FailedAttempt::dirty)
    }
}

fn place(column: &PgColumn) -> Option<ColumnPlace> {
    let oid = column.type_info().oid()?.0;
    match column_type(column.type_info()) {
        ColumnType::Named(ty) => Some(ColumnPlace { index: column.ordinal(), oid, ty }),
        ColumnType::Dynamic | ColumnType::Opaque(_) => None,
    }
}

impl ColumnPlace {
    fn read(&self, row: &PgRow) -> Result<ColumnText, BoxDynError> {
        let value = row.try_get_raw(self.index)?;
        if value.is_null() {
            return Ok(ColumnText::Null);
        }
        let text = text(self.ty, self.oid, value.as_bytes()?)?;
        Ok(text.map_or(ColumnText::Missing, ColumnText::Canonical))
    }
}

/// The text of a value; `None` if it has none.
fn text(ty: ParamType, oid: u32, bytes: &[u8]) -> Result<Option<String>, BoxDynError> {
    Ok(Some(match ty {
        ParamType::Bool => (bytes != [0]).to_string(),
        ParamType::Int2 => i16::from_be_bytes(bytes.try_into()?).to_string(),
        ParamType::Int4 => i32::from_be_bytes(bytes.try_into()?).to_string(),
        ParamType::Int8 => i64::from_be_bytes(bytes.try_into()?).to_string(),
        ParamType::Float4 => held::float4(f32::from_be_bytes(bytes.try_into()?)),
        ParamType::Float8 => held::float8(f64::from_be_bytes(bytes.try_into()?)),
        ParamType::Numeric => numeric(bytes)?,
        ParamType::Text if oid == BPCHAR => {
            std::str::from_utf8(bytes)?.trim_end_matches(' ').into()
        }
        ParamType::Text => std::str::from_utf8(bytes)?.to_owned(),
        ParamType::Uuid => Uuid::from_slice(bytes)?.hyphenated().to_string(),
        ParamType::Date => day(i32::from_be_bytes(bytes.try_into()?)),
        ParamType::Timestamp => moment(i64::from_be_bytes(bytes.try_into()?), ""),
        ParamType::TimestampTz => moment(i64::from_be_bytes(bytes.try_into()?), "Z"),
        // The document follows the format's version.
        ParamType::Jsonb => {
            return Ok(held::document(std::str::from_utf8(bytes.get(1..).unwrap_or_default())?));
        }
        // Documents of this type are not comparable.
        ParamType::Json => return Ok(None),
        ParamType::Bytea => held::bytea(bytes),
        ParamType::Array(element) => Array::parse(bytes)?.text(element)?,
    }))
}

/// A day, counted from 2000-01-01.
fn day(count: i32) -> String {
    let date = count.checked_add(EPOCH_DAY).and_then(NaiveDate::from_num_days_from_ce_opt);
    match count {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        _ => date
            .and_then(|date| held::day(&date))
            .unwrap_or_else(|| format!("2000-01-01{count:+}d")),
    }
}

/// A moment, counted in microseconds from the start of 2000-01-01.
fn moment(count: i64, zone: &str) -> String {
    let time = count.checked_add(EPOCH_MICROS).and_then(DateTime::from_timestamp_micros);
    match count {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        _ => time
            .and_then(|time| held::moment(&time.naive_utc()))
            .map_or_else(|| format!("2000-01-01{count:+}us{zone}"), |text| text + zone),
    }
}

/// `numeric_send`: the number of base-10000 digits, the first one's weight, sign and scale; and the
/// digits.
fn numeric(bytes: &[u8]) -> Result<String, BoxDynError> {
    let mut reader = ValueReader(bytes);
    let count = reader.u16()?;
    let (weight, sign, _scale) = (reader.u16()?.cast_signed(), reader.u16()?, reader.u16()?);
    let negative = match sign {
        0 => false,
        0x4000 => true,
        0xC000 => return Ok("NaN".to_owned()),
        0xD000 => return Ok("Infinity".to_owned()),
        0xF000 => return Ok("-Infinity".to_owned()),
        other => return Err(format!("a numeric has the sign {other:#x}").into()),
    };
    let mut digits = String::with_capacity(4 * usize::from(count));
    for _ in 0..count {
        digits.push_str(&format!("{:04}", reader.u16()?));
    }
    let scale = 4 * (i64::from(count) - 1 - i64::from(weight));
    let number = Decimal::held(negative, &digits, scale).ok_or("a numeric is too long")?;
    Ok(number.to_string())
}

/// `array_send`: dimensions, whether there are nulls, element type; each dimension's length and
/// lower bound; and each element with its length.
struct Array<'b> {
    element: u32,
    dimensions: Vec<Dimension>,
    items: ValueReader<'b>,
}

struct Dimension {
    length: usize,
    lower: i64,
}

impl<'b> Array<'b> {
    fn parse(bytes: &'b [u8]) -> Result<Self, BoxDynError> {
        let mut items = ValueReader(bytes);
        let count = usize::try_from(items.i32()?)?;
        let (_has_nulls, element) = (items.i32()?, items.i32()?.cast_unsigned());
        if count > DIMENSIONS_LIMIT {
            return Err(format!("an array has {count} dimensions").into());
        }
        let mut dimensions = Vec::with_capacity(count);
        for _ in 0..count {
            let length = usize::try_from(items.i32()?)?;
            dimensions.push(Dimension { length, lower: items.i32()?.into() });
        }
        Ok(Self { element, dimensions, items })
    }

    /// The array's text, which is a parameter's if a parameter can be it: of one dimension, counted
    /// from 1. Further dimensions are nested, and other bounds stand before the items as Postgres
    /// writes them (`[0:1]=…`).
    fn text(mut self, element: Element) -> Result<String, BoxDynError> {
        let mut text = String::new();
        if self.dimensions.iter().any(|dimension| dimension.lower != 1) {
            for Dimension { length, lower } in &self.dimensions {
                let upper = lower + i64::try_from(*length)? - 1;
                text.push_str(&format!("[{lower}:{upper}]"));
            }
            text.push('=');
        }
        let dimensions = std::mem::take(&mut self.dimensions);
        if dimensions.is_empty() {
            text.push_str("[]");
        } else {
            self.nest(&dimensions, element, &mut text)?;
        }
        Ok(text)
    }

    fn nest(
        &mut self,
        dimensions: &[Dimension],
        element: Element,
        text: &mut String,
    ) -> Result<(), BoxDynError> {
        let Some((outer, inner)) = dimensions.split_first() else {
            return self.item(element, text);
        };
        text.push('[');
        for index in 0..outer.length {
            if index > 0 {
                text.push(',');
            }
            self.nest(inner, element, text)?;
        }
        text.push(']');
        Ok(())
    }

    fn item(&mut self, element: Element, out: &mut String) -> Result<(), BoxDynError> {
        let item = match self.items.i32()? {
            -1 => None,
            length => {
                let bytes = self.items.take(usize::try_from(length)?)?;
                text(element.scalar(), self.element, bytes)?
            }
        };
        held::push_item(out, element, item.as_deref());
        Ok(())
    }
}

/// What is left to read.
struct ValueReader<'b>(&'b [u8]);

impl<'b> ValueReader<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], BoxDynError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("a value ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, BoxDynError> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn i32(&mut self) -> Result<i32, BoxDynError> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }
}
