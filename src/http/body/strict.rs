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

/// Where a body failed, a JSON Pointer (RFC 6901) as far as its names are ours; and why, in words of ours.
#[derive(Default)]
pub(super) struct Pointer {
    path: RefCell<String>,
    why: RefCell<Option<String>>,
}

impl Pointer {
    pub(super) fn into_parts(self) -> (String, String) {
        let why = self.why.into_inner().unwrap_or_else(|| "is not of the form that is expected".to_owned());
        (self.path.into_inner(), why)
    }

    /// The failure lies in the value of this field; of a name that is not ours, when there is none.
    fn failed_in(&self, field: Option<&str>) {
        let mut path = self.path.borrow_mut();
        *path = field.map_or_else(String::new, |field| format!("/{field}{path}"));
    }

    /// The first reason is the innermost one, and stays.
    fn because(&self, why: impl FnOnce() -> String) {
        self.why.borrow_mut().get_or_insert_with(why);
    }

    /// What serde says of the type of a value. Its text quotes the value, so that only its first words are looked at.
    fn wrong_type(&self, error: &impl fmt::Display, expected: impl FnOnce() -> String) {
        let said = error.to_string();
        if ["invalid type: ", "invalid value: ", "unknown variant "].iter().any(|first| said.starts_with(first)) {
            self.because(|| format!("must be {}", expected()));
        }
    }

    /// What serde says of the members of an object: the name of a field that is missing, or that comes twice, is ours.
    fn wrong_members(&self, error: &impl fmt::Display, fields: &[&str]) {
        let said = error.to_string();
        let named = |first: &str| {
            let (name, _rest) = said.strip_prefix(first)?.split_once('`')?;
            fields.iter().find(|field| **field == name)
        };
        for (first, why) in [("missing field `", "is missing"), ("duplicate field `", "comes twice")] {
            if let Some(field) = named(first)
                && self.why.borrow().is_none()
            {
                self.because(|| format!("{field} {why}; it must be there once"));
                self.failed_in(Some(field));
            }
        }
    }
}

/// What a visitor expects, in the words of JSON.
fn expected_by<'de>(visitor: &impl Visitor<'de>, fields: &[&str]) -> String {
    struct Expecting<'v, V>(&'v V);

    impl<'de, V: Visitor<'de>> fmt::Display for Expecting<'_, V> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.expecting(f)
        }
    }

    if !fields.is_empty() {
        return format!("an object of {}", fields.join(", "));
    }
    match Expecting(visitor).to_string() {
        number if ["u8", "u16", "u32", "u64"].contains(&number.as_str()) => format!("a whole number ({number})"),
        number if ["i8", "i16", "i32", "i64"].contains(&number.as_str()) => format!("a whole number ({number})"),
        text if text == "a string" => "a text, in quotes".to_owned(),
        list if list == "a sequence" => "an array".to_owned(),
        flag if flag == "a boolean" => "true or false".to_owned(),
        other => other,
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
        let (pointer, expected) = (self.pointer, expected_by(&visitor, &[]));
        let within = self.within(visitor, &[]);
        self.inner.deserialize_any(within).inspect_err(|error| pointer.wrong_type(error, || expected))
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
        let (pointer, expected) = (self.pointer, expected_by(&visitor, fields));
        let within = self.within(visitor, fields);
        self.inner.deserialize_map(within).inspect_err(|error| pointer.wrong_type(error, || expected))
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
        let words = || format!("one of {}", variants.join(", "));
        self.inner.deserialize_enum(name, variants, visitor).inspect_err(|error| self.pointer.wrong_type(error, words))
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
        self.visitor.visit_seq(Elements { inner, at: 0, pointer: self.pointer })
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let (fields, pointer) = (self.fields, self.pointer);
        let visited = self.visitor.visit_map(Members { inner, fields, field: None, pointer });
        visited.inspect_err(|error| pointer.wrong_members(error, fields))
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
        let (fields, pointer) = (self.fields, self.pointer);
        let name: StringDeserializer<A::Error> = name.into_deserializer();
        // The caller's name may be a secret in the wrong place, so that the refusal says which names there are.
        let is_known = fields.is_empty() || self.field.is_some();
        seed.deserialize(name).map(Some).inspect_err(|_error| {
            if !is_known {
                pointer.because(|| format!("has a field that is not known; it may have {}", fields.join(", ")));
            }
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let value = self.inner.next_value_seed(StrictSeed { seed, pointer: self.pointer });
        value.inspect_err(|_error| self.pointer.failed_in(self.field))
    }
}

/// The elements of an array.
struct Elements<'p, A> {
    inner: A,
    /// Which one comes next.
    at: usize,
    pointer: &'p Pointer,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let element = self.inner.next_element_seed(StrictSeed { seed, pointer: self.pointer });
        let element = element.inspect_err(|_error| self.pointer.failed_in(Some(&self.at.to_string())));
        self.at = self.at.saturating_add(1);
        element
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
