//! `crossmesh policy explain`.

mod json;
mod text;

use crossmesh_policy::{
    Deciding, Explanation, HttpRequest, Invalid, Node, Peer, Protocol, Request,
};

use crate::End;
use crate::args::{Explain, Format, NodeArgs, RequestArgs, SourceArgs};
use crate::document::Plugin;
use crate::input::{self, Input, Policy};
use crate::output::Output;
use crate::problem::Located;
use crate::yaml;

/// Explains one request.
///
/// # Errors
/// Only when nothing can be written.
pub(crate) fn run(args: &Explain, output: &Output) -> anyhow::Result<End> {
    let input = input::read(&args.file);
    let answer = match answer(args, &input) {
        Ok(answer) => answer,
        Err(problems) => {
            for problem in problems {
                output.note(problem.within(&input.name))?;
            }
            return Ok(End::Wrong);
        }
    };
    if let Some(note) = &answer.note {
        output.note(note)?;
    }
    match args.format {
        Format::Text => output.result(text::Text {
            args,
            input: &input,
            answer: &answer,
        })?,
        Format::Json => output.json(&json::of(&answer))?,
    }
    Ok(End::Good)
}

/// An explanation, and the policy that it is about.
struct Answer<'i> {
    plugin: &'i Plugin,
    /// The names of the candidate's rules, in written order.
    candidates: Vec<String>,
    explanation: Explanation,
    /// For every rule, the misses of the explanation with the flag that would have given what was absent.
    hints: Hints,
    /// What the author of the flags may have misunderstood.
    note: Option<String>,
}

impl Answer<'_> {
    /// The line of a field of a rule, or of the rule itself.
    fn line(&self, rule: usize, field: &str) -> usize {
        let dot = if field.is_empty() { "" } else { "." };
        yaml::line_of(
            &self.plugin.config,
            self.plugin.line,
            &format!("rules[{rule}]{dot}{field}"),
        )
    }

    /// The line of the candidate's rule that decides for it.
    fn candidate_line(&self) -> Option<usize> {
        let (_, Deciding::Rule(decides)) = self.explanation.candidate.as_ref()? else {
            return None;
        };
        let rule = self.candidates.iter().position(|name| name == decides)?;
        let field = format!("candidate.rules[{rule}]");
        Some(yaml::line_of(&self.plugin.config, self.plugin.line, &field))
    }
}

fn answer<'i>(args: &Explain, input: &'i Input) -> Result<Answer<'i>, Vec<Located>> {
    if !input.problems.is_empty() {
        return Err(input.problems.clone());
    }
    let plugin = choose(&input.plugins, args.plugin.as_deref()).map_err(|problem| vec![problem])?;
    let policy = input::compile(plugin)?;
    let node = node(&args.node).map_err(|problem| vec![problem])?;
    let explanation = explain(&policy, &node, args)
        .map_err(|invalid| unbound(plugin, &policy, &node, invalid))?;
    let note = match (&policy.spec.mesh, &node.mesh) {
        (Some(own), Some(given)) if own != given => Some(format!(
            "note: --node-mesh {given} has no effect, the policy says mesh: {own}"
        )),
        _ => None,
    };
    let candidates = policy.spec.candidate.iter().flat_map(|it| &it.rules);
    Ok(Answer {
        plugin,
        candidates: candidates.map(|rule| rule.name.clone()).collect(),
        explanation,
        hints: Hints::new(args),
        note,
    })
}

fn choose<'i>(plugins: &'i [Plugin], wanted: Option<&str>) -> Result<&'i Plugin, Located> {
    let fits = |plugin: &&Plugin| wanted.is_none_or(|wanted| plugin.is_called(wanted));
    let fitting: Vec<&Plugin> = plugins.iter().filter(fits).collect();
    let listed = |plugins: &[&Plugin]| {
        let names: Vec<String> = plugins
            .iter()
            .map(|plugin| {
                plugin
                    .full_name()
                    .unwrap_or_else(|| format!("one without a name on line {}", plugin.line))
            })
            .collect();
        names.join(", ")
    };
    match (fitting.as_slice(), wanted) {
        ([plugin], _) => Ok(plugin),
        ([], Some(wanted)) => {
            let all: Vec<&Plugin> = plugins.iter().collect();
            Err(Located::new(
                None,
                format!("no policy of the name {wanted}"),
                format!("give --plugin one of: {}", listed(&all)),
            ))
        }
        (several, _) => Err(Located::new(
            None,
            format!("{} policies in this file", several.len()),
            format!("choose one with --plugin: {}", listed(several)),
        )),
    }
}

fn node(args: &NodeArgs) -> Result<Node, Located> {
    let labels = args.labels().map_err(|key| {
        Located::new(
            None,
            format!("--node-label {key}: given twice with different values"),
            "give it once",
        )
    })?;
    Ok(Node {
        mesh: args.node_mesh.clone(),
        namespace: args.node_namespace.clone(),
        workload: args.node_workload.clone(),
        labels,
    })
}

fn explain(policy: &Policy, node: &Node, args: &Explain) -> Result<Explanation, Invalid> {
    let RequestArgs {
        host,
        port,
        method,
        path,
        header,
        sni,
        tcp: _,
    } = &args.request;
    let SourceArgs {
        principal,
        passthrough,
        source_ip,
    } = &args.source;
    let uri_sans: Vec<&[u8]> = principal.iter().map(String::as_bytes).collect();
    let headers: Vec<(&[u8], &[u8])> = header
        .iter()
        .map(|(k, v)| (k.as_bytes(), v.as_bytes()))
        .collect();
    let peer = match uri_sans.as_slice() {
        _ if *passthrough => Peer::Passthrough,
        [] => Peer::Plaintext,
        uri_sans => Peer::Certificate { uri_sans },
    };
    let protocol = if args.is_tcp() {
        Protocol::Tcp
    } else {
        Protocol::Http(HttpRequest {
            host: bytes(host),
            method: bytes(method),
            path: bytes(path),
            headers: &headers,
        })
    };
    let request = Request {
        source_ip: *source_ip,
        port: *port,
        sni: bytes(sni),
        protocol,
    };
    policy.program.explain(node, &peer, &request)
}

fn bytes(text: &Option<String>) -> Option<&[u8]> {
    text.as_deref().map(str::as_bytes)
}

/// A policy that is right, but not for this proxy: here the flags can mend it too.
fn unbound(plugin: &Plugin, policy: &Policy, node: &Node, mut invalid: Invalid) -> Vec<Located> {
    for problem in &mut invalid.problems {
        if problem.field == "mesh" {
            let meshes: Vec<&str> = policy.program.meshes().collect();
            let verb = if node.mesh.is_some() {
                "correct"
            } else {
                "give"
            };
            problem.mend = format!(
                "{}; to explain, {verb} --node-mesh: one of {}",
                problem.mend,
                meshes.join(", ")
            );
        }
    }
    input::locate(plugin, &invalid.problems)
}

/// Which flags were not given, so that a rule that asks for their value can say so.
struct Hints {
    absent: Vec<(&'static str, &'static [&'static str])>,
}

impl Hints {
    fn new(args: &Explain) -> Self {
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
    fn of(&self, field: &str) -> Vec<&'static str> {
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
    fn all(&self) -> impl Iterator<Item = &'static str> {
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
