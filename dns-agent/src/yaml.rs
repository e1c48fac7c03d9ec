//! Reading YAML, with the line and the field of whatever is wrong. `serde_saphyr` is known only here and as
//! `Written`.

use std::path::Path;

use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};

use crate::fault::{Fault, Faults};

/// A value and where it was written.
pub(crate) type Written<T> = serde_saphyr::Spanned<T>;

/// The line of a value, counted from 1.
pub(crate) fn line<T>(value: &Written<T>) -> u64 {
    value.referenced.line()
}

/// Reads one document. Unknown fields, doubled keys, a second document and wrong types are faults.
pub(crate) fn read<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, Faults> {
    if text.trim().is_empty() {
        return Err(Faults::whole_file(
            file,
            "the file is empty",
            "write at least its schema and required fields",
        ));
    }
    let mut field = String::new();
    let read = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            field = error.path().to_string();
            error.into_inner()
        })
    });
    read.map_err(|error| Faults::one(fault(file, field, error.without_snippet())))
}

/// A list that may be left out or written as `[]`, but not left blank: a key without a value is usually a mistake in
/// indentation, or a file that was not written to its end.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<Vec<T>>::deserialize(deserializer)?
        .ok_or_else(|| D::Error::custom("the list has no value"))
}

fn fault(file: &Path, path: String, error: &serde_saphyr::Error) -> Fault {
    // `Spanned` shows in the path as a field `value`; none of ours has that name.
    let mut field: String = path.replace(".value", "");
    if field == "." || field == "?" {
        field.clear();
    }
    let line = error.location().map_or(0, |location| location.line());
    let (problem, mend) = describe(error);
    if let serde_saphyr::Error::SerdeMissingField { field: missing, .. } = error {
        if !field.is_empty() {
            field.push('.');
        }
        field.push_str(missing);
    }
    Fault {
        file: file.to_owned(),
        line,
        field,
        problem,
        mend,
    }
}

fn describe(error: &serde_saphyr::Error) -> (String, String) {
    use serde_saphyr::Error;
    match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => (
            format!("unknown field \"{field}\""),
            format!("remove it, or write one of: {}", expected.join(", ")),
        ),
        Error::SerdeMissingField { .. } => ("missing".into(), "add it".into()),
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => (
            format!("\"{variant}\" is not known"),
            format!("write one of: {}", expected.join(", ")),
        ),
        Error::DuplicateMappingKey { key, .. } => (
            format!(
                "\"{}\" is written twice",
                key.as_deref().unwrap_or_default()
            ),
            "remove one of them".into(),
        ),
        Error::MultipleDocuments { .. } => (
            "a second YAML document begins here".into(),
            "keep one document to a file".into(),
        ),
        Error::InvalidScalar { ty, .. } => (
            format!("the value is not a whole number of type {ty}"),
            "write a number without quotes, sign or fraction".into(),
        ),
        Error::Unexpected { expected, .. } => (
            format!("expected {expected}"),
            "correct the value's form or its indentation".into(),
        ),
        Error::Message { msg, .. } if msg == "the list has no value" => (
            msg.clone(),
            "write [] for an empty list, or leave the field out".into(),
        ),
        other => {
            let text = other.to_string();
            // The location is already told in front.
            let text = match (other.location(), text.rfind(" at line ")) {
                (Some(_), Some(end)) => text.get(..end).unwrap_or(&text).to_owned(),
                _ => text,
            };
            (text, "correct the YAML".into())
        }
    }
}
