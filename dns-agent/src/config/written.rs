//! The configuration as it is written.

use serde::Deserialize;

use crate::yaml::{self, Written};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Config {
    pub(super) schema: Written<String>,
    pub(super) cluster_domain: Option<Written<String>>,
    pub(super) listen: Written<Vec<Written<String>>>,
    pub(super) admin: Written<String>,
    pub(super) cluster: Cluster,
    pub(super) catalogs: Written<Vec<Catalog>>,
    pub(super) peer_sync_timeout: Option<Written<String>>,
    pub(super) upstreams: Written<Upstreams>,
    #[serde(default, deserialize_with = "yaml::given")]
    pub(super) ttl: Option<Written<i64>>,
    #[serde(default)]
    pub(super) mode: Mode,
    #[serde(default)]
    pub(super) srv: Srv,
    #[serde(default, deserialize_with = "yaml::list")]
    pub(super) cluster_local: Vec<Written<String>>,
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
    pub(super) cluster: Written<String>,
    pub(super) file: Written<String>,
    pub(super) mesh: Option<Written<String>>,
    pub(super) import: Option<Written<Import>>,
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
