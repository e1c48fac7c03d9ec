//! Merge keys (`<<`), as kubectl's YAML 1.1 reads them.

use std::collections::HashSet;

use super::{Entry, Node, Value};
use crate::problem::Located;

/// The entries of a mapping with what `<<` names put in its place; what the mapping says itself wins.
pub(super) fn merged(entries: Vec<Entry>) -> Result<Vec<Entry>, Located> {
    let Some(at) = entries.iter().position(is_merge) else {
        return Ok(entries);
    };
    let own: HashSet<String> = texts(&entries).collect();
    let before: HashSet<String> = texts(entries.iter().take(at)).collect();
    let mut taken = HashSet::new();
    let mut result = Vec::with_capacity(entries.len());
    for (i, entry) in entries.into_iter().enumerate() {
        if !is_merge(&entry) {
            result.push(entry);
            continue;
        }
        let line = Some(entry.key.line);
        if i != at {
            return Err(Located::new(
                line,
                "'<<' stands twice in one mapping",
                "write one: <<: [*a, *b]",
            ));
        }
        for source in sources(&entry.value).ok_or_else(|| no_mapping(line))? {
            let Value::Mapping(merged) = &source.value else {
                return Err(no_mapping(line));
            };
            for entry in merged.iter() {
                let key = entry.key.text().unwrap_or_default();
                if before.contains(key) {
                    // kubectl lets the merged value win here, other readers the written one.
                    return Err(Located::new(
                        line,
                        format!(
                            "'<<' has a {key:?}, and so has this mapping before it: readers differ in which one counts"
                        ),
                        "put '<<' first",
                    ));
                }
                if !own.contains(key) && taken.insert(key.to_owned()) {
                    result.push(entry.clone());
                }
            }
        }
    }
    Ok(result)
}

fn texts<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> impl Iterator<Item = String> {
    entries
        .into_iter()
        .filter_map(|entry| entry.key.text().map(str::to_owned))
}

fn is_merge(entry: &Entry) -> bool {
    matches!(&entry.key.value, Value::Plain(text) if **text == *"<<")
}

fn sources(value: &Node) -> Option<&[Node]> {
    match &value.value {
        Value::Mapping(_) => Some(std::slice::from_ref(value)),
        Value::Sequence(items) => Some(items),
        Value::Plain(_) | Value::Text(_) => None,
    }
}

fn no_mapping(line: Option<usize>) -> Located {
    Located::new(
        line,
        "'<<' can only merge mappings",
        "write <<: *anchor with the anchor of a mapping",
    )
}
