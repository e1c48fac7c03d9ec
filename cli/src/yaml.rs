//! YAML as its author wrote it: every value with its line, and whether it was quoted.
//!
//! JSON is read by the same parser; it is YAML.

use std::rc::Rc;

use crate::problem::Located;

mod compose;
mod convert;
mod merge;
mod place;
mod scalar;

pub(crate) use convert::{check, to_json};
pub(crate) use place::line_of;

/// All the documents of one file, as far as they could be read.
pub(crate) struct Stream {
    /// The documents, without empty ones.
    pub(crate) documents: Vec<Node>,
    /// Where reading stopped, if it stopped before the end.
    pub(crate) broken: Option<Located>,
}

/// Reads a file of YAML or JSON.
pub(crate) fn read(text: &str) -> Stream {
    compose::compose(text)
}

/// One value. Cheap to clone: what an alias stands for is shared.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where it begins, from 1.
    pub(crate) line: usize,
    /// The tag as written, unless it only says what is true anyway (`!!map`, `!!seq`).
    tag: Option<Rc<str>>,
    /// What it is.
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A text that is not quoted: what it means depends on how it looks.
    Plain(Rc<str>),
    /// A quoted or block text, or one tagged `!!str`.
    Text(Rc<str>),
    /// A list.
    Sequence(Rc<[Node]>),
    /// Keys and values in written order, merge keys (`<<`) already merged.
    Mapping(Rc<[Entry]>),
}

/// One key of a mapping and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The key, usually a scalar.
    pub(crate) key: Node,
    /// The value.
    pub(crate) value: Node,
}

impl Node {
    /// The value under a key, by its text; none also where this is no mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The first entry whose key has this text.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|entry| entry.key.text() == Some(key)),
            _ => None,
        }
    }

    /// The first key that stands in this mapping already, and the line of the other.
    pub(crate) fn duplicate(&self) -> Option<(&Entry, usize)> {
        self.entries().iter().find_map(|entry| {
            let first = self.entry(entry.key.text()?)?;
            (!std::ptr::eq(first, entry)).then_some((entry, first.key.line))
        })
    }

    /// The text of a scalar, whatever it would be converted to.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Plain(text) | Value::Text(text) => Some(text),
            Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    /// The keys and values of a mapping; none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// Whether it is nothing: `null`, or a document without content.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Plain(text) if scalar::is_null(text))
    }
}
