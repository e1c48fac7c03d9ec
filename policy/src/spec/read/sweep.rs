//! All that is wrong with the shape of a document, where serde stops at the first.
//!
//! The items of the lists at the top are read one by one, and the rest without them. In each such part a field or an item
//! that is wrong is told, taken out, and the part is read again, until nothing is wrong or the part itself is. In place of a
//! field that is missing stands something, once that is told.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use super::found;
use crate::problem::Problem;
use crate::spec::{ForwarderSpec, MeshSpec, RuleSpec, Spec};

/// Everything that can be told: of the whole first, then of each item.
pub(super) fn all(document: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut whole = document.clone();
    for list in ["/meshes", "/forwarders", "/rules", "/candidate/rules"] {
        if let Some(Value::Array(items)) = whole.pointer_mut(list) {
            items.clear();
        }
    }
    read::<Spec>(whole, document, "", &mut problems);
    items::<MeshSpec>(document, "meshes", &mut problems);
    items::<ForwarderSpec>(document, "forwarders", &mut problems);
    items::<RuleSpec>(document, "rules", &mut problems);
    items::<RuleSpec>(document, "candidate.rules", &mut problems);
    problems
}

fn items<T: DeserializeOwned>(document: &Value, list: &str, problems: &mut Vec<Problem>) {
    let pointer = format!("/{}", list.replace('.', "/"));
    let items = document.pointer(&pointer).and_then(Value::as_array);
    for (i, item) in items.into_iter().flatten().enumerate() {
        read::<T>(item.clone(), document, &format!("{list}[{i}]"), problems);
    }
}

/// So many things are told of one part, which is read anew for each.
const MOST_TOLD: usize = 20;

/// Reads one part, which stands at `place` in the document, until nothing more can be told of it.
pub(crate) fn read<T: DeserializeOwned>(
    mut part: Value,
    document: &Value,
    place: &str,
    problems: &mut Vec<Problem>,
) {
    let mut taken = Vec::new();
    let mut filled = Vec::new();
    let mut gaps = Gaps::default();
    while taken.len().max(filled.len()) < MOST_TOLD
        && let Err(error) = serde_path_to_error::deserialize::<_, T>(&part)
    {
        let path = error.path();
        let message = error.inner().to_string();
        let field = within(place, &gaps.written(path));
        if let Some(name) = missing(&message) {
            let lacks = within(&field, &name);
            // What is missing because it was taken out was told of.
            if !taken.contains(&lacks) {
                problems.push(found(document, &part, field, path, error.inner()));
            }
            // What is wrong besides is told when nothing is missing any more.
            let Some(Value::Object(holder)) = at(&mut part, path.iter()) else {
                return;
            };
            holder.insert(name, Value::Null);
            filled.push(lacks);
            continue;
        }
        if filled.contains(&field)
            && let Some(value) = at(&mut part, path.iter())
            && value.is_null()
        {
            *value = something(&message);
            continue;
        }
        if !filled.contains(&field) {
            problems.push(found(document, &part, field.clone(), path, error.inner()));
        }
        if gaps.take_out(&mut part, path).is_none() {
            return;
        }
        taken.push(field);
    }
}

/// A value of the kind that serde expects in place of none, so that it reads on.
fn something(message: &str) -> Value {
    let expected = message
        .split_once(", expected ")
        .map(|(_, expected)| expected);
    match expected.unwrap_or_default() {
        expected if expected.starts_with("a sequence") => Value::Array(Vec::new()),
        expected if expected.starts_with("an object") => Value::Object(Map::new()),
        // A word, where words are listed.
        expected => expected.split('`').nth(1).unwrap_or_default().into(),
    }
}

/// What stands at a path.
fn at<'v, 'p>(
    part: &'v mut Value,
    mut path: impl Iterator<Item = &'p Segment>,
) -> Option<&'v mut Value> {
    path.try_fold(part, |at, segment| match segment {
        Segment::Seq { index } => at.get_mut(index),
        Segment::Map { key } => at.get_mut(key),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}

/// The path of a field of what stands at `place`.
fn within(place: &str, path: &str) -> String {
    match (place, path) {
        (place, ".") => place.to_owned(),
        ("", path) => path.to_owned(),
        (place, path) => format!("{place}.{path}"),
    }
}

/// The name of the field that serde misses, if that is what is wrong.
fn missing(message: &str) -> Option<String> {
    let name = message.strip_prefix("missing field `")?.split('`').next()?;
    Some(name.to_owned())
}

/// The items that were taken out of lists, by each list's path: what stood behind them is told of where it was written.
#[derive(Default)]
struct Gaps(BTreeMap<String, BTreeSet<usize>>);

impl Gaps {
    /// The path as it was written.
    fn written(&self, path: &Path) -> String {
        let mut written = String::new();
        for segment in path.iter() {
            match segment {
                Segment::Seq { index } => {
                    let at = self.written_index(&written, *index);
                    written = format!("{written}[{at}]");
                }
                Segment::Map { key } => written = within(&written, key),
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        if written.is_empty() {
            ".".to_owned()
        } else {
            written
        }
    }

    fn written_index(&self, list: &str, index: usize) -> usize {
        let gone = self.0.get(list).into_iter().flatten();
        gone.fold(index, |at, gone| {
            if *gone <= at {
                at.saturating_add(1)
            } else {
                at
            }
        })
    }

    /// Takes what is at a path out of the object or the list in which it stands.
    fn take_out(&mut self, part: &mut Value, path: &Path) -> Option<Value> {
        let written = self.written(path);
        let mut segments = path.iter();
        let last = segments.next_back()?;
        let holder = at(part, segments)?;
        match last {
            Segment::Map { key } => holder.as_object_mut()?.remove(key),
            Segment::Seq { index } => {
                let items = holder.as_array_mut()?;
                let (list, at) = written.strip_suffix(']')?.rsplit_once('[')?;
                let gone = self.0.entry(list.to_owned()).or_default();
                gone.insert(at.parse().ok()?);
                (*index < items.len()).then(|| items.remove(*index))
            }
            Segment::Enum { .. } | Segment::Unknown => None,
        }
    }
}
