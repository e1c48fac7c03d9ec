//! From the tree to the JSON that kubectl would send, and what must not be sent because it would arrive changed.

use std::collections::HashMap;

use crossmesh_policy::Problem;
use serde::ser::{Error, Serialize, SerializeMap, Serializer};

use super::compose::unrendered;
use super::scalar::{self, Plain};
use super::{Entry, Node, Value};
use crate::problem::Located;

/// The JSON that arrives for a value in which [`check`] finds nothing.
///
/// # Errors
/// Only for what [`check`] reports.
pub(crate) fn to_json(node: &Node) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(node)
}

/// All that would reach the cluster as something else than its author wrote.
pub(crate) fn check(node: &Node) -> Vec<Located> {
    let mut checker = Checker::default();
    checker.value(node, "");
    checker.found
}

#[derive(Default)]
struct Checker {
    found: Vec<Located>,
    /// The rule that is being looked at, so that a problem can name it.
    rule: Option<String>,
}

impl Checker {
    fn value(&mut self, node: &Node, path: &str) {
        if let Some(tag) = &node.tag {
            self.report(
                node.line,
                path,
                tag,
                "a YAML tag",
                "leave it out, and quote the value if it is a text",
            );
        }
        match &node.value {
            Value::Text(_) => {}
            Value::Plain(text) => match scalar::read(text) {
                Plain::Word(value) => self.report(
                    node.line,
                    path,
                    text,
                    &format!("kubectl reads YAML 1.1, where this unquoted word is the boolean {value}"),
                    &format!("quote it: \"{text}\"; or write {value} if a boolean is meant"),
                ),
                Plain::OddNumber => self.report(
                    node.line,
                    path,
                    text,
                    "kubectl reads YAML 1.1, where this is a number that will not arrive as it is written",
                    &format!("quote it if a text is meant: \"{text}\"; or write a plain decimal number"),
                ),
                Plain::Float(value) if !value.is_finite() => {
                    self.report(node.line, path, text, "too large for a number", "write a smaller one, or quote it");
                }
                _ => {}
            },
            Value::Sequence(items) => {
                for (i, item) in items.iter().enumerate() {
                    if path == "rules" {
                        self.rule = item.get("name").and_then(Node::text).map(str::to_owned);
                    }
                    self.value(item, &format!("{path}[{i}]"));
                }
                if path == "rules" {
                    self.rule = None;
                }
            }
            Value::Mapping(entries) => self.entries(entries, path),
        }
    }

    fn entries(&mut self, entries: &[Entry], path: &str) {
        let mut lines: HashMap<&str, usize> = HashMap::new();
        for Entry { key, value } in entries {
            let Some(text) = key.text() else {
                if matches!(key.value, Value::Mapping(_)) {
                    self.found.push(unrendered(key.line));
                    continue;
                }
                self.report(
                    key.line,
                    path,
                    "",
                    "a key that is not a text",
                    "write a text as key",
                );
                continue;
            };
            let below = if path.is_empty() {
                text.to_owned()
            } else {
                format!("{path}.{text}")
            };
            if let Some(tag) = &key.tag {
                self.report(
                    key.line,
                    &below,
                    tag,
                    "a YAML tag",
                    "leave it out, and quote the key",
                );
            }
            if let Some(became) = changed_key(key) {
                self.report(
                    key.line,
                    &below,
                    text,
                    &format!("kubectl reads YAML 1.1, where this unquoted key is {became}"),
                    &format!("quote it: \"{text}\""),
                );
            }
            if let Some(first) = lines.insert(text, key.line) {
                self.report(
                    key.line,
                    &below,
                    "",
                    &format!("the key stands twice in one mapping, first on line {first}"),
                    "leave one of them; kubectl would silently take the last",
                );
            }
            self.value(value, &below);
        }
    }

    fn report(&mut self, line: usize, path: &str, value: &str, problem: &str, mend: &str) {
        self.found.push(Located {
            line: Some(line),
            problem: Box::new(Problem {
                rule: self.rule.clone(),
                field: path.to_owned(),
                value: (!value.is_empty()).then(|| value.to_owned()),
                problem: problem.to_owned(),
                mend: mend.to_owned(),
            }),
        });
    }
}

