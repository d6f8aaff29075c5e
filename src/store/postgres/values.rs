//! The values of statements that wait to be sent: of one transaction each by itself, of several as columns.

use std::ops::Range;

use chrono::{DateTime, Utc};
use sqlx::{
    Arguments, Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo},
};
use uuid::Uuid;

/// The values of one transaction's statements, as the server takes them.
#[derive(Default)]
pub(super) struct Values {
    bytes: PgArgumentBuffer,
    each: Vec<Value>,
}

struct Value {
    type_info: PgTypeInfo,
    /// Where its bytes are; `None` where it is NULL.
    place: Option<Range<usize>>,
}

/// The types of which there are columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnElement {
    Truth,
    Bytes,
    Bigint,
    Text,
    Instant,
    Uuid,
}

impl ColumnElement {
    /// The number that PostgreSQL has for it, in every database.
    const fn oid(self) -> u32 {
        match self {
            Self::Truth => 16,
            Self::Bytes => 17,
            Self::Bigint => 20,
            Self::Text => 25,
            Self::Instant => 1184,
            Self::Uuid => 2950,
        }
    }

    fn of(type_info: &PgTypeInfo) -> Option<Self> {
        let oid = type_info.oid()?.0;
        let all = [Self::Truth, Self::Bytes, Self::Bigint, Self::Text, Self::Instant, Self::Uuid];
        all.into_iter().find(|element| element.oid() == oid)
    }

    /// The type of a column of it, in a statement's text.
    const fn column(self) -> &'static str {
        match self {
            Self::Truth => "BOOLEAN[]",
            Self::Bytes => "BYTEA[]",
            Self::Bigint => "BIGINT[]",
            Self::Text => "TEXT[]",
            Self::Instant => "TIMESTAMPTZ[]",
            Self::Uuid => "UUID[]",
        }
    }

    fn column_info(self) -> PgTypeInfo {
        match self {
            Self::Truth => Vec::<bool>::type_info(),
            Self::Bytes => Vec::<Vec<u8>>::type_info(),
            Self::Bigint => Vec::<i64>::type_info(),
            Self::Text => Vec::<String>::type_info(),
            Self::Instant => Vec::<DateTime<Utc>>::type_info(),
            Self::Uuid => Vec::<Uuid>::type_info(),
        }
    }
}

impl Values {
    /// Adds a value after the others.
    pub(super) fn add<'v, V: Encode<'v, Postgres> + Type<Postgres>>(&mut self, value: V) -> Result<(), BoxDynError> {
        let type_info = value.produces().unwrap_or_else(V::type_info);
        let begin = self.bytes.len();
        let is_null = value.encode(&mut self.bytes)?;
        let place = (!is_null.is_null()).then(|| begin..self.bytes.len());
        self.each.push(Value { type_info, place });
        Ok(())
    }

    /// The bytes of a value; `None` where it is NULL or not there.
    pub(super) fn bytes_of(&self, at: usize) -> Option<&[u8]> {
        let place = self.each.get(at)?.place.clone()?;
        self.bytes.get(place)
    }

    /// Each value by itself.
    pub(super) fn arguments(&self) -> Result<PgArguments, BoxDynError> {
        let mut arguments = PgArguments::default();
        for (at, value) in self.each.iter().enumerate() {
            arguments.add(One { type_info: &value.type_info, bytes: self.bytes_of(at) })?;
        }
        Ok(arguments)
    }

    /// The type of a column for each value, as a text has it; `None` where there is no such column.
    pub(super) fn columns(&self) -> Option<Vec<&'static str>> {
        self.each.iter().map(|value| ColumnElement::of(&value.type_info).map(ColumnElement::column)).collect()
    }
}

/// The values of several transactions of one shape: a column for each value.
pub(super) fn columns(of: &[&Values]) -> Result<PgArguments, BoxDynError> {
    let mut arguments = PgArguments::default();
    let Some(first) = of.first() else { return Ok(arguments) };
    for (at, value) in first.each.iter().enumerate() {
        let element = ColumnElement::of(&value.type_info).ok_or("a type without columns")?;
        arguments.add(Column { element, at, of })?;
    }
    Ok(arguments)
}

/// A value that is encoded already.
struct One<'v> {
    type_info: &'v PgTypeInfo,
    bytes: Option<&'v [u8]>,
}

impl Type<Postgres> for One<'_> {
    // Each says which type it is.
    fn type_info() -> PgTypeInfo {
        <[u8] as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for One<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let Some(bytes) = self.bytes else { return Ok(IsNull::Yes) };
        buffer.extend_from_slice(bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.type_info.clone())
    }
}

/// A value of each transaction.
struct Column<'v> {
    element: ColumnElement,
    at: usize,
    of: &'v [&'v Values],
}

impl Type<Postgres> for Column<'_> {
    // Each says which type it is.
    fn type_info() -> PgTypeInfo {
        Vec::<Vec<u8>>::type_info()
    }
}

impl Encode<'_, Postgres> for Column<'_> {
    /// The form of PostgreSQL's `array_recv`: dimensions, whether there are NULLs, the element's type, the length, the first index; then
    /// each element after its length.
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let nulls = self.of.iter().any(|values| values.bytes_of(self.at).is_none());
        for number in [1, u32::from(nulls), self.element.oid(), u32::try_from(self.of.len())?, 1] {
            buffer.extend_from_slice(&number.to_be_bytes());
        }
        for values in self.of {
            let bytes = values.bytes_of(self.at);
            let length = bytes.map_or(Ok(-1), |bytes| i32::try_from(bytes.len()))?;
            buffer.extend_from_slice(&length.to_be_bytes());
            buffer.extend_from_slice(bytes.unwrap_or_default());
        }
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.element.column_info())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_types_are_the_drivers() {
        let of_driver = [
            (ColumnElement::Truth, <bool as Type<Postgres>>::type_info()),
            (ColumnElement::Bytes, <[u8] as Type<Postgres>>::type_info()),
            (ColumnElement::Bigint, <i64 as Type<Postgres>>::type_info()),
            (ColumnElement::Text, <str as Type<Postgres>>::type_info()),
            (ColumnElement::Instant, <DateTime<Utc> as Type<Postgres>>::type_info()),
            (ColumnElement::Uuid, <Uuid as Type<Postgres>>::type_info()),
        ];
        for (element, type_info) in of_driver {
            assert_eq!(ColumnElement::of(&type_info), Some(element));
        }
        assert_eq!(ColumnElement::of(&<f64 as Type<Postgres>>::type_info()), None);
    }

    #[test]
    fn a_column_is_encoded_as_the_driver_encodes_an_array() {
        let texts = [Some("one"), None, Some("")];
        let of: Vec<Values> = texts
            .iter()
            .map(|text| {
                let mut values = Values::default();
                values.add(*text).unwrap();
                values
            })
            .collect();
        let of: Vec<&Values> = of.iter().collect();
        let (mut ours, mut drivers) = (PgArgumentBuffer::default(), PgArgumentBuffer::default());
        assert!(!Column { element: ColumnElement::Text, at: 0, of: &of }.encode_by_ref(&mut ours).unwrap().is_null());
        assert!(!texts.to_vec().encode_by_ref(&mut drivers).unwrap().is_null());
        // The flag of NULLs alone is not the driver's, which always sets none: the server reads each element's length.
        let without_flag = |buffer: &PgArgumentBuffer| [&buffer[..4], &buffer[8..]].concat();
        assert_eq!(without_flag(&ours), without_flag(&drivers));
    }
}
