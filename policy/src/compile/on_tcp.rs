//! What rules that ask about HTTP come to where the filter sees connections and no requests.

use super::lists::{At, Report};
use crate::policy::Program;
use crate::problem::Problem;
use crate::rule::{Rule, To};
use crate::spec::Action;

const UNKNOWN: &str = "of a TCP connection no host, method, path or header is known, so this";
const MEND: &str = "ask on TCP for source, ports and snis alone, or give the rule to the policy of the HTTP filter";

/// The rules that mean more, or nothing, on TCP.
pub(crate) fn warnings(program: &Program) -> Vec<Problem> {
    let mut report = Report::default();
    let http_ports = &program.common.http_ports;
    let sets = [
        ("", Some(&program.active)),
        ("candidate.", program.candidate.as_ref()),
    ];
    for (within, rules) in sets {
        for (i, rule) in rules.into_iter().flat_map(|set| &set.rules).enumerate() {
            let at = At::rule(&rule.name, within, i);
            warn(rule, &at, http_ports, &mut report);
        }
    }
    report.into_warnings()
}

fn warn(rule: &Rule, at: &At<'_>, http_ports: &[u16], report: &mut Report) {
    let conditions = !rule.when.is_empty();
    // No HTTP filter follows TLS that passes through.
    let passes = rule.names_passthrough();
    let asks = |to: &To| (conditions || to.asks_http()) && (passes || !is_followed(to, http_ports));
    let everywhere = To::default();
    let items = match rule.to.as_deref() {
        Some(items) => items,
        None => std::slice::from_ref(&everywhere),
    };
    let asking = items.iter().filter(|to| asks(to)).count();
    match rule.action {
        // With ports that the HTTP filter follows on, the rule may be meant for those.
        Action::Allow if asking == items.len() && http_ports.is_empty() => {
            report.warn(at, &format!("{UNKNOWN} lets none in"), MEND);
        }
        Action::Deny | Action::Audit if asking > 0 => {
            let verb = if rule.action == Action::Deny {
                "denies"
            } else {
                "matches"
            };
            let whose = if rule.from.is_some() {
                "all that its sources open"
            } else {
                "all, whoever opens them, and TLS that passes through too"
            };
            report.warn(at, &format!("{UNKNOWN} {verb} {whose}"), MEND);
        }
        Action::Allow | Action::Deny | Action::Audit => {}
    }
}

/// Whether the item is for ports alone on which the HTTP filter follows.
fn is_followed(to: &To, http_ports: &[u16]) -> bool {
    let ports = to.ports.any.as_deref().unwrap_or_default();
    !ports.is_empty() && ports.iter().all(|port| http_ports.contains(port))
}

#[cfg(test)]
mod tests {
    use crate::{Program, parse};

    #[test]
    fn no_request_follows_what_passes_through() {
        for (from, warned) in [
            (r#"{"meshes": ["west"]}"#, false),
            (r#"{"passthrough": true}"#, true),
        ] {
            let from: serde_json::Value = serde_json::from_str(from).expect("JSON");
            let policy = serde_json::json!({
                "schema": "crossmesh/v1",
                "meshes": [{"id": "west", "trustDomains": ["bar.com"]}],
                "tcp": {"httpPorts": [8080]},
                "rules": [{"name": "no-admin", "action": "DENY", "from": [from], "to": [{"ports": [8080], "paths": ["/admin"]}]}],
            });
            let spec = parse(policy.to_string().as_bytes()).expect("a policy");
            let program = Program::compile(&spec).expect("a valid policy");
            assert_eq!(
                program.warnings_on_tcp().len(),
                usize::from(warned),
                "{from}"
            );
        }
    }
}
