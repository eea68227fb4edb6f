//! Reads a Lane from a document's nodes. What is wrong is noted with its place and left out, so that one
//! reading finds it all.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::Display;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::node::{Content, Entry, Node, Number, Place};
use crate::lane::Lane;

/// What the document itself is called in messages.
const WHOLE: &str = "the document";

/// What is wrong, and where.
pub(super) type Faults = Vec<(Place, String)>;

/// The Lane that a document holds, as far as it does, and what is wrong with it.
pub(super) fn lane(document: &Node) -> (Option<Lane>, Faults) {
    let faults = RefCell::new(Faults::new());
    loop {
        let reader = Reader { node: document, name: WHOLE, faults: &faults };
        match Lane::deserialize(reader) {
            Ok(lane) => return (Some(lane), faults.take()),
            // Each round leaves out one node more.
            Err(Stop::Again) => {}
            Err(stop) => {
                if !document.holds_dropped() {
                    reader.note(stop, document.place);
                }
                return (None, faults.take());
            }
        }
    }
}

/// Why reading cannot go on.
#[derive(Debug)]
enum Stop {
    /// A value is wrong.
    Wrong(String),
    /// A value is wrong, and not where it begins.
    WrongAt(Place, String),
    /// A field that must be there is not.
    Missing(&'static str),
    /// A name that is none of those known.
    Unknown { name: String, known: &'static [&'static str] },
    /// Something has been left out: all has to be read again without it.
    Again,
}

/// A node to be read, and what it is called: its key, or that of the list it is in.
#[derive(Clone, Copy)]
struct Reader<'n> {
    node: &'n Node,
    name: &'n str,
    faults: &'n RefCell<Faults>,
}

impl<'n> Reader<'n> {
    fn of(self, node: &'n Node, name: &'n str) -> Self {
        Self { node, name, ..self }
    }

    /// Notes a fault of what begins at `place`.
    fn note(&self, stop: Stop, place: Place) {
        let (place, message) = match stop {
            Stop::Again => return,
            Stop::Wrong(message) => (place, message),
            Stop::WrongAt(place, message) => (place, message),
            Stop::Missing(field) => (place, format!("`{field}` is missing in {}", self.name)),
            Stop::Unknown { name, known } => {
                (place, format!("unknown value `{name}`{}", super::hint(&name, known)))
            }
        };
        self.faults.borrow_mut().push((place, message));
    }

    /// Reads a node of this one; what cannot be read is left out from then on.
    fn read<'de, T: DeserializeSeed<'de>>(&self, inner: Reader<'n>, seed: T) -> Result<T::Value, Stop> {
        seed.deserialize(inner).map_err(|stop| {
            if !matches!(stop, Stop::Again) {
                // What a value lacks without the parts left out, its author has been told by them.
                if !inner.node.holds_dropped() {
                    self.note(stop, inner.node.place);
                }
                inner.node.dropped.set(true);
            }
            Stop::Again
        })
    }

    fn wrong(&self, wanted: &str) -> Stop {
        let hint = match (wanted, &self.node.content) {
            ("text", Content::Number(..) | Content::Truth(..)) => ": write it in quotes",
            ("a number", Content::Text(_)) => ": write it without quotes or unit",
            _ => "",
        };
        let name = if self.name == WHOLE { WHOLE.into() } else { format!("`{}`", self.name) };
        Stop::Wrong(format!("{name} must be {wanted}, not {}{hint}", self.node.kind()))
    }

    fn text(&self) -> Result<&'n str, Stop> {
        match &self.node.content {
            Content::Text(text) => Ok(text),
            _ => Err(self.wrong("text")),
        }
    }

    /// A whole number of a type that holds those from `min` to `max`.
    fn whole<T: TryFrom<i128>>(&self, min: impl Display, max: impl Display) -> Result<T, Stop> {
        let number = match self.node.content {
            Content::Number(Number::Whole(number), _) => T::try_from(number).ok(),
            Content::Number(Number::Broken(_), _) => None,
            _ => return Err(self.wrong("a number")),
        };
        number.ok_or_else(|| self.wrong(&format!("a whole number from {min} to {max}")))
    }

    /// A mapping's entries, each key once.
    fn entries(&self) -> Result<impl Iterator<Item = &'n Entry> + use<'n>, Stop> {
        let Content::Map(entries) = &self.node.content else { return Err(self.wrong("a mapping")) };
        for (index, entry) in entries.iter().enumerate() {
            let twin = |other: &Entry| other.key == entry.key && !other.value.dropped.get();
            if !entry.value.dropped.get() && entries.iter().take(index).any(twin) {
                self.note(Stop::Wrong(format!("`{}` is given twice", entry.key)), entry.key_place);
                entry.value.dropped.set(true);
            }
        }
        Ok(entries.iter().filter(|entry| !entry.value.dropped.get()))
    }
}

