//! `crossmesh policy explain`.

mod ask;
mod hints;
mod json;
mod text;

use crossmesh_policy::{Explanation, Invalid, Node, RuleTrace, shown};
use hints::Hints;

use crate::End;
use crate::args::{Explain, Format};
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
            match args.format {
                Format::Text => {
                    for problem in problems {
                        output.note(problem.within(&input.name))?;
                    }
                }
                Format::Json => output.json(&json::wrong(&input.name, problems))?,
            }
            return Ok(End::Wrong);
        }
    };
    if args.format == Format::Text {
        for note in &answer.notes {
            output.note(format_args!("note: {note}"))?;
        }
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
    explanation: Explanation,
    /// For every rule, the misses of the explanation with the flag that would have given what was absent.
    hints: Hints,
    /// Whether the address of the direct peer, given or not, is hidden by a header.
    hides_address: bool,
    /// What the author of the flags may have misunderstood.
    notes: Vec<String>,
}

/// Which rules of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Active,
    Candidate,
}

impl Answer<'_> {
    /// The line of a field of a rule, or of the rule itself.
    fn line(&self, set: Set, rule: usize, field: &str) -> usize {
        let rules = match set {
            Set::Active => "rules",
            Set::Candidate => "candidate.rules",
        };
        let dot = if field.is_empty() { "" } else { "." };
        yaml::line_of(
            &self.plugin.config,
            self.plugin.line,
            &format!("{rules}[{rule}]{dot}{field}"),
        )
    }

    /// Whether nobody knows before a request comes what becomes of a rule.
    fn hangs(&self, set: Set, rule: &RuleTrace) -> bool {
        rule.in_doubt && self.is_left(set)
    }

    /// Whether these rules leave the connection to the HTTP filter.
    fn is_left(&self, set: Set) -> bool {
        let of_candidate = set == Set::Candidate && self.explanation.candidate_left_to_http;
        self.explanation.left_to_http || of_candidate
    }

    /// The line of the candidate's rule that decides for it.
    fn candidate_line(&self) -> Option<usize> {
        let mut rules = self.explanation.candidate_rules.iter();
        let rule = rules.position(|rule| rule.decided)?;
        Some(self.line(Set::Candidate, rule, ""))
    }
}

fn answer<'i>(args: &Explain, input: &'i Input) -> Result<Answer<'i>, Vec<Located>> {
    if !input.problems.is_empty() {
        return Err(input.problems.clone());
    }
    let plugin = choose(&input.plugins, args.plugin.as_deref()).map_err(|problem| vec![problem])?;
    let policy = input::compile(plugin)?;
    let node = ask::node(&args.node).map_err(|problem| vec![problem])?;
    let explanation = ask::explain(&policy, &node, args)
        .map_err(|invalid| unbound(plugin, &policy, &node, invalid))?;
    Ok(Answer {
        plugin,
        explanation,
        hints: Hints::new(args),
        hides_address: ask::hides_address(args),
        notes: notes(args, &policy, &node),
    })
}

fn notes(args: &Explain, policy: &Policy, node: &Node) -> Vec<String> {
    let mut notes = Vec::new();
    if let (Some(own), Some(given)) = (&policy.spec.mesh, &node.mesh)
        && own != given
    {
        notes.push(format!(
            "--node-mesh {} has no effect, the policy says mesh: {own}",
            shown(given.as_bytes())
        ));
    }
    for principal in &args.source.principal {
        let uri = ask::uri(principal);
        if uri != *principal {
            notes.push(format!(
                "--principal {} is read as {}",
                shown(principal.as_bytes()),
                shown(uri.as_bytes())
            ));
        }
    }
    notes
}

/// The one policy of a file, or the one of a name.
///
/// # Errors
/// If there is none, or not one.
pub(crate) fn choose<'i>(
    plugins: &'i [Plugin],
    wanted: Option<&str>,
) -> Result<&'i Plugin, Located> {
    let fits = |plugin: &&Plugin| wanted.is_none_or(|wanted| plugin.is_called(wanted));
    let fitting: Vec<&Plugin> = plugins.iter().filter(fits).collect();
    match (fitting.as_slice(), wanted) {
        ([plugin], _) => Ok(plugin),
        ([], Some(wanted)) => {
            let all: Vec<&Plugin> = plugins.iter().collect();
            Err(Located::new(
                None,
                format!("no policy of the name {}", shown(wanted.as_bytes())),
                choices("give --plugin one of", &all),
            ))
        }
        (several, _) => Err(Located::new(
            None,
            format!("{} policies in this file", several.len()),
            choices("choose one with --plugin", several),
        )),
    }
}

/// How to ask about one of these. What has no name cannot be chosen.
fn choices(choose: &str, plugins: &[&Plugin]) -> String {
    let names = plugins.iter().filter_map(|plugin| plugin.full_name());
    let names: Vec<String> = names.map(|name| shown(name.as_bytes())).collect();
    let nameless = plugins.iter().filter(|plugin| plugin.full_name().is_none());
    let nameless: Vec<String> = nameless.map(|plugin| plugin.line.to_string()).collect();
    let mut mends = Vec::new();
    if !names.is_empty() {
        mends.push(format!("{choose}: {}", names.join(", ")));
    }
    if !nameless.is_empty() {
        mends.push(format!(
            "what has no name (line {}) cannot be chosen: put it into a file of its own",
            nameless.join(", ")
        ));
    }
    mends.join("; ")
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
