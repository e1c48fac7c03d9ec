//! What a policy may say but its author seldom means, beside what the filter warns of itself.

use crossmesh_policy::{Action, FromSpec, Mode, Problem, RuleSpec, Spec, ToSpec, Verdict};

use crate::document::Plugin;
use crate::problem::Located;

/// What is seldom meant in the policy of this plugin.
pub(crate) fn warnings(plugin: &Plugin, spec: &Spec) -> Vec<Problem> {
    let mut seldom = Seldom::default();
    let defaults = spec.defaults.unwrap_or_default();
    let denies_plaintext = defaults.plaintext != Some(Verdict::Allow);
    let lets_pass = defaults.passthrough != Some(Verdict::Deny);
    if plugin.is_network && plugin.is_for_servers && denies_plaintext && lets_pass {
        seldom.warn(
            "defaults.passthrough".into(),
            "what begins like TLS that is not terminated here comes in, and a client may begin so and go on in plaintext",
            "write passthrough: DENY, and let in by a rule with passthrough: true and ports what ends TLS itself",
        );
    }
    let candidate = spec.candidate.as_ref().map(|candidate| &candidate.rules);
    for (within, rules) in [("", spec.rules.as_ref()), ("candidate.", candidate)] {
        for (i, rule) in rules.into_iter().flatten().enumerate() {
            seldom.rule = Some(rule.name.clone());
            seldom.rule(rule, &format!("{within}rules[{i}]"));
        }
    }
    seldom.found
}

/// With FAIL_OPEN what is denied comes in as soon as something fails.
pub(crate) fn fail_open(plugin: &Plugin, spec: &Spec) -> Option<Located> {
    let line = plugin.fail_open?;
    (spec.mode.unwrap_or_default() == Mode::Enforce).then(|| {
        Located::new(
            Some(line),
            "with FAIL_OPEN all comes in, judged by nobody, once the filter failed on a worker or cannot be fetched",
            "write failStrategy: FAIL_RELOAD to enforce, or mode: DRY_RUN to watch",
        )
    })
}

#[derive(Default)]
struct Seldom {
    rule: Option<String>,
    found: Vec<Problem>,
}

impl Seldom {
    fn warn(&mut self, field: String, problem: &str, mend: &str) {
        self.found.push(Problem {
            rule: self.rule.clone(),
            field,
            value: None,
            problem: problem.into(),
            mend: mend.into(),
        });
    }

    fn rule(&mut self, rule: &RuleSpec, at: &str) {
        let everywhere = rule.to.is_none() && rule.when.is_none();
        if rule.action == Action::Deny && everywhere && rule.from.is_none() {
            self.warn(
                at.into(),
                "this denies everything, whoever calls",
                "write from, to or when, if less is meant",
            );
        }
        for (i, item) in rule.from.iter().flatten().enumerate() {
            let at = format!("{at}.from[{i}]");
            let is_open = item.plaintext == Some(true) && item.ip_blocks.is_none();
            if rule.action == Action::Allow && everywhere && is_open {
                self.warn(
                    format!("{at}.plaintext"),
                    "whoever reaches any port without a certificate comes in, unless a rule denies it",
                    "write ipBlocks beside it, and under to what must come so",
                );
            }
            self.sources(item, &at);
        }
        for (i, item) in rule.to.iter().flatten().enumerate() {
            self.destinations(item, rule.action, &format!("{at}.to[{i}]"));
        }
    }

    fn sources(&mut self, item: &FromSpec, at: &str) {
        self.namespaces(at, "namespaces", &item.namespaces);
        self.namespaces(at, "notNamespaces", &item.not_namespaces);
        self.namespaces(at, "serviceAccounts", &item.service_accounts);
        self.namespaces(at, "notServiceAccounts", &item.not_service_accounts);
    }

