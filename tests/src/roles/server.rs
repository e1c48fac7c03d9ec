//! A server's sidecar: it ends mutual TLS, lets the filter decide, and passes to the application.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::{as_the_client_speaks, cluster, permissive_listener, router};
use crate::access_log::AccessLog;
use crate::envoy::{Envoy, Node, Setup};
use crate::pki::Identity;
use crate::plugin::Plugin;

/// What a server's sidecar is made of.
#[derive(Clone, Debug)]
pub struct Server {
    /// Who the workload is.
    pub node: Node,
    /// The workload's address and port: the port that the policy speaks of.
    pub listen: SocketAddr,
    /// Its certificate.
    pub identity: Identity,
    /// The application behind it.
    pub application: SocketAddr,
    /// The filter and its policy.
    pub plugin: Plugin,
}

/// A running sidecar.
#[derive(Debug)]
pub struct Sidecar {
    /// The proxy.
    pub envoy: Envoy,
    /// Its access log.
    pub access_log: AccessLog,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts it, with its files in `folder`.
    pub async fn start(&self, folder: &Path) -> Result<Sidecar> {
        let access_log = AccessLog::at(folder.join("access.log"));
        let setup = Setup {
            node: self.node.clone(),
            listeners: vec![permissive_listener(
                self.listen,
                &self.identity,
                &[self.http_connection_manager(&access_log)?],
            )],
            clusters: vec![self.application_cluster()],
        };
        let name = format!(
            "the sidecar of {} in {}",
            self.node.workload, self.node.mesh
        );
        let envoy = Envoy::start(&name, folder, self.listen.ip(), &setup).await?;
        Ok(Sidecar {
            envoy,
            access_log,
            address: self.listen,
        })
    }

    fn http_connection_manager(&self, access_log: &AccessLog) -> Result<Value> {
        let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "application"}});
        Ok(json!({
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "inbound",
                // As Istio's default does (path normalization BASE).
                "normalize_path": true,
                // The caller's request ID is kept: it is how a line of the log is found again.
                "preserve_external_request_id": true,
                "access_log": [access_log.config()],
                "route_config": {
                    "name": "inbound",
                    "virtual_hosts": [{"name": "application", "domains": ["*"], "routes": [route]}],
                },
                "http_filters": [self.plugin.http_filter()?, router()],
            },
        }))
    }

    fn application_cluster(&self) -> Value {
        let mut cluster = cluster("application", self.application);
        cluster["typed_extension_protocol_options"] = as_the_client_speaks();
        cluster
    }
}
