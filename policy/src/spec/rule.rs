//! The shape of one rule.

use std::collections::BTreeMap;

use serde::Deserialize;

#[cfg(feature = "schema")]
use super::schema;
use super::{Action, PortSpec, given};

/// One rule: it matches if from, to and when all match. What is left out matches everything.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = schema::rule))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RuleSpec {
    /// The rule's name: it is in every log line, metric and explanation. Unique among the rules.
    #[cfg_attr(feature = "schema", schemars(with = "schema::RuleName"))]
    pub name: String,
    /// What the rule does when it matches.
    pub action: Action,
    /// Who calls: at least one of the items matches. An ALLOW needs it; a DENY or AUDIT without it matches every source.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<FromSpec>"))]
    pub from: Option<Vec<FromSpec>>,
    /// What is called: at least one of the items matches. Left out: every destination.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<ToSpec>"))]
    pub to: Option<Vec<ToSpec>>,
    /// Conditions on request headers: all of them hold.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<WhenSpec>"))]
    pub when: Option<Vec<WhenSpec>>,
}

/// Who calls: all fields of the item match. A list matches if one of its values does, a not… list if none does.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = schema::from))]
#[serde(
    remote = "Self",
    deny_unknown_fields,
    rename_all = "camelCase",
    default
)]
pub struct FromSpec {
    /// Mesh IDs, as listed under meshes. "*" is every listed mesh, never plaintext.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::MeshPattern>")
    )]
    pub meshes: Option<Vec<String>>,
    /// Not of these meshes.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::MeshPattern>")
    )]
    pub not_meshes: Option<Vec<String>>,
    /// Trust domains, as listed under meshes.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::TrustDomainPattern>")
    )]
    pub trust_domains: Option<Vec<String>>,
    /// Not of these trust domains.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::TrustDomainPattern>")
    )]
    pub not_trust_domains: Option<Vec<String>>,
    /// Kubernetes namespaces: the ns of spiffe://td/ns/NAMESPACE/sa/ACCOUNT. Only together with meshes or trustDomains in the same
    /// item, because every trust domain can have a namespace of this name.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::Namespace>")
    )]
    pub namespaces: Option<Vec<String>>,
    /// Not of these namespaces. Only together with meshes or trustDomains in the same item.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::Namespace>")
    )]
    pub not_namespaces: Option<Vec<String>>,
    /// Kubernetes service accounts, as namespace/name; each part may be a pattern. Only together with meshes or
    /// trustDomains in the same item.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::Namespaced>")
    )]
    pub service_accounts: Option<Vec<String>>,
    /// Not these service accounts. Only together with meshes or trustDomains in the same item.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::Namespaced>")
    )]
    pub not_service_accounts: Option<Vec<String>>,
    /// Whole SPIFFE IDs, such as bar.com/ns/batch/sa/*; spiffe:// may be left out. The trust domain is whole and exact,
    /// '*' may stand only behind it.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::Principal>")
    )]
    pub principals: Option<Vec<String>>,
    /// Not these SPIFFE IDs.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::Principal>")
    )]
    pub not_principals: Option<Vec<String>>,
    /// Blocks of the direct peer's address, such as 10.0.0.0/8 or 2001:db8::/32. Behind a proxy or gateway this is
    /// the proxy's address.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::IpBlock>")
    )]
    pub ip_blocks: Option<Vec<String>>,
    /// Not from these blocks.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::IpBlock>")
    )]
    pub not_ip_blocks: Option<Vec<String>>,
    /// Only sources without a client certificate. Without it an ALLOW never matches one. An item of its own, with
    /// ipBlocks at most.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::OnlyTrue"))]
    pub plaintext: Option<bool>,
    /// Only TLS that this proxy does not terminate, as at an east-west gateway. Without it an ALLOW never matches such.
    /// An item of its own, with ipBlocks at most.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::OnlyTrue"))]
    pub passthrough: Option<bool>,
}

/// What is called: all fields of the item match. A list matches if one of its values does, a not… list if none does.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
#[serde(
    remote = "Self",
    deny_unknown_fields,
    rename_all = "camelCase",
    default
)]
pub struct ToSpec {
    /// This proxy's own namespace. A rule for other proxies is dropped when the policy is loaded.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::Namespace>")
    )]
    pub namespaces: Option<Vec<String>>,
    /// Not in these namespaces.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::Namespace>")
    )]
    pub not_namespaces: Option<Vec<String>>,
    /// This proxy's own workload, as namespace/name; each part may be a pattern.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::Namespaced>")
    )]
    pub workloads: Option<Vec<String>>,
    /// Not these workloads.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::Namespaced>")
    )]
    pub not_workloads: Option<Vec<String>>,
    /// Labels of this proxy's own pod; all must be there.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Labels"))]
    pub labels: Option<BTreeMap<String, String>>,
    /// Labels of this proxy's own pod; none of these.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Labels"))]
    pub not_labels: Option<BTreeMap<String, String>>,
    /// The Host header or :authority, without port; case does not matter. It is what the client claims: an ALLOW needs
    /// namespaces, workloads or labels in the same item too.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Host>"))]
    pub hosts: Option<Vec<String>>,
    /// Not these hosts.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Host>"))]
    pub not_hosts: Option<Vec<String>>,
    /// The workload's port (in Istio the container's, not the service's), as a number or a string.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<PortSpec>"))]
    pub ports: Option<Vec<PortSpec>>,
    /// Not these ports.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<PortSpec>"))]
    pub not_ports: Option<Vec<PortSpec>>,
    /// HTTP methods, in upper case. gRPC is POST.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::Method>")
    )]
    pub methods: Option<Vec<String>>,
    /// Not these methods.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::Method>")
    )]
    pub not_methods: Option<Vec<String>>,
    /// Paths without query: exact, /prefix*, *suffix, or a template in which {*} is one segment and {**} the rest.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Path>"))]
    pub paths: Option<Vec<String>>,
    /// Not these paths.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Path>"))]
    pub not_paths: Option<Vec<String>>,
    /// The server name of the TLS handshake. It is what the client claims: an ALLOW needs namespaces, workloads or labels
    /// in the same item too.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Host>"))]
    pub snis: Option<Vec<String>>,
    /// Not these server names.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::NotEmpty<schema::Host>"))]
    pub not_snis: Option<Vec<String>>,
}

/// One condition on a request header. With several values (lines, or split at commas) an ALLOW wants all to match, a
/// DENY or AUDIT any.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = schema::when))]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "camelCase")]
pub struct WhenSpec {
    /// The header's name; case does not matter. Host, path and method have fields of their own under to.
    #[cfg_attr(feature = "schema", schemars(with = "schema::HeaderName"))]
    pub header: String,
    /// Patterns, one of which matches: exact, prefix*, *suffix, or "*" for a header that is there.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::HeaderValue>")
    )]
    pub values: Option<Vec<String>>,
    /// Patterns, none of which matches.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "schema::NotEmpty<schema::HeaderValue>")
    )]
    pub not_values: Option<Vec<String>>,
}
