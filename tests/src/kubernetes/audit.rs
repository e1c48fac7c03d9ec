//! An API server's audit log: what service accounts have asked for.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// One thing that somebody may do, or did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    verb: String,
    /// With its group, as in `gateways.gateway.networking.k8s.io`.
    resource: String,
    /// Of all names, if it is empty.
    name: String,
    /// In all namespaces, if it is empty.
    namespace: String,
}

impl Right {
    pub(super) fn new(verb: &str, group: &str, resource: &str, name: &str) -> Self {
        let dot = if group.is_empty() { "" } else { "." };
        Self {
            verb: verb.to_owned(),
            resource: format!("{resource}{dot}{group}"),
            name: name.to_owned(),
            namespace: String::new(),
        }
    }

    pub(super) fn only_in(self, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..self
        }
    }
}

/// As people say it: `list secrets in istio-system`.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.name.is_empty() {
            write!(f, "/{}", self.name)?;
        }
        if !self.namespace.is_empty() {
            write!(f, " in {}", self.namespace)?;
        }
        Ok(())
    }
}

pub(super) fn policy(folder: &Path) -> PathBuf {
    folder.join("audit-policy.json")
}

pub(super) fn log(folder: &Path) -> PathBuf {
    folder.join("audit.log")
}

/// Only what service accounts do is written, and of that no contents.
pub(super) fn write_policy(folder: &Path) -> Result<()> {
    let file = policy(folder);
    let text = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "rules": [
            {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
            {"level": "None"},
        ],
    });
    fs::write(&file, text.to_string()).with_context(|| format!("writing {}", file.display()))
}

/// The rights that a user has used. What was refused, and what an account asks of itself, is no use of a right.
pub(super) fn used(folder: &Path, user: &str) -> Result<BTreeSet<Right>> {
    let file = log(folder);
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let mut found = BTreeSet::new();
    // The last line may not be whole yet.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for line in whole.lines() {
        let event: Value =
            serde_json::from_str(line).with_context(|| format!("audited: {line}"))?;
        let object = &event["objectRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let group = text(&object["apiGroup"]);
        let refused = event["responseStatus"]["code"]
            .as_u64()
            .is_none_or(|code| code == 403);
        if event["user"]["username"] != user
            || object["resource"].is_null()
            || group == "authorization.k8s.io"
            || refused
        {
            continue;
        }
        let right = Right::new(
            &text(&event["verb"]),
            &group,
            &text(&object["resource"]),
            &text(&object["name"]),
        );
        found.insert(right.only_in(&text(&object["namespace"])));
    }
    Ok(found)
}
