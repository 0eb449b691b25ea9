//! JSON objects, in the one way to write them.
//!
//! Serde's derived readers also take a list of an object's values, in the order of the fields:
//! `["v1", "TokenReview"]` for `{"apiVersion": "v1", "kind": "TokenReview"}`. That is a second
//! spelling of the same thing, and one that no other reader of such messages understands.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// What was read from an object, and not from a list.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Pair {
        a: u8,
        b: Option<Object<Inner>>,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Inner {
        c: u8,
    }

    fn read(text: &str) -> Result<(u8, Option<u8>), String> {
        let read: Result<Object<Pair>, _> = serde_json::from_str(text);
        let tell = |Object(pair): Object<Pair>| (pair.a, pair.b.map(|Object(inner)| inner.c));
        read.map(tell).map_err(|error| error.to_string())
    }

    #[test]
    fn an_object_is_read_and_a_list_of_its_values_is_not() {
        assert_eq!(read(r#"{"b": {"c": 2}, "a": 1}"#), Ok((1, Some(2))));
        assert_eq!(read(r#"{"a": 1, "b": null}"#), Ok((1, None)));
        assert_eq!(read(r#"{"a": 1, "x": [1, {}]}"#), Ok((1, None)));
        for (text, fault) in [
            (r#"[1, {"c": 2}]"#, "invalid type: sequence, expected an object"),
            (r#"{"a": 1, "b": [2]}"#, "invalid type: sequence, expected an object"),
            ("null", "invalid type: null, expected an object"),
            (r#"{"a": 1, "a": 1}"#, "duplicate field `a`"),
            (r#"{"b": {"c": 2}}"#, "missing field `a`"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.starts_with(fault), "{text}: {told}");
        }
    }
}
