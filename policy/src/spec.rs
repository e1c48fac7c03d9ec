//! What a policy author writes: the shape of `pluginConfig`, schema `crossmesh/v1`.
//!
//! These types say only what was written. What it means, and whether it means anything, is [`crate::Program`]'s.
//! A field that is absent is `None`; a field that is `null` is refused, because a list that was meant to hold something
//! and holds nothing is how a rule becomes wider than its author thinks.
//!
//! The comments on types and fields are what an editor shows, by way of the JSON Schema that the feature `schema`
//! derives: they speak to the author of a policy.

mod number;
pub(crate) mod read;
mod rule;
#[cfg(feature = "schema")]
pub(crate) mod schema;
pub(crate) mod strict;

use serde::{Deserialize, Deserializer};

pub use number::{LimitSpec, PortSpec};
pub use read::{did_you_mean, parse};
pub use rule::{FromSpec, RuleSpec, ToSpec, WhenSpec};
#[cfg(feature = "schema")]
pub use schema::json_schema;

/// The one schema that this version reads.
pub const SCHEMA: &str = "crossmesh/v1";

/// A cross-mesh policy: the pluginConfig of crossmesh's filter.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "PluginConfig"))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Spec {
    /// The version of the policy language: crossmesh/v1.
    #[cfg_attr(feature = "schema", schemars(extend("const" = SCHEMA)))]
    pub schema: String,
    /// The ID of the mesh of the proxies that run this policy. If left out, each proxy's node metadata MESH_ID says
    /// it. It must be listed under meshes.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::MeshId"))]
    pub mesh: Option<String>,
    /// All meshes that may call each other, the own one too, each with its trust domains. A trust domain that is not
    /// listed here is unknown.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub meshes: Vec<MeshSpec>,
    /// Peers that speak for others, such as an ingress gateway that terminates TLS: their x-forwarded-client-cert is
    /// believed. From anybody else the header is ignored.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<ForwarderSpec>"))]
    pub forwarders: Option<Vec<ForwarderSpec>>,
    /// The verdict when no DENY and no ALLOW rule matches, by what the source is.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "DefaultsSpec"))]
    pub defaults: Option<DefaultsSpec>,
    /// Whether verdicts are carried out. ENFORCE if left out.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "Mode", extend("default" = Mode::default().as_str())))]
    pub mode: Option<Mode>,
    /// The rules. Any DENY that matches denies; else any ALLOW that matches allows; else defaults decides. Their order
    /// never changes a verdict.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<RuleSpec>"))]
    pub rules: Option<Vec<RuleSpec>>,
    /// Rules to try out: evaluated beside the active ones on every request and counted, never enforced.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "CandidateSpec"))]
    pub candidate: Option<CandidateSpec>,
    /// What the filter has to know where it runs as a network filter (type: NETWORK).
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "TcpSpec"))]
    pub tcp: Option<TcpSpec>,
    /// What besides metrics, logs and filter state tells of a decision.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "TelemetrySpec"))]
    pub telemetry: Option<TelemetrySpec>,
}

/// A mesh and its trust domains.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "camelCase")]
pub struct MeshSpec {
    /// The mesh's ID, as in MESH_ID (Istio's global.meshID). Rules, metrics and headers name the mesh by it.
    #[cfg_attr(feature = "schema", schemars(with = "schema::MeshId"))]
    pub id: String,
    /// The trust domains of the mesh's identities. A trust domain belongs to one mesh.
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::TrustDomain>")
    )]
    pub trust_domains: Vec<String>,
}

/// A peer that speaks for others: its x-forwarded-client-cert is believed.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "camelCase")]
pub struct ForwarderSpec {
    /// Its one, exact SPIFFE ID, of a listed trust domain. spiffe:// may be left out.
    #[cfg_attr(feature = "schema", schemars(with = "schema::ExactPrincipal"))]
    pub principal: String,
    /// The meshes whose workloads it may speak for. Its own mesh if left out.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::MeshPattern>")
    )]
    pub may_assert: Option<Vec<String>>,
}

/// Rules to try out beside the active ones: counted, never enforced.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct CandidateSpec {
    /// The rules, in place of all active ones. Their names may be those of active rules.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub rules: Vec<RuleSpec>,
    /// The defaults, in place of the active ones. The active ones if left out.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "DefaultsSpec"))]
    pub defaults: Option<DefaultsSpec>,
}

