//! From the parser's events to a tree. The YAML parser is used here and nowhere else.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, StructureStyle, Tag};

use super::{Entry, Node, Stream, Value, merge};
use crate::problem::Located;

/// How many values aliases may stand for in one file, so that a few lines of aliases of aliases cannot fill the memory.
const MOST_ALIASED: usize = 1_000_000;
/// How deep values may be nested: what walks the tree later calls itself once for each level.
const DEEPEST: usize = 256;

/// See [`super::read`].
pub(super) fn compose(text: &str) -> Stream {
    let mut composer = Composer::default();
    let broken = composer.run(text).err();
    Stream {
        documents: composer.documents,
        broken,
    }
}

/// A value and what it costs when an alias repeats it.
#[derive(Clone)]
struct Weighed {
    node: Node,
    /// The number of values in it, itself included.
    weight: usize,
    /// The number of levels in it, itself included.
    depth: usize,
}

/// A list or mapping whose end has not been read.
struct Open {
    line: usize,
    /// Whether it is written in brackets.
    flow: bool,
    tag: Option<Rc<str>>,
    anchor: usize,
    weight: usize,
    depth: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        key: Option<Node>,
    },
}

#[derive(Default)]
struct Composer {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Weighed>,
    aliased: usize,
}

impl Composer {
    fn run(&mut self, text: &str) -> Result<(), Located> {
        let options = granit_parser::options! { emit_comments: false };
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) = next.map_err(|error| syntax(&error, text))?;
            self.take(event, span.start.line())?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Located> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if style == ScalarStyle::Plain
                    && text.contains('?')
                    && self.open.iter().any(|open| open.flow)
                {
                    return Err(Located::new(
                        Some(line),
                        format!(
                            "kubectl reads YAML 1.1, where {text} cannot stand unquoted inside of [] or {{}}"
                        ),
                        format!("quote it: \"{text}\""),
                    ));
                }
                let (value, tag) = scalar(&text, style, tag.as_deref());
                let node = Node { line, tag, value };
                self.finished(
                    Weighed {
                        node,
                        weight: 1,
                        depth: 1,
                    },
                    anchor,
                    line,
                )
            }
            Event::SequenceStart(style, anchor, tag) => {
                let tag = unusual(tag.as_deref(), "seq");
                self.begin(line, style, tag, anchor, Content::Sequence(Vec::new()));
                Ok(())
            }
            Event::MappingStart(style, anchor, tag) => {
                let tag = unusual(tag.as_deref(), "map");
                let content = Content::Mapping {
                    entries: Vec::new(),
                    key: None,
                };
                self.begin(line, style, tag, anchor, content);
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(line),
            Event::Alias(anchor) => self.alias(anchor, line),
            Event::DocumentStart(_, Some(version)) if (version.major, version.minor) != (1, 1) => {
                Err(Located::new(
                    Some(line),
                    "kubectl reads YAML 1.1 and refuses a %YAML directive of another version",
                    "leave the directive out",
                ))
            }
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        line: usize,
        style: StructureStyle,
        tag: Option<Rc<str>>,
        anchor: usize,
        content: Content,
    ) {
        let flow = style == StructureStyle::Flow;
        self.open.push(Open {
            line,
            flow,
            tag,
            anchor,
            weight: 1,
            depth: 1,
            content,
        });
    }

    fn end(&mut self, line: usize) -> Result<(), Located> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.content {
            Content::Sequence(items) => Value::Sequence(items.into()),
            Content::Mapping { entries, .. } => Value::Mapping(merge::merged(entries)?.into()),
        };
        let node = Node {
            line: open.line,
            tag: open.tag,
            value,
        };
        let (weight, depth) = (open.weight, open.depth);
        self.finished(
            Weighed {
                node,
                weight,
                depth,
            },
            open.anchor,
            line,
        )
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<(), Located> {
        let Some(target) = self.anchors.get(&anchor).cloned() else {
            return Err(Located::new(
                Some(line),
                "the alias stands inside of what it repeats",
                "write the value out",
            ));
        };
        self.aliased = self.aliased.saturating_add(target.weight);
        if self.aliased > MOST_ALIASED {
            return Err(Located::new(
                Some(line),
                format!("the aliases of this file stand for more than {MOST_ALIASED} values"),
                "write fewer aliases of aliases",
            ));
        }
        self.finished(target, 0, line)
    }

    /// Puts a whole value where it belongs: under an anchor, and into what is open.
    fn finished(&mut self, value: Weighed, anchor: usize, line: usize) -> Result<(), Located> {
        if value.depth > DEEPEST {
            return Err(Located::new(
                Some(line),
                format!("nested deeper than {DEEPEST} levels"),
                "nest less",
            ));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        let Some(open) = self.open.last_mut() else {
            if !value.node.is_null() {
                self.documents.push(value.node);
            }
            return Ok(());
        };
        open.weight = open.weight.saturating_add(value.weight);
        open.depth = open.depth.max(value.depth.saturating_add(1));
        match &mut open.content {
            Content::Sequence(items) => items.push(value.node),
            Content::Mapping { entries, key } => match key.take() {
                None => *key = Some(value.node),
                Some(key) => entries.push(Entry {
                    key,
                    value: value.node,
                }),
            },
        }
        Ok(())
    }
}