macro_rules! whole_numbers {
    ($($method:ident: $type:ty => $visit:ident,)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            visitor.$visit(self.whole::<$type>(<$type>::MIN, <$type>::MAX)?)
        }
    )+};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match &self.node.content {
            Content::Map(_) => self.deserialize_map(visitor),
            Content::Seq(_) => self.deserialize_seq(visitor),
            Content::Text(text) => visitor.visit_str(text),
            Content::Number(..) => self.deserialize_f64(visitor),
            Content::Truth(truth, _) => visitor.visit_bool(*truth),
            Content::Null => visitor.visit_unit(),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.node.content {
            Content::Truth(truth, _) => visitor.visit_bool(truth),
            _ => Err(self.wrong("true or false")),
        }
    }

    whole_numbers! {
        deserialize_u16: u16 => visit_u16,
        deserialize_u32: u32 => visit_u32,
        deserialize_i32: i32 => visit_i32,
        deserialize_i64: i64 => visit_i64,
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.node.content {
            #[allow(clippy::cast_precision_loss, reason = "what is this large is out of every bound")]
            Content::Number(Number::Whole(number), _) => visitor.visit_f64(number as f64),
            Content::Number(Number::Broken(number), _) => visitor.visit_f64(number),
            _ => Err(self.wrong("a number")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.node.content {
            Content::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let Content::Seq(items) = &self.node.content else { return Err(self.wrong("a list")) };
        visitor.visit_seq(Items { reader: self, items: items.iter() })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_map(Fields { reader: self, entries: self.entries()?, current: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.deserialize_map(visitor).map_err(|stop| match stop {
            Stop::Missing(field) => Stop::Wrong(format!("`{field}` is missing in {}", self.name)),
            other => other,
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        if let Content::Text(text) = &self.node.content {
            return visitor.visit_enum(Variant { reader: self, name: text, value: None });
        }
        let mut entries = self.entries()?;
        match (entries.next(), entries.next()) {
            (Some(entry), None) if variants.contains(&&*entry.key) => {
                visitor.visit_enum(Variant { reader: self, name: &entry.key, value: Some(&entry.value) })
            }
            (Some(entry), None) => {
                let hint = super::hint(&entry.key, variants);
                let message = format!("unknown field `{}` in {}{hint}", entry.key, self.name);
                Err(Stop::WrongAt(entry.key_place, message))
            }
            _ => Err(Stop::Wrong(format!("`{}` must hold one of {}", self.name, variants.join(", ")))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u64 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// A mapping's entries, one after another.
struct Fields<'n, I> {
    reader: Reader<'n>,
    entries: I,
    current: Option<&'n Entry>,
}

impl<'de, 'n, I: Iterator<Item = &'n Entry>> MapAccess<'de> for Fields<'n, I> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stop> {
        self.current = self.entries.next();
        let Some(entry) = self.current else { return Ok(None) };
        let key = seed.deserialize(StrDeserializer::new(&entry.key)).map_err(|stop: Stop| {
            let stop = match stop {
                Stop::Unknown { name, known } => {
                    let hint = super::hint(&name, known);
                    Stop::Wrong(format!("unknown field `{name}` in {}{hint}", self.reader.name))
                }
                other => other,
            };
            self.reader.note(stop, entry.key_place);
            entry.value.dropped.set(true);
            Stop::Again
        });
        key.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        let entry = self.current.ok_or(Stop::Again)?;
        self.reader.read(self.reader.of(&entry.value, &entry.key), seed)
    }
}

/// A list's items, one after another.
struct Items<'n> {
    reader: Reader<'n>,
    items: core::slice::Iter<'n, Node>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stop> {
        let Some(item) = self.items.find(|item| !item.dropped.get()) else { return Ok(None) };
        self.reader.read(self.reader.of(item, self.reader.name), seed).map(Some)
    }
}

/// One of several kinds of value: a text, or a mapping of one entry.
struct Variant<'n> {
    reader: Reader<'n>,
    name: &'n str,
    value: Option<&'n Node>,
}

impl<'de, 'n> EnumAccess<'de> for Variant<'n> {
    type Error = Stop;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Stop> {
        seed.deserialize(StrDeserializer::new(self.name)).map(|value| (value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        match self.value {
            None => Ok(()),
            Some(_) => Err(Stop::Wrong(format!("`{}` takes no value", self.name))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Stop> {
        let Some(value) = self.value else {
            return Err(Stop::Wrong(format!("`{}` needs a value, as in `{}: …`", self.name, self.name)));
        };
        self.reader.read(self.reader.of(value, self.name), seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Stop> {
        Err(Stop::Wrong(format!("`{}` is not read from documents", self.name)))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Stop> {
        Err(Stop::Wrong(format!("`{}` is not read from documents", self.name)))
    }
}

impl core::fmt::Display for Stop {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl core::error::Error for Stop {}

impl serde::de::Error for Stop {
    fn custom<T: Display>(message: T) -> Self {
        Self::Wrong(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::Unknown { name: field.into(), known: expected }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::Unknown { name: variant.into(), known: expected }
    }
}
