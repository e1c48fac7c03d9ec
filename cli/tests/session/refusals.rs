//! The cases of what is refused, `policy/tests/cases/invalid`, as `policy/tests/cases.rs` reads them.

use serde_json::{Value, json};

/// A policy of a case: whole, or of one rule or item.
pub(crate) fn whole_policy(case: &Value) -> Value {
    if let Some(policy) = case.get("policy") {
        return policy.clone();
    }
    let rule = |action: &str, part: &str| {
        let mut rule = json!({"name": "r", "action": action});
        if part == "to" && action == "ALLOW" {
            rule["from"] = json!([{"meshes": ["*"]}]);
        }
        rule[part] = json!([case[format!("{}_{part}", action.to_lowercase())]]);
        rule
    };
    with_rule(&if let Some(rule) = case.get("rule") {
        rule.clone()
    } else if case.get("allow_from").is_some() {
        rule("ALLOW", "from")
    } else if case.get("deny_from").is_some() {
        rule("DENY", "from")
    } else {
        rule("ALLOW", "to")
    })
}

/// A policy that is right but for this rule.
pub(crate) fn with_rule(rule: &Value) -> Value {
    json!({
        "schema": "crossmesh/v1",
        "mesh": "east",
        "meshes": [{"id": "east", "trustDomains": ["foo.com"]}, {"id": "west", "trustDomains": ["bar.com"]}],
        "rules": [rule],
    })
}
