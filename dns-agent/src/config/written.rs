//! The configuration as it is written.

use serde::Deserialize;

use crate::yaml::{self, Written};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Config {
    pub(super) schema: Written<String>,
    pub(super) cluster_domain: Option<Written<String>>,
    pub(super) cluster_set_domain: Option<Written<String>>,
    pub(super) listen: Written<Vec<Written<String>>>,
    pub(super) admin: Written<String>,
    pub(super) admin_socket: Option<Written<String>>,
    #[serde(default, deserialize_with = "yaml::given")]
    pub(super) allow_from: Option<Written<Vec<Written<String>>>>,
    pub(super) cluster: Cluster,
    pub(super) catalogs: Written<Vec<Catalog>>,
    pub(super) peer_sync_timeout: Option<Written<String>>,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) upstreams: Written<Upstreams>,
    #[serde(default, deserialize_with = "yaml::given")]
    pub(super) ttl: Option<Written<i64>>,
    #[serde(default)]
    pub(super) mode: Mode,
    #[serde(default)]
    pub(super) shadow: Shadow,
    #[serde(default)]
    pub(super) srv: Srv,
    #[serde(default, deserialize_with = "yaml::list")]
    pub(super) cluster_local: Vec<Written<String>>,
    #[serde(default, deserialize_with = "yaml::list")]
    pub(super) passthrough_names: Vec<Written<String>>,
    pub(super) istio_namespace: Option<Written<String>>,
    pub(super) gateway_probe: Option<GatewayProbe>,
    #[serde(default)]
    pub(super) remote: Remote,
    #[serde(default)]
    pub(super) cache: Cache,
    #[serde(default)]
    pub(super) tcp: Tcp,
    #[serde(default)]
    pub(super) log: Log,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Cluster {
    pub(super) id: Written<String>,
    pub(super) mesh: Written<String>,
    pub(super) network: Option<Written<String>>,
    pub(super) ip_families: Option<Written<Vec<Written<IpFamily>>>>,
    #[serde(default, deserialize_with = "yaml::list")]
    pub(super) ranges: Vec<Written<String>>,
    pub(super) region: Option<Written<String>>,
    pub(super) zone: Option<Written<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(super) enum IpFamily {
    #[serde(rename = "IPv4")]
    V4,
    #[serde(rename = "IPv6")]
    V6,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Catalog {
    pub(super) cluster: Option<Written<String>>,
    pub(super) file: Option<Written<String>>,
    pub(super) in_cluster: Option<Written<bool>>,
    pub(super) kubeconfig: Option<Written<String>>,
    pub(super) context: Option<Written<String>>,
    pub(super) remote_secrets: Option<Written<RemoteSecrets>>,
    pub(super) mesh: Option<Written<String>>,
    pub(super) import: Option<Written<Import>>,
    pub(super) cluster_domain: Option<Written<String>>,
    pub(super) network: Option<Written<String>>,
    pub(super) gateways: Option<Written<Vec<Gateway>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RemoteSecrets {
    pub(super) namespace: Written<String>,
    #[serde(default, deserialize_with = "yaml::list")]
    pub(super) clusters: Vec<Written<Discovered>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Discovered {
    pub(super) cluster: Written<String>,
    pub(super) mesh: Option<Written<String>>,
    pub(super) import: Option<Written<Import>>,
    pub(super) cluster_domain: Option<Written<String>>,
    pub(super) network: Option<Written<String>>,
    pub(super) gateways: Option<Written<Vec<Gateway>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Gateway {
    pub(super) address: Written<String>,
    pub(super) port: Option<Written<i64>>,
    pub(super) region: Option<Written<String>>,
    pub(super) zone: Option<Written<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct GatewayProbe {
    pub(super) enabled: Option<bool>,
    pub(super) interval: Option<Written<String>>,
    pub(super) timeout: Option<Written<String>>,
    pub(super) server_name: Option<Written<String>>,
    pub(super) failures: Option<Written<i64>>,
    pub(super) successes: Option<Written<i64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Snapshot {
    pub(super) directory: Written<String>,
    pub(super) interval: Option<Written<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Remote {
    pub(super) answer: Option<Answer>,
    pub(super) failover: Option<bool>,
    pub(super) failover_when_empty: Option<Written<bool>>,
    #[serde(default)]
    pub(super) namespaces: Which,
    #[serde(default)]
    pub(super) services: Which,
    #[serde(default, deserialize_with = "yaml::list")]
    pub(super) rules: Vec<Written<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Rule {
    pub(super) namespace: Option<Written<String>>,
    pub(super) service: Option<Written<String>>,
    pub(super) answer: Option<Answer>,
    pub(super) failover: Option<bool>,
    pub(super) failover_when_empty: Option<Written<bool>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    Auto,
    Gateway,
    ClusterIp,
    #[serde(rename = "nodata")]
    NoData,
    Upstream,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Which {
    #[default]
    All,
    Labelled,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Import {
    #[serde(default, deserialize_with = "yaml::list")]
    pub(super) namespaces: Vec<Written<String>>,
    #[serde(default, deserialize_with = "yaml::list")]
    pub(super) services: Vec<Written<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Upstreams {
    pub(super) servers: Option<Written<Vec<Written<String>>>>,
    pub(super) resolv_conf: Option<Written<String>>,
    pub(super) cluster_zone: Option<Written<Vec<Written<String>>>>,
    pub(super) timeout: Option<Written<String>>,
    pub(super) deadline: Option<Written<String>>,
    pub(super) max_concurrent: Option<Written<i64>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    #[default]
    Overlay,
    Authoritative,
    Shadow,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Shadow {
    pub(super) settle: Option<Written<String>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Srv {
    #[default]
    Service,
    Gateway,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Cache {
    pub(super) entries: Option<Written<i64>>,
    pub(super) max_bytes: Option<Written<i64>>,
    pub(super) max_ttl: Option<Written<String>>,
    pub(super) max_negative_ttl: Option<Written<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Tcp {
    pub(super) max_connections: Option<Written<i64>>,
    pub(super) idle_timeout: Option<Written<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Log {
    #[serde(default)]
    pub(super) format: Format,
    #[serde(default)]
    pub(super) level: Level,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}
