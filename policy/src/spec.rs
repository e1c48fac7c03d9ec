//! What a policy author writes: the shape of `pluginConfig`, schema `crossmesh/v1`.
//!
//! These types say only what was written. What it means, and whether it means anything, is [`crate::Program`]'s.
//! A field that is absent is `None`; a field that is `null` is refused, because a list that was meant to hold something
//! and holds nothing is how a rule becomes wider than its author thinks.

mod port;
mod read;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

pub use port::PortSpec;
pub use read::parse;

/// The one schema that this version reads.
pub const SCHEMA: &str = "crossmesh/v1";

/// A whole `pluginConfig`.
#[derive(Clone, Debug, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields)]
pub struct Spec {
    /// Must be [`SCHEMA`].
    pub schema: String,
    /// The mesh of the proxy that runs the policy; else its node metadata `MESH_ID` says.
    #[serde(default, deserialize_with = "given")]
    pub mesh: Option<String>,
    /// All meshes, each with its trust domains.
    pub meshes: Vec<MeshSpec>,
    /// Peers that speak for others, and for whom.
    #[serde(default, deserialize_with = "given")]
    pub forwarders: Option<Vec<ForwarderSpec>>,
    /// The verdict when no rule decides.
    #[serde(default, deserialize_with = "given")]
    pub defaults: Option<DefaultsSpec>,
    /// Whether verdicts are carried out.
    #[serde(default, deserialize_with = "given")]
    pub mode: Option<Mode>,
    /// The rules.
    #[serde(default, deserialize_with = "given")]
    pub rules: Option<Vec<RuleSpec>>,
    /// Other rules, evaluated beside these: counted, never enforced.
    #[serde(default, deserialize_with = "given")]
    pub candidate: Option<CandidateSpec>,
    /// What the TCP filter has to know.
    #[serde(default, deserialize_with = "given")]
    pub tcp: Option<TcpSpec>,
    /// What besides metrics and filter state tells of a decision.
    #[serde(default, deserialize_with = "given")]
    pub telemetry: Option<TelemetrySpec>,
}

/// One mesh.
#[derive(Clone, Debug, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields, rename_all = "camelCase")]
pub struct MeshSpec {
    /// Its ID, as in `MESH_ID`.
    pub id: String,
    /// The trust domains of its identities.
    pub trust_domains: Vec<String>,
}

/// A peer whose `x-forwarded-client-cert` is believed.
#[derive(Clone, Debug, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields, rename_all = "camelCase")]
pub struct ForwarderSpec {
    /// Its one, exact SPIFFE ID; `spiffe://` may be left out.
    pub principal: String,
    /// The meshes whose workloads it may speak for; its own mesh if not given.
    #[serde(default, deserialize_with = "given")]
    pub may_assert: Option<Vec<String>>,
}

/// Rules that are tried out beside the active ones.
#[derive(Clone, Debug, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields)]
pub struct CandidateSpec {
    /// The rules, in place of the active ones.
    pub rules: Vec<RuleSpec>,
    /// The defaults, in place of the active ones; those if not given.
    #[serde(default, deserialize_with = "given")]
    pub defaults: Option<DefaultsSpec>,
}

/// What the TCP filter has to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields, rename_all = "camelCase")]
pub struct TcpSpec {
    /// The ports on which the HTTP filter follows: there the TCP filter cuts off only what no request could change.
    pub http_ports: Vec<PortSpec>,
}

/// The verdicts when no rule decides, by the class of the source.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields, rename_all = "camelCase")]
pub struct DefaultsSpec {
    /// A peer of this proxy's own mesh; ALLOW if not given.
    #[serde(default, deserialize_with = "given")]
    pub same_mesh: Option<Verdict>,
    /// A peer of another listed mesh; DENY if not given.
    #[serde(default, deserialize_with = "given")]
    pub peer_mesh: Option<Verdict>,
    /// A peer whose trust domain no mesh lists; DENY if not given.
    #[serde(default, deserialize_with = "given")]
    pub unknown_trust_domain: Option<Verdict>,
    /// No client certificate; DENY if not given.
    #[serde(default, deserialize_with = "given")]
    pub plaintext: Option<Verdict>,
    /// TLS that this proxy does not terminate; ALLOW if not given.
    #[serde(default, deserialize_with = "given")]
    pub passthrough: Option<Verdict>,
}

