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

/// The most values, lists and maps in one file. A service with one address and one port takes 15: room for millions of
/// them, while a file that was never meant to be a catalog still ends before the memory does.
const MAX_NODES: usize = 50_000_000;
/// The longest that all values of one file may be together, in bytes.
const MAX_TEXT: usize = 1 << 30;
/// The most aliases in one file, and the most that they may stand for together, in parser events: a few lines of nested
/// aliases can stand for more than any memory holds.
const MAX_ALIASES: usize = 1_000_000;
const MAX_REPLAYED: usize = 2_000_000;

/// Limits for files of any honest size. The library's own are for small documents: they refuse a catalog of some 16,000
/// services.
fn options() -> serde_saphyr::Options {
    let mut budget = serde_saphyr::Budget::default();
    budget.max_nodes = MAX_NODES;
    // A map or list begins and ends, everything else is one event.
    budget.max_events = 2 * MAX_NODES;
    budget.max_total_scalar_bytes = MAX_TEXT;
    budget.max_aliases = MAX_ALIASES;
    budget.max_recorded_anchor_events = MAX_REPLAYED;
    // Many services may share one list of ports; what that amounts to is bounded by the replayed events.
    budget.enforce_alias_anchor_ratio = false;
    let mut options = serde_saphyr::Options::default();
    options.budget = Some(budget);
    options.alias_limits.max_total_replayed_events = MAX_REPLAYED;
    options
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
    let read =
        serde_saphyr::with_deserializer_from_str_with_options(text, options(), |deserializer| {
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

/// A field that may be left out, but not left blank.
pub(crate) fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    match Option::<T>::deserialize(deserializer)? {
        Some(value) => Ok(Some(value)),
        None => Err(D::Error::custom("the field has no value")),
    }
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
        Error::InvalidScalar { ty: "boolean", .. } => (
            "the value is neither true nor false".into(),
            "write one of them".into(),
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
        Error::Message { msg, .. } if msg == "the field has no value" => {
            (msg.clone(), "write one, or leave the field out".into())
        }
        Error::Budget { breach, .. } => exceeded(breach),
        Error::AliasReplayLimitExceeded { .. } => aliases(),
        Error::AliasError { error, .. } => describe(error),
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

fn aliases() -> (String, String) {
    (
        format!("the aliases up to here stand for more than {MAX_REPLAYED} parts of YAML"),
        "write out what the aliases stand for".into(),
    )
}

/// Which limit a file goes beyond.
fn exceeded(breach: &serde_saphyr::budget::BudgetBreach) -> (String, String) {
    use serde_saphyr::budget::BudgetBreach;
    let smaller = "keep the file below that; a catalog needs only the services that others may use";
    match breach {
        BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => (
            format!("the file up to here has more than {MAX_NODES} values, lists and maps"),
            smaller.into(),
        ),
        BudgetBreach::ScalarBytes { .. } => (
            format!("the values up to here are longer than {MAX_TEXT} bytes together"),
            smaller.into(),
        ),
        BudgetBreach::Depth { depth } => (
            format!("lists and maps are nested {depth} deep"),
            "correct the indentation or the brackets".into(),
        ),
        BudgetBreach::RecordedAnchorEvents { .. } | BudgetBreach::RecordedAnchorBytes { .. } => {
            aliases()
        }
        BudgetBreach::Aliases { .. } => (
            format!("the file up to here has more than {MAX_ALIASES} aliases"),
            "write out what the aliases stand for".into(),
        ),
        other => (
            format!("the file goes beyond a limit of the YAML reader: {other:?}"),
            "write plain lists and maps, without anchors, aliases and merge keys".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<T: DeserializeOwned>(text: &str) -> String {
        let read = read::<T>(Path::new("file.yaml"), text).map(|_| ());
        read.map_or_else(|faults| faults.to_string(), |()| "nothing".to_owned())
    }

    #[test]
    fn a_file_of_many_values_is_read_whole() {
        let text = "- {name: a, list: [b, c]}\n".repeat(50_000);
        #[derive(Deserialize)]
        #[expect(dead_code, reason = "only its count is looked at")]
        struct Item {
            name: String,
            list: Vec<String>,
        }
        let items: Vec<Item> = read(Path::new("file.yaml"), &text).unwrap();
        assert_eq!(items.len(), 50_000);
    }

    #[test]
    fn many_values_may_share_one_that_is_written_once() {
        let text = format!("- &ports [80, 81]\n{}", "- *ports\n".repeat(60_000));
        let lists: Vec<Vec<u16>> = read(Path::new("file.yaml"), &text).unwrap();
        assert_eq!(lists.len(), 60_001);
        assert!(lists.iter().all(|list| *list == [80, 81]));
    }

    #[test]
    fn aliases_that_stand_for_too_much_are_refused_by_their_limit() {
        let mut text = "- &a0 [[x]]\n".to_owned();
        for level in 1..9 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("- &a{level} [{aliases}]\n"));
        }
        let said = said::<Vec<serde::de::IgnoredAny>>(&text);
        let expected = "the aliases up to here stand for more than 2000000 parts of YAML; \
                        write out what the aliases stand for";
        assert!(said.starts_with("file.yaml:7: "), "{said}");
        assert!(said.ends_with(expected), "{said}");
    }

    #[test]
    fn a_limit_is_told_by_its_name_and_place() {
        let text = format!("{}{}", "[".repeat(70), "]".repeat(70));
        let said = said::<serde::de::IgnoredAny>(&text);
        let expected =
            ": lists and maps are nested 65 deep; correct the indentation or the brackets";
        assert!(said.starts_with("file.yaml:1: [0][0]"), "{said}");
        assert!(said.ends_with(expected), "{said}");
    }
}
