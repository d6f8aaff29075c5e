//! Reads a body by the names of its type, and knows where it failed.
//!
//! Serde passes a deserializer the field names of the struct that it wants. Here they are kept while the value of a
//! field is read, so that a refusal can point at the field by a name of ours. A name that the caller chose, an unknown
//! field or an entry of a map, ends the pointer: a refusal never quotes the caller's text.
//!
//! A struct is read from an object alone. Serde's derived types also take an array of their fields in order, which no
//! caller of ours may send.

use std::{cell::RefCell, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor, value::StringDeserializer},
    forward_to_deserialize_any,
};

/// Where a body failed: a JSON Pointer (RFC 6901), as far as its names are ours.
#[derive(Default)]
pub(super) struct Pointer(RefCell<String>);

impl Pointer {
    pub(super) fn into_string(self) -> String {
        self.0.into_inner()
    }

    /// The failure lies in the value of this field; of a name that is not ours, when there is none.
    fn failed_in(&self, field: Option<&str>) {
        let mut pointer = self.0.borrow_mut();
        *pointer = field.map_or_else(String::new, |field| format!("/{field}{pointer}"));
    }
}

/// A deserializer that keeps to the rules of this module.
pub(super) struct Strict<'p, D> {
    pub(super) inner: D,
    pub(super) pointer: &'p Pointer,
}

impl<'p, D> Strict<'p, D> {
    const fn within<V>(&self, visitor: V, fields: &'static [&'static str]) -> Within<'p, V> {
        Within { visitor, fields, pointer: self.pointer }
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<'_, D> {
    type Error = D::Error;

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let within = self.within(visitor, &[]);
        self.inner.deserialize_any(within)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let within = self.within(visitor, &[]);
        self.inner.deserialize_option(within)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let within = self.within(visitor, fields);
        self.inner.deserialize_map(within)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_enum(name, variants, visitor)
    }
}

/// A visitor, or the access to what it visits, with the field names of the struct that it builds.
struct Within<'p, V> {
    visitor: V,
    fields: &'static [&'static str],
    pointer: &'p Pointer,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Within<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        self.visitor.visit_bool(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        self.visitor.visit_i64(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        self.visitor.visit_u64(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        self.visitor.visit_f64(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<V::Value, E> {
        self.visitor.visit_str(value)
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Strict { inner, pointer: self.pointer })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_seq(Elements { inner, pointer: self.pointer })
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Members { inner, fields: self.fields, field: None, pointer: self.pointer })
    }
}

/// The members of an object.
struct Members<'p, A> {
    inner: A,
    fields: &'static [&'static str],
    /// Whose value comes next, if the name is ours.
    field: Option<&'static str>,
    pointer: &'p Pointer,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(name) = self.inner.next_key::<String>()? else { return Ok(None) };
        self.field = self.fields.iter().copied().find(|field| *field == name);
        let name: StringDeserializer<A::Error> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let value = self.inner.next_value_seed(StrictSeed { seed, pointer: self.pointer });
        value.inspect_err(|_error| self.pointer.failed_in(self.field))
    }
}

/// The elements of an array: a pointer ends before their numbers.
struct Elements<'p, A> {
    inner: A,
    pointer: &'p Pointer,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let element = self.inner.next_element_seed(StrictSeed { seed, pointer: self.pointer });
        element.inspect_err(|_error| self.pointer.failed_in(None))
    }
}

struct StrictSeed<'p, S> {
    seed: S,
    pointer: &'p Pointer,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for StrictSeed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.seed.deserialize(Strict { inner, pointer: self.pointer })
    }
}