/// What the filter has to know where it runs as a network filter.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "camelCase")]
pub struct TcpSpec {
    /// The workload's ports on which the HTTP filter follows. There a connection is cut off at its first bytes only if
    /// no request on it could be allowed. Never list a port whose protocol Envoy sniffs.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub http_ports: Vec<PortSpec>,
}

/// The verdict when no rule decides, by the class of the source. A source with an invalid identity has no default: it
/// is always denied.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "camelCase")]
pub struct DefaultsSpec {
    /// Workloads of the proxy's own mesh. ALLOW if left out: inside the mesh AuthorizationPolicy stays in charge.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "Verdict", extend("default" = "ALLOW")))]
    pub same_mesh: Option<Verdict>,
    /// Workloads of another listed mesh. DENY if left out.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "Verdict", extend("default" = "DENY")))]
    pub peer_mesh: Option<Verdict>,
    /// Workloads of a trust domain that no mesh lists. DENY if left out.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "Verdict", extend("default" = "DENY")))]
    pub unknown_trust_domain: Option<Verdict>,
    /// Whoever comes without a client certificate. DENY if left out.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "Verdict", extend("default" = "DENY")))]
    pub plaintext: Option<Verdict>,
    /// TLS that this proxy does not terminate, as at an east-west gateway. ALLOW if left out: the proxy that
    /// terminates it decides.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "Verdict", extend("default" = "ALLOW")))]
    pub passthrough: Option<Verdict>,
}

/// Let it pass, or refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename_all = "UPPERCASE"))]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename_all = "SCREAMING_SNAKE_CASE"))]
pub enum Mode {
    /// What is denied is refused.
    #[default]
    Enforce,
    /// Nothing is refused; metrics and logs tell the verdict as it would be.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename_all = "UPPERCASE"))]
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

/// What besides metrics, logs and filter state tells of a decision.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct TelemetrySpec {
    /// Whether the application is told both mesh IDs, in the request headers x-crossmesh-source-mesh and
    /// x-crossmesh-destination-mesh. false if left out. What a client sends under such names is removed in any case.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "bool", extend("default" = false)))]
    pub headers: Option<bool>,
    /// Whether the bytes of requests, responses and TCP connections are counted by pair of meshes and verdict. false if
    /// left out: it costs each request CPU time.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "bool", extend("default" = false)))]
    pub bytes: Option<bool>,
    /// Whether the duration of requests and TCP connections is measured, by pair of meshes and verdict. false if left
    /// out: it costs each request CPU time.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "bool", extend("default" = false)))]
    pub duration: Option<bool>,
    /// How many label values have metrics of their own, before the rest is counted as other.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "CardinalitySpec"))]
    pub cardinality: Option<CardinalitySpec>,
}

/// How many label values have metrics of their own, before the rest is counted as other. A value keeps its metrics also
/// when a later policy has it no more, as long as any Wasm plugin of the same `vm_id` is configured.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct CardinalitySpec {
    /// Meshes, in written order, this proxy's first. 64 if left out.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "LimitSpec<1000>", extend("default" = 64)))]
    pub meshes: Option<LimitSpec<1000>>,
    /// Rules in each metric that is told by rule: first those that deny, in written order, then those that allow. 256 if
    /// left out.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "LimitSpec<10000>", extend("default" = 256)))]
    pub rules: Option<LimitSpec<10000>>,
}

strict::objects!(
    Spec,
    MeshSpec,
    ForwarderSpec,
    CandidateSpec,
    TcpSpec,
    DefaultsSpec,
    TelemetrySpec,
    CardinalitySpec,
    RuleSpec,
    FromSpec,
    ToSpec,
    WhenSpec,
);
strict::words!(Verdict: "ALLOW" => Allow, "DENY" => Deny);
strict::words!(Mode: "ENFORCE" => Enforce, "DRY_RUN" => DryRun);
strict::words!(Action: "ALLOW" => Allow, "DENY" => Deny, "AUDIT" => Audit);

/// Reads a field that is there. `Option`'s own reading would take `null` for absent, which widens a rule in silence.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}
