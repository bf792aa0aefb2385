//! What a serde type asks a deserializer for: as much of its structure as can be known without a value.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::fingerprint::Fingerprint;

/// The outline of `T`: its kind, its name and its fields' or variants' names, through options, sequences and maps down
/// to the first part that is none of these. What lies within fields is not seen.
pub(super) fn outline<T: DeserializeOwned>() -> Fingerprint {
    let start = Fingerprint::of("outline");
    T::deserialize(Probe(start)).map_or_else(|Asked(asked)| asked, |_| start)
}

/// A deserializer that ends by saying what it was asked for.
struct Probe(Fingerprint);

#[derive(Debug)]
struct Asked(Fingerprint);

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asked for {:?}", self.0)
    }
}

impl std::error::Error for Asked {}

impl serde::de::Error for Asked {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(Fingerprint::of("custom"))
    }
}

impl Probe {
    fn named<V>(self, kind: &str, name: &str, parts: &[&str]) -> Result<V, Asked> {
        let named = self.0.with_str(kind).with_str(name);
        Err(Asked(parts.iter().fold(named, |asked, part| asked.with_str(part))))
    }

    fn through(&self, kind: &str) -> Self {
        Self(self.0.with_str(kind))
    }
}

macro_rules! leaves {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
            self.named(stringify!($method), "", &[])
        }
    )*};
}

impl<'de> Deserializer<'de> for Probe {
    type Error = Asked;

    leaves! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Asked> {
        visitor.visit_some(self.through("option"))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Asked> {
        visitor.visit_seq(self.through("seq"))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Asked> {
        visitor.visit_seq(Self(self.0.with_str("tuple").with_u64(len as u64)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Asked> {
        visitor.visit_map(self.through("map"))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: V,
    ) -> Result<V::Value, Asked> {
        self.named("unit struct", name, &[])
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: V,
    ) -> Result<V::Value, Asked> {
        self.named("newtype", name, &[])
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        _: V,
    ) -> Result<V::Value, Asked> {
        Self(self.0.with_u64(len as u64)).named("tuple struct", name, &[])
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        self.named("struct", name, fields)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        self.named("enum", name, variants)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl<'de> SeqAccess<'de> for Probe {
    type Error = Asked;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Asked> {
        seed.deserialize(Self(self.0)).map(Some)
    }
}

impl<'de> MapAccess<'de> for Probe {
    type Error = Asked;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Asked> {
        seed.deserialize(Self(self.0)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Asked> {
        seed.deserialize(Self(self.0))
    }
}
