//! All that is wrong with the shape of a document, where serde stops at the first.
//!
//! The items of the lists at the top are read one by one, and the rest without them. In each such part a field that is
//! wrong is told, taken out, and the part is read again, until nothing is wrong or what is wrong cannot be taken out: the
//! item of a list, which would move all behind it, or something that is missing.

use serde::de::DeserializeOwned;
use serde_json::Value;
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

/// Reads one part, which stands at `place` in the document, until nothing more can be told of it.
fn read<T: DeserializeOwned>(
    mut part: Value,
    document: &Value,
    place: &str,
    problems: &mut Vec<Problem>,
) {
    let mut taken = Vec::new();
    while let Err(error) = serde_path_to_error::deserialize::<_, T>(&part) {
        let path = error.path();
        let field = within(place, &path.to_string());
        if let Some(missing) = missing(&error.inner().to_string())
            && taken.contains(&within(&field, missing))
        {
            // It was there, and was told of.
            return;
        }
        problems.push(found(document, &part, field.clone(), path, error.inner()));
        if take_out(&mut part, path).is_none() {
            return;
        }
        taken.push(field);
    }
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
fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}

/// Takes the field at a path out of the object in which it stands.
fn take_out(part: &mut Value, path: &Path) -> Option<Value> {
    let mut segments = path.iter();
    let Segment::Map { key } = segments.next_back()? else {
        return None;
    };
    let object = segments.try_fold(part, |at, segment| match segment {
        Segment::Seq { index } => at.get_mut(index),
        Segment::Map { key } => at.get_mut(key),
        Segment::Enum { .. } | Segment::Unknown => None,
    })?;
    object.as_object_mut()?.remove(key)
}