    fn destinations(&mut self, item: &ToSpec, action: Action, at: &str) {
        self.namespaces(at, "namespaces", &item.namespaces);
        self.namespaces(at, "notNamespaces", &item.not_namespaces);
        self.namespaces(at, "workloads", &item.workloads);
        self.namespaces(at, "notWorkloads", &item.not_workloads);
        for (field, labels) in [("labels", &item.labels), ("notLabels", &item.not_labels)] {
            for (key, value) in labels.iter().flatten() {
                let (prefix, name) = key.split_once('/').unwrap_or(("a", key));
                let is_key = name.len() <= 63 && is_word(name) && is_name(prefix, true);
                let is_value = value.len() <= 64 && is_word_pattern(value);
                if !is_key || !is_value {
                    self.warn(
                        format!("{at}.{field}.{key}"),
                        "Kubernetes allows no such label",
                        "write the label as the pod has it",
                    );
                }
            }
        }
        if action != Action::Allow {
            self.odd_spellings(item, at);
        }
    }

    /// Of a path a DENY or AUDIT takes two forms: where the not… form excludes the one, the other is left.
    fn odd_spellings(&mut self, item: &ToSpec, at: &str) {
        let (Some(paths), Some(not)) = (&item.paths, &item.not_paths) else {
            return;
        };
        let covers = |wide: &str, narrow: &str| match wide.strip_suffix('*') {
            Some(beginning) => narrow.starts_with(beginning),
            None => wide == narrow,
        };
        let is_excluded = |path: &String| not.iter().any(|wide| covers(wide, path));
        if paths.iter().all(is_excluded) {
            self.warn(
                format!("{at}.paths"),
                "its not… form excludes it all but odd spellings",
                "leave out there what is meant",
            );
        }
    }

    /// Lists of `namespace` or `namespace/name`.
    fn namespaces(&mut self, at: &str, field: &str, list: &Option<Vec<String>>) {
        for (i, text) in list.iter().flatten().enumerate() {
            let (namespace, account) = text.split_once('/').unwrap_or((text, "*"));
            let is_account = !field.ends_with("erviceAccounts") || is_pattern(account, true);
            if !is_pattern(namespace, false) || !is_account {
                self.warn(
                    format!("{at}.{field}[{i}]"),
                    "Kubernetes allows no such name",
                    "write a-z, 0-9 and '-', in service accounts '.' too, with a letter or digit at both ends",
                );
            }
        }
    }
}

/// Whether a pattern could match a name, its star standing for any part of one.
fn is_pattern(text: &str, dots: bool) -> bool {
    let filled = text.replace('*', "a");
    is_name(&filled, dots)
}

/// A DNS label (RFC 1123), or with dots several.
fn is_name(text: &str, dots: bool) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_label = |label: &str| {
        is_end(label.chars().next())
            && is_end(label.chars().last())
            && label.chars().all(|c| c == '-' || is_end(Some(c)))
    };
    if dots {
        text.len() <= 253 && text.split('.').all(is_label)
    } else {
        text.len() <= 63 && is_label(text)
    }
}

/// What the name in a label's key is, and its value if it has one.
fn is_word(text: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    is_end(text.chars().next())
        && is_end(text.chars().last())
        && text
            .chars()
            .all(|c| matches!(c, '-' | '_' | '.') || is_end(Some(c)))
}

fn is_word_pattern(text: &str) -> bool {
    is_word(&text.replace('*', "a"))
}

#[cfg(test)]
mod tests {
    use super::{is_pattern, is_word_pattern};

    #[test]
    fn names_are_those_of_kubernetes() {
        for (text, dots, want) in [
            ("shop", false, true),
            ("shop-2", false, true),
            ("shop-*", false, true),
            ("*-shop", false, true),
            ("*", false, true),
            ("Shop", false, false),
            ("-shop", false, false),
            ("shop-", false, false),
            ("shop_a*", false, false),
            ("a.b", false, false),
            ("a.b", true, true),
            ("a.*", true, true),
            ("a..b", true, false),
        ] {
            assert_eq!(is_pattern(text, dots), want, "{text}");
        }
        assert!(is_pattern(&"a".repeat(63), false));
        assert!(!is_pattern(&"a".repeat(64), false));
        for (text, want) in [
            ("a_B.c-1", true),
            ("g*", true),
            ("a-", false),
            ("a b", false),
        ] {
            assert_eq!(is_word_pattern(text), want, "{text}");
        }
    }
}
