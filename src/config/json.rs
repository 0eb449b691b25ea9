//! JSON to a tree, by serde_json, which is strict: no comments, no trailing commas.
//!
//! serde_json does not tell where values begin, but it reads byte by byte. So it is given a reader
//! that counts: before a map's value nothing has been read ahead, before a key or an element just
//! its first byte.

use std::cell::Cell;
use std::fmt;
use std::io;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::fault::Wrong;
use super::tree::{Broken, Builder, Place, Tree};
use super::yaml::one_line;

/// Reads the builder's source.
pub(super) fn read(mut builder: Builder<'_>) -> Result<Tree, Broken> {
    let source = builder.source();
    let count = Cell::new(0);
    let mut broken = None;
    let mut json =
        serde_json::Deserializer::from_reader(Counted { rest: source.as_bytes(), count: &count });
    let value =
        Value { builder: &mut builder, broken: &mut broken, count: &count, ahead: Ahead::Nothing };
    let read = value.deserialize(&mut json).and_then(|()| json.end());
    match (read, broken) {
        (_, Some(broken)) => Err(broken),
        (Ok(()), None) => builder.finish(),
        (Err(error), None) => Err(Broken {
            place: Some(Place {
                line: error.line() as u32,
                // It counts bytes, and 0 after a line's end.
                column: (error.column() as u32).max(1),
            }),
            wrong: Wrong::Syntax(message(&error)),
        }),
    }
}

/// serde_json's message without the place, which is told already.
fn message(error: &serde_json::Error) -> Box<str> {
    let text = error.to_string();
    one_line(text.rsplit_once(" at line ").map_or(&*text, |(message, _)| message))
}

struct Counted<'a> {
    rest: &'a [u8],
    count: &'a Cell<usize>,
}

impl io::Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.rest.read(buffer)?;
        self.count.set(self.count.get() + read);
        Ok(read)
    }
}

/// What serde_json has read of a value before it asks for it.
#[derive(Clone, Copy)]
enum Ahead {
    FirstByte,
    Nothing,
}

struct Value<'b, 's> {
    builder: &'b mut Builder<'s>,
    broken: &'b mut Option<Broken>,
    count: &'b Cell<usize>,
    ahead: Ahead,
}

impl<'s> Value<'_, 's> {
    fn begins(&self) -> usize {
        let read = self.count.get();
        match self.ahead {
            Ahead::FirstByte => read.saturating_sub(1),
            Ahead::Nothing => {
                let rest = self.builder.source().as_bytes().get(read..).unwrap_or_default();
                let space = |b: &&u8| matches!(**b, b' ' | b'\t' | b'\n' | b'\r');
                read + rest.iter().take_while(space).count()
            }
        }
    }

    /// The value that begins next, inside the one that this was made for.
    fn within<'b>(&'b mut self, ahead: Ahead) -> Value<'b, 's> {
        Value { builder: self.builder, broken: self.broken, count: self.count, ahead }
    }

    fn tell<T, E: Error>(&mut self, result: Result<T, Broken>) -> Result<T, E> {
        result.map_err(|broken| {
            *self.broken = Some(broken);
            E::custom("not a configuration")
        })
    }

    fn text<E: Error>(&mut self, at: usize, text: &str) -> Result<(), E> {
        let put = self.builder.text(at, text).map(drop);
        self.tell(put)
    }

    /// A number or a boolean, as it is written.
    fn literal<E: Error>(&mut self, at: usize) -> Result<(), E> {
        let rest = self.builder.source().get(at..).unwrap_or_default();
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
        self.text(at, rest.get(..end).unwrap_or_default())
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let at = self.begins();
        json.deserialize_any(At { value: self, at })
    }
}

struct At<'b, 's> {
    value: Value<'b, 's>,
    at: usize,
}

impl<'de> Visitor<'de> for At<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        let put = self.value.builder.null(self.at).map(drop);
        self.value.tell(put)
    }

    fn visit_bool<E: Error>(mut self, _: bool) -> Result<(), E> {
        self.value.literal(self.at)
    }

    fn visit_i64<E: Error>(mut self, _: i64) -> Result<(), E> {
        self.value.literal(self.at)
    }

    fn visit_u64<E: Error>(mut self, _: u64) -> Result<(), E> {
        self.value.literal(self.at)
    }

    fn visit_f64<E: Error>(mut self, _: f64) -> Result<(), E> {
        self.value.literal(self.at)
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.value.text(self.at, text)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let begun = self.value.builder.begin_list(self.at);
        self.value.tell(begun)?;
        while list.next_element_seed(self.value.within(Ahead::FirstByte))?.is_some() {}
        let end = self.value.builder.end().map(drop);
        self.value.tell(end)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let begun = self.value.builder.begin_map(self.at);
        self.value.tell(begun)?;
        while map.next_key_seed(Key(self.value.within(Ahead::FirstByte)))?.is_some() {
            map.next_value_seed(self.value.within(Ahead::Nothing))?;
        }
        let end = self.value.builder.end().map(drop);
        self.value.tell(end)
    }
}

struct Key<'b, 's>(Value<'b, 's>);

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_str(KeyAt { at: self.0.begins(), value: self.0 })
    }
}

struct KeyAt<'b, 's> {
    value: Value<'b, 's>,
    at: usize,
}

impl Visitor<'_> for KeyAt<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(mut self, key: &str) -> Result<(), E> {
        let put = self.value.builder.key(self.at, key);
        self.value.tell(put)
    }
}
