//! The flags that were not given, and what asks for them.

use crate::args::{Explain, NodeArgs, RequestArgs};

/// Which flags were not given, so that a rule that asks for their value can say so.
pub(super) struct Hints {
    absent: Vec<(&'static str, &'static [&'static str])>,
}

impl Hints {
    pub(super) fn new(args: &Explain) -> Self {
        let RequestArgs {
            host,
            port,
            method,
            path,
            header: _,
            sni,
            tcp: _,
        } = &args.request;
        let NodeArgs {
            node_mesh: _,
            node_namespace,
            node_workload,
            node_label,
            gateway: _,
        } = &args.node;
        let http = !args.is_tcp();
        let flags: [(bool, &str, &[&str]); 9] = [
            (http && host.is_none(), "--host", &["to.hosts"]),
            (port.is_none(), "--port", &["to.ports"]),
            (http && method.is_none(), "--method", &["to.methods"]),
            (http && path.is_none(), "--path", &["to.paths"]),
            (sni.is_none(), "--sni", &["to.snis"]),
            (
                args.source.source_ip.is_none(),
                "--source-ip",
                &["from.ipBlocks"],
            ),
            (
                node_namespace.is_none(),
                "--node-namespace",
                &["to.namespaces", "to.workloads"],
            ),
            (
                node_workload.is_none(),
                "--node-workload",
                &["to.workloads"],
            ),
            (node_label.is_empty(), "--node-label", &["to.labels"]),
        ];
        Self {
            absent: flags
                .into_iter()
                .filter(|(absent, ..)| *absent)
                .map(|(_, flag, fields)| (flag, fields))
                .collect(),
        }
    }

    /// The flags that were not given and that this field of a rule asks for.
    pub(super) fn of(&self, field: &str) -> Vec<&'static str> {
        let Some((part, name)) = field
            .split_once('[')
            .zip(field.rsplit_once('.'))
            .map(|((part, _), (_, name))| (part, name))
        else {
            return Vec::new();
        };
        let asked = format!("{part}.{}", positive(name));
        self.absent
            .iter()
            .filter(|(_, fields)| fields.contains(&&*asked))
            .map(|(flag, _)| *flag)
            .collect()
    }

    /// All flags that were not given.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static str> {
        self.absent.iter().map(|(flag, _)| *flag)
    }
}

/// `notHosts` asks for what `hosts` does.
fn positive(name: &str) -> String {
    match name
        .strip_prefix("not")
        .and_then(|rest| rest.chars().next().map(|first| (first, rest)))
    {
        Some((first, rest)) => rest.replacen(first, &first.to_lowercase().to_string(), 1),
        None => name.to_owned(),
    }
}