/// What an unquoted key becomes, if that is not the key. A whole number comes through as it is written, up to `i64`:
/// with a larger one as key kubectl fails.
fn changed_key(key: &Node) -> Option<&'static str> {
    let Value::Plain(text) = &key.value else {
        return None;
    };
    match scalar::read(text) {
        Plain::Text => None,
        Plain::Integer(number) if number.to_string() == **text && i64::try_from(number).is_ok() => {
            None
        }
        Plain::Bool(_) | Plain::Word(_) => Some("a boolean"),
        Plain::Null => Some("null"),
        Plain::Integer(_) | Plain::Float(_) | Plain::OddNumber => {
            Some("a number that will not arrive as it is written")
        }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Text(text) => serializer.serialize_str(text),
            Value::Plain(text) => match scalar::read(text) {
                Plain::Null => serializer.serialize_unit(),
                Plain::Bool(value) => serializer.serialize_bool(value),
                Plain::Integer(value) => serializer.serialize_i128(value),
                Plain::Float(value) => serializer.serialize_f64(value),
                Plain::Text => serializer.serialize_str(text),
                Plain::Word(_) | Plain::OddNumber => Err(S::Error::custom("not to be converted")),
            },
            Value::Sequence(items) => serializer.collect_seq(items.iter()),
            Value::Mapping(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for Entry { key, value } in entries.iter() {
                    let key = key
                        .text()
                        .ok_or_else(|| S::Error::custom("a key that is not a text"))?;
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{check, to_json};
    use crate::yaml::read;

    #[track_caller]
    fn converts(text: &str, want: &str) {
        let stream = read(text);
        let node = stream.documents.first().expect(text);
        assert_eq!(check(node).len(), 0, "{text}");
        assert_eq!(
            String::from_utf8(to_json(node).expect(text)).expect(text),
            want,
            "{text}"
        );
    }

    #[track_caller]
    fn refuses(text: &str, want: &[&str]) {
        let stream = read(text);
        let found = check(stream.documents.first().expect(text));
        let got: Vec<_> = found
            .iter()
            .map(|located| located.within("f").to_string())
            .collect();
        assert_eq!(got.len(), want.len(), "{got:?}");
        for (got, want) in got.iter().zip(want) {
            assert!(got.starts_with(want), "{got}\nshould begin with\n{want}");
        }
    }

    #[test]
    fn values_become_what_kubectl_sends() {
        converts(
            "a: 1\nb: 1.5\nc: true\nd: ~\ne:\nf: x\ng: \"1\"\n",
            r#"{"a":1,"b":1.5,"c":true,"d":null,"e":null,"f":"x","g":"1"}"#,
        );
        converts("a: 1\r\nb:\r\n- 2\r\n", r#"{"a":1,"b":[2]}"#);
        converts("\u{feff}a: 1\n", r#"{"a":1}"#);
        converts(
            "[8080.0, 1e3, '0777', !!str 5, 10.0.0.0/8, 1:30]",
            r#"[8080,1000,"0777","5","10.0.0.0/8","1:30"]"#,
        );
        converts(
            "a: |\n  x\n  y\nb: >-\n  x\n  y\n",
            "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}",
        );
        converts("1: a\n'y': b\n", r#"{"1":"a","y":"b"}"#);
        converts(
            "{\"a\": \"\\u00e9\\ud83d\\ude00\\/\", \"b\": [1E2, -0.5]}",
            "{\"a\":\"é😀/\",\"b\":[100,-0.5]}",
        );
    }

    #[test]
    fn anchors_and_merge_keys_are_followed() {
        converts("a: &x [1]\nb: *x\n", r#"{"a":[1],"b":[1]}"#);
        converts(
            "a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\n",
            r#"{"a":{"p":1,"q":2},"b":{"p":1,"q":3}}"#,
        );
        converts(
            "- &x {p: 1}\n- &y {p: 2, q: 2}\n- <<: [*x, *y]\n",
            r#"[{"p":1},{"p":2,"q":2},{"p":1,"q":2}]"#,
        );
    }

    #[test]
    fn what_would_arrive_changed_is_refused_with_line_and_path() {
        refuses(
            "a:\n  - on\n  - y: 1\n",
            &[
                "f:2: a[0]: on: kubectl reads",
                "f:3: a[1].y: y: kubectl reads",
            ],
        );
        refuses(
            "9223372036854775808: x\n",
            &["f:1: 9223372036854775808: 9223372036854775808: "],
        );
        refuses(
            "a: 0777\n1.10: x\n",
            &["f:1: a: 0777: ", "f:2: 1.10: 1.10: "],
        );
        refuses(
            "a: !!int '5'\nb: !mine x\n",
            &["f:1: a: !!int: a YAML tag", "f:2: b: !mine: a YAML tag"],
        );
        refuses(
            "a: 1\nb: 2\na: 3\n",
            &["f:3: a: the key stands twice in one mapping, first on line 1"],
        );
        refuses(
            "a: {{ .Values.a }}\n",
            &["f:1: a template ({{ … }}) that is"],
        );
        refuses("[a]: 1\n", &["f:1: a key that is not a text"]);
        refuses("a: 1e999\n", &["f:1: a: 1e999: too large"]);
        refuses(
            "rules:\n- {name: web, action: no}\n",
            &["f:2: rule \"web\": rules[0].action: no: "],
        );
    }
}
