//! What a pod asks for a name: kubelet's search list, and its `ndots:5`.

use std::fmt;

use serde::Serialize;
use serde::Serializer;

use super::{Answer, Explanation, explain, text};
use crate::args::DnsExplain;
use crate::dns::columns::printable;
use crate::dns::fetch::Unanswered;

/// With at least so many dots a name is asked as it is first (kubelet's `ndots`).
const NDOTS: usize = 5;

/// The names that are asked, in their order, up to the one that ends the search.
#[derive(Debug)]
pub(super) struct Search {
    /// Of whose pod; none: a name was asked whole.
    namespace: Option<String>,
    asked: Vec<Explanation>,
}

impl Search {
    /// A single name, asked whole.
    pub(super) fn of_one(explanation: Explanation) -> Self {
        Self {
            namespace: None,
            asked: vec![explanation],
        }
    }

    /// What a pod of `namespace` asks: the name below each domain of its search list and as it is, in the order that its
    /// dots tell. What the node's own search list adds is not known here.
    pub(super) fn new(args: &DnsExplain, namespace: &str) -> Result<Self, Unanswered> {
        let (name, agent) = (&args.name, &args.agent);
        let whole = explain(agent, name.trim_end_matches('.'), &args.rtype)?;
        let domain = whole.cluster_domain.clone();
        if name.ends_with('.') {
            return Ok(Self {
                namespace: Some(namespace.to_owned()),
                asked: vec![whole],
            });
        }
        let suffixes = [
            format!("{namespace}.svc.{domain}"),
            format!("svc.{domain}"),
            domain,
        ];
        let first = name.matches('.').count() >= NDOTS;
        let mut asked = Vec::new();
        let mut whole = Some(whole);
        if first {
            asked.extend(whole.take());
        }
        for suffix in suffixes {
            if asked.last().is_some_and(ends) {
                break;
            }
            asked.push(explain(agent, &format!("{name}.{suffix}"), &args.rtype)?);
        }
        if !asked.last().is_some_and(ends) {
            asked.extend(whole);
        }
        Ok(Self {
            namespace: Some(namespace.to_owned()),
            asked,
        })
    }

    /// The explanation in full: of the name that ends the search, else of one that exists, else of the last.
    fn deciding(&self) -> Option<&Explanation> {
        let all = || self.asked.iter();
        all()
            .find(|of| ends(of))
            .or_else(|| all().find(|of| exists(of)))
            .or_else(|| all().last())
    }
}

/// Whether every resolver stops here: there are records, or a failure.
fn ends(explanation: &Explanation) -> bool {
    match &explanation.answer {
        Answer::Reply { outcome, .. } => outcome == "noerror" || outcome == "servfail",
        Answer::Forward { kept, .. } => kept.as_ref().is_some_and(|kept| kept.outcome == "noerror"),
    }
}

/// Whether the agent knows the name, and that it has nothing of this type.
fn exists(explanation: &Explanation) -> bool {
    matches!(&explanation.answer, Answer::Reply { outcome, .. } if outcome == "nodata")
}

impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            writeln!(
                f,
                "A pod of {} asks, one after the other:",
                printable(namespace)
            )?;
            for (at, asked) in self.asked.iter().enumerate() {
                let name = printable(&asked.name);
                let answer = text::told(&asked.answer);
                let end = if ends(asked) { "   <- ends here" } else { "" };
                writeln!(f, "  {}. {name} {}: {answer}{end}", at + 1, asked.rtype)?;
            }
            if self.asked.iter().any(exists) {
                writeln!(
                    f,
                    "  (at NOERROR without records musl ends too, and glibc goes on)"
                )?;
            }
            writeln!(f)?;
        }
        match self.deciding() {
            Some(explanation) => explanation.fmt(f),
            None => Ok(()),
        }
    }
}

impl Serialize for Search {
    /// An explanation; with a namespace, the list of them under `asked`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Asked<'s> {
            namespace: &'s str,
            asked: &'s [Explanation],
        }
        match (&self.namespace, self.asked.first()) {
            (None, Some(one)) => one.serialize(serializer),
            (namespace, _) => Asked {
                namespace: namespace.as_deref().unwrap_or_default(),
                asked: &self.asked,
            }
            .serialize(serializer),
        }
    }
}
