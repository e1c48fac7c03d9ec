//! Writing a cluster's objects as `kubectl apply` does, and the few kinds that tests need.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::kubeconfig::Kubeconfig;
use crate::process::PATIENCE;

/// Who writes, as the API server keeps book of it.
const MANAGER: &str = "crossmesh-e2e";

/// The objects of one cluster.
#[derive(Clone)]
pub struct Objects {
    client: Client,
}

impl Objects {
    /// Those that this client reaches.
    #[must_use]
    pub fn of(client: Client) -> Self {
        Self { client }
    }

    /// Creates it, or makes it as given; as it is stored then. Anything else in it that others wrote stays. A field that its
    /// kind does not have is an error.
    pub async fn apply(&self, object: &Value) -> Result<Value> {
        let (api, name) = self.api(object)?;
        let params = PatchParams::apply(MANAGER).force().validation_strict();
        let stored = api
            .patch(&name, &params, &Patch::Apply(object))
            .await
            .with_context(|| format!("applying {object}"))?;
        Ok(serde_json::to_value(stored)?)
    }

    /// Likewise, of a kind that may have been defined a moment ago: it is tried until the kind is served.
    pub async fn apply_when_served(&self, object: &Value) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let error = match self.apply(object).await {
                Ok(stored) => return Ok(stored),
                Err(error) => error,
            };
            let text = format!("{error:#}");
            let unknown = text.contains("404") || text.contains("could not find");
            if !unknown || Instant::now() > deadline {
                return Err(error);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks whether it would be taken, by all who judge it; nothing is stored.
    pub async fn judge(&self, object: &Value) -> Result<()> {
        let (api, name) = self.api(object)?;
        let params = PatchParams::apply(MANAGER)
            .force()
            .validation_strict()
            .dry_run();
        api.patch(&name, &params, &Patch::Apply(object))
            .await
            .with_context(|| format!("judging {object}"))?;
        Ok(())
    }

    /// Writes its `status`, as a controller would.
    pub async fn apply_status(&self, object: &Value) -> Result<()> {
        let (api, name) = self.api(object)?;
        let params = PatchParams::apply(MANAGER).force();
        api.patch_status(&name, &params, &Patch::Apply(object))
            .await
            .with_context(|| format!("applying the status of {object}"))?;
        Ok(())
    }

    /// Deletes it.
    pub async fn delete(&self, object: &Value) -> Result<()> {
        let (api, name) = self.api(object)?;
        api.delete(&name, &DeleteParams::default())
            .await
            .with_context(|| format!("deleting {object}"))?;
        Ok(())
    }

    /// What is at a path.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let request = hyper::Request::get(path).body(Vec::new())?;
        let text = self.client.request_text(request).await;
        let text = text.with_context(|| format!("getting {path}"))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Applies a Service and its ready endpoint; the address that the cluster allotted to it.
    pub async fn create_service(&self, service: &Service<'_>) -> Result<IpAddr> {
        let stored = self.apply(&service.object()).await?;
        self.apply(&service.slice(&["192.0.2.10"])).await?;
        let address = stored["spec"]["clusterIP"].as_str().unwrap_or_default();
        address
            .parse()
            .with_context(|| format!("{} has no address: {stored}", service.name))
    }

    fn api(&self, object: &Value) -> Result<(Api<DynamicObject>, String)> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let name = text(&object["metadata"]["name"]).context("an object has a name")?;
        let kind = text(&object["kind"]).context("an object has a kind")?;
        let version = text(&object["apiVersion"]).context("an object has an apiVersion")?;
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
        let api = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        Ok((api, name))
    }
}

/// A Service with one port, to which a cluster gives an address.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its port's name, by which a mesh knows the protocol.
    pub port_name: &'a str,
    /// Its port.
    pub port: u16,
}

impl Service<'_> {
    /// The object.
    #[must_use]
    pub fn object(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "selector": {"app": self.name},
                "ports": [{"name": self.port_name, "port": self.port}],
            },
        })
    }

    /// Its EndpointSlice, with these ready endpoints; none is what scaling to zero leaves.
    #[must_use]
    pub fn slice(&self, endpoints: &[&str]) -> Value {
        let endpoints: Vec<Value> = endpoints
            .iter()
            .map(|address| json!({"addresses": [address], "conditions": {"ready": true}}))
            .collect();
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{}-1", self.name),
                "namespace": self.namespace,
                "labels": {"kubernetes.io/service-name": self.name},
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": self.port_name, "port": self.port, "protocol": "TCP"}],
        })
    }
}

/// A Namespace with these labels.
#[must_use]
pub fn namespace(name: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    })
}

/// The Service of an east-west gateway, as Istio's samples have it.
#[must_use]
pub fn east_west_gateway(network: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "istio-eastwestgateway",
            "namespace": "istio-system",
            "labels": {"istio": "eastwestgateway", "topology.istio.io/network": network},
        },
        "spec": {
            "type": "LoadBalancer",
            "selector": {"istio": "eastwestgateway"},
            "ports": [
                {"name": "status-port", "port": 15021},
                {"name": "tls", "port": 15443},
                {"name": "tls-istiod", "port": 15012},
                {"name": "tls-webhook", "port": 15017},
            ],
        },
    })
}

/// The status that a cloud's controller gives to the Service of [`east_west_gateway`].
#[must_use]
pub fn gateway_status(addresses: &[IpAddr]) -> Value {
    let ingress: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"ip": address}))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "istio-eastwestgateway", "namespace": "istio-system"},
        "status": {"loadBalancer": {"ingress": ingress}},
    })
}

/// A remote secret, as `istioctl create-remote-secret` writes it.
#[must_use]
pub fn remote_secret(cluster: &str, kubeconfig: &Kubeconfig) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": format!("istio-remote-secret-{cluster}"),
            "namespace": "istio-system",
            "labels": {"istio/multiCluster": "true"},
            "annotations": {"networking.istio.io/cluster": cluster},
        },
        "stringData": {cluster: kubeconfig.to_string()},
    })
}