fn syntax(error: &ScanError, text: &str) -> Located {
    let at = error.marker().line();
    let line = text.lines().nth(at.saturating_sub(1)).unwrap_or_default();
    if line.contains("{{") {
        return unrendered(at);
    }
    let info = error.info();
    let mend = if info.contains("anchor") || line.contains("/{") {
        "quote values with '*' or '{', such as \"*\" or \"/items/{*}\": unquoted, YAML takes them for its own"
    } else {
        "look at the indentation and the quotes here and on the line before"
    };
    Located::new(Some(at), format!("not YAML: {info}"), mend)
}

/// `{{ … }}` as Helm has it.
pub(super) fn unrendered(line: usize) -> Located {
    Located::new(
        Some(line),
        "a template ({{ … }}) that is not rendered",
        "check what comes out of it: helm template CHART | crossmesh policy check -",
    )
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> (Value, Option<Rc<str>>) {
    let is_text =
        style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
    let value = if is_text {
        Value::Text(text.into())
    } else {
        Value::Plain(text.into())
    };
    (value, unusual(tag, "str"))
}

/// The tag as written, unless it says `expected`.
fn unusual(tag: Option<&Tag>, expected: &str) -> Option<Rc<str>> {
    tag.filter(|tag| !tag.is_yaml_core_schema_tag(expected))
        .map(|tag| tag.original().into())
}

#[cfg(test)]
mod tests {
    use super::compose;

    fn complaint(text: &str) -> String {
        compose(text).broken.expect(text).within("f").to_string()
    }

    #[test]
    fn what_precedes_a_syntax_error_is_kept() {
        let stream = compose("a: 1\n---\nb: [1\n---\nc: 2\n");
        assert_eq!(stream.documents.len(), 1);
        assert!(stream.broken.is_some());
    }

    #[test]
    fn empty_documents_are_none() {
        assert_eq!(
            compose("---\n---\n# only this\n--- {}\n").documents.len(),
            1
        );
        assert_eq!(compose("").documents.len(), 0);
    }

    #[test]
    fn aliases_of_aliases_cannot_fill_the_memory() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            text += &format!("a{level}: &a{level} [{below}]\n");
        }
        assert!(
            complaint(&text).contains("stand for more than 1000000 values"),
            "{}",
            complaint(&text)
        );
    }

    #[test]
    fn aliases_cannot_nest_without_end() {
        let mut text = "a0: &a0 [x]\n".to_owned();
        for level in 1..1000 {
            text += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
        }
        assert!(
            complaint(&text).contains("nested deeper than 256 levels"),
            "{}",
            complaint(&text)
        );
    }

    #[test]
    fn what_kubectl_cannot_read_is_refused() {
        assert!(
            complaint("a: 1\nb: [/x?y]\n")
                .starts_with("f:2: kubectl reads YAML 1.1, where /x?y cannot")
        );
        assert!(compose("b: ['/x?y']\nc: /x?y\n").broken.is_none());
        assert!(complaint("%YAML 1.2\n---\na: 1\n").contains("%YAML"));
        assert!(compose("%YAML 1.1\n---\na: 1\n").broken.is_none());
    }

    #[test]
    fn what_must_be_quoted_is_told_so() {
        for text in [
            "a: [*]\n",
            "a:\n- *\n",
            "a: *b\n",
            "a: [/x/{*}]\n",
            "a: [/x/{id}]\n",
        ] {
            assert!(
                complaint(text).contains("quote values with '*' or '{'"),
                "{}",
                complaint(text)
            );
        }
        assert!(!complaint("a: [1\n").contains("quote values"));
    }

    #[test]
    fn a_template_is_told_from_broken_yaml() {
        for text in [
            "a: 1\n{{- if .Values.x }}\nb: 1\n{{- end }}\n",
            "a: 1\nb: {{ .Values.b }}-x\n",
        ] {
            assert!(
                complaint(text).starts_with("f:2: a template ({{ … }})"),
                "{}",
                complaint(text)
            );
        }
    }

    #[test]
    fn an_alias_inside_of_its_anchor_is_refused() {
        assert!(complaint("a: &a\n  b: *a\n").starts_with("f:2: the alias stands inside"));
    }
}
