//! The line of a field, by its path as the policy's problems name it: `rules[0].from[1].namespaces[0]`.

use super::{Entry, Node, Value};

/// The line of what the path names, or of its nearest ancestor that is there; `line` is that of the root.
///
/// A key's line, not that of its value: what is wrong with a block list is read at its name.
pub(crate) fn line_of(root: &Node, line: usize, path: &str) -> usize {
    let (mut node, mut line, mut rest) = (root, line, path);
    while let Some((next, at, after)) = step(node, rest) {
        (node, line, rest) = (next, at, after);
    }
    line
}

/// One step down: the value, its line, and what is left of the path.
fn step<'n, 'p>(node: &'n Node, path: &'p str) -> Option<(&'n Node, usize, &'p str)> {
    match &node.value {
        Value::Sequence(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            let item = items.get(index.parse::<usize>().ok()?)?;
            Some((item, item.line, rest))
        }
        Value::Mapping(entries) => {
            let path = path.strip_prefix('.').unwrap_or(path);
            // Keys may have points in them (labels do): the longest that fits.
            let (entry, rest) = entries
                .iter()
                .filter_map(|entry| Some((entry, after(path, entry)?)))
                .min_by_key(|(_, rest)| rest.len())?;
            Some((&entry.value, entry.key.line, rest))
        }
        Value::Plain(_) | Value::Text(_) => None,
    }
}

/// What is left of the path behind this key, if it begins with it.
fn after<'p>(path: &'p str, entry: &Entry) -> Option<&'p str> {
    let rest = path.strip_prefix(entry.key.text()?)?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::line_of;
    use crate::yaml::read;

    const TEXT: &str = "\
schema: crossmesh/v1
rules:
- name: a
  from:
  - meshes: [west]
    namespaces:
    - web
    - api
  to: [{labels: {app: x,
         app.kubernetes.io/name: y}}]
";

    #[track_caller]
    fn check(path: &str, want: usize) {
        let stream = read(TEXT);
        assert_eq!(
            line_of(stream.documents.first().expect("one document"), 1, path),
            want,
            "{path}"
        );
    }

    #[test]
    fn a_path_leads_to_its_line() {
        check("schema", 1);
        check("rules", 2);
        check("rules[0]", 3);
        check("rules[0].from[0].namespaces", 6);
        check("rules[0].from[0].namespaces[1]", 8);
        check("rules[0].to[0].labels.app.kubernetes.io/name", 10);
    }

    #[test]
    fn what_is_not_there_has_the_line_of_what_it_should_stand_in() {
        check("", 1);
        check("nothing", 1);
        check("rules[7].name", 2);
        check("rules[0].from[0].namespaces[0].x", 7);
        check("rules[0].to[0].labels.other", 9);
        check("rules[0].fromage", 3);
    }
}