/// Let it pass, or refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Let it pass.
    Allow,
    /// Refuse it.
    Deny,
}

impl Verdict {
    /// As it is written in policies, metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
        }
    }
}

/// Whether verdicts are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// A DENY is refused.
    #[default]
    Enforce,
    /// Nothing is refused; the verdict is told as it would be.
    DryRun,
}

impl Mode {
    /// As it is written in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "ENFORCE",
            Self::DryRun => "DRY_RUN",
        }
    }
}

/// What a rule does when it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Action {
    /// Lets pass what no DENY refuses.
    Allow,
    /// Refuses, whatever any ALLOW says.
    Deny,
    /// Is counted and logged; never decides.
    Audit,
}

impl Action {
    /// As it is written in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
            Self::Audit => "AUDIT",
        }
    }
}

/// What besides metrics and filter state tells of a decision.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields)]
pub struct TelemetrySpec {
    /// Whether the application is told the meshes in request headers.
    #[serde(default, deserialize_with = "given")]
    pub headers: Option<bool>,
}

/// One rule: `from` AND `to` AND `when`.
#[derive(Clone, Debug, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields)]
pub struct RuleSpec {
    /// Its name: it is in every log line, metric and explanation.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// Who calls: the items are ORed.
    #[serde(default, deserialize_with = "given")]
    pub from: Option<Vec<FromSpec>>,
    /// What is called: the items are ORed.
    #[serde(default, deserialize_with = "given")]
    pub to: Option<Vec<ToSpec>>,
    /// Further conditions: all must hold.
    #[serde(default, deserialize_with = "given")]
    pub when: Option<Vec<WhenSpec>>,
}

/// Who calls: the fields are ANDed, the values of a list ORed, those of a `not…` list all excluded.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(
    expecting = "an object",
    deny_unknown_fields,
    rename_all = "camelCase",
    default
)]
#[expect(
    missing_docs,
    reason = "each field is the one of the same name in the policy language"
)]
pub struct FromSpec {
    #[serde(deserialize_with = "given")]
    pub meshes: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub not_meshes: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub trust_domains: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub not_trust_domains: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub namespaces: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub not_namespaces: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub service_accounts: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub not_service_accounts: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub principals: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub not_principals: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub ip_blocks: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub not_ip_blocks: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub plaintext: Option<bool>,
    #[serde(deserialize_with = "given")]
    pub passthrough: Option<bool>,
}

/// What is called: the fields are ANDed, the values of a list ORed, those of a `not…` list all excluded.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(
    expecting = "an object",
    deny_unknown_fields,
    rename_all = "camelCase",
    default
)]
#[expect(
    missing_docs,
    reason = "each field is the one of the same name in the policy language"
)]
pub struct ToSpec {
    #[serde(deserialize_with = "given")]
    pub namespaces: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub not_namespaces: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub workloads: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub not_workloads: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(deserialize_with = "given")]
    pub not_labels: Option<BTreeMap<String, String>>,
    #[serde(deserialize_with = "given")]
    pub hosts: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub not_hosts: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub ports: Option<Vec<PortSpec>>,
    #[serde(deserialize_with = "given")]
    pub not_ports: Option<Vec<PortSpec>>,
    #[serde(deserialize_with = "given")]
    pub methods: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub not_methods: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub paths: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub not_paths: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub snis: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub not_snis: Option<Vec<String>>,
}

/// One condition on a request header.
#[derive(Clone, Debug, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields, rename_all = "camelCase")]
pub struct WhenSpec {
    /// The header's name.
    pub header: String,
    /// Patterns, one of which must match.
    #[serde(default, deserialize_with = "given")]
    pub values: Option<Vec<String>>,
    /// Patterns, none of which may match.
    #[serde(default, deserialize_with = "given")]
    pub not_values: Option<Vec<String>>,
}

/// Reads a field that is there. `Option`'s own reading would take `null` for absent, which widens a rule in silence.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}
