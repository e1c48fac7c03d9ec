//! As much of Kubernetes' objects as answers need. What is not here is never kept: managed fields, most annotations and
//! all other state are dropped while they are read. Source: the Kubernetes API reference, v1.

use std::{collections::BTreeMap, fmt::Debug};

use k8s_openapi::ByteString;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// An object of a watched resource.
pub(super) trait Object: Clone + Debug + DeserializeOwned + Send + 'static {
    /// From where on a watch goes on that has seen it.
    fn resource_version(&self) -> &str;

    /// Its namespace and its name.
    fn key(&self) -> (&str, &str);
}

/// A page of a list. What has no items is none.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(super) struct Page<T> {
    pub(super) metadata: ListMetadata,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) items: Vec<T>,
}

/// The groups of resources that an API server has: `APIGroupList`.
#[derive(Debug, Deserialize)]
pub(super) struct Groups {
    pub(super) kind: String,
    pub(super) groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Group {
    pub(super) name: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) versions: Vec<GroupVersion>,
}

#[derive(Debug, Deserialize)]
pub(super) struct GroupVersion {
    pub(super) version: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListMetadata {
    pub(super) resource_version: String,
    #[serde(default)]
    pub(super) r#continue: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(
    rename_all = "camelCase",
    bound(deserialize = "L: Default + Deserialize<'de>")
)]
pub(super) struct Metadata<L = Labels> {
    pub(super) name: String,
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) resource_version: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) labels: L,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) annotations: Annotations,
}

/// The labels that decide something.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Labels {
    /// The network that a gateway or a cluster belongs to.
    #[serde(rename = "topology.istio.io/network")]
    pub(super) network: Option<String>,
    /// A gateway's port, where it is not 15443.
    #[serde(rename = "networking.istio.io/gatewayPort")]
    pub(super) gateway_port: Option<String>,
    /// The service of an EndpointSlice.
    #[serde(rename = "kubernetes.io/service-name")]
    pub(super) service: Option<String>,
    /// `false`: other clusters may not have the service.
    #[serde(rename = "crossmesh.io/export")]
    pub(super) export: Option<String>,
    /// Whether an ambient mesh gives the service to other clusters.
    #[serde(rename = "istio.io/global")]
    pub(super) global: Option<String>,
    /// Whether names of the namespace may be answered from peers.
    #[serde(rename = "crossmesh.io/remote")]
    pub(super) remote: Option<String>,
    /// Where a node or a gateway is.
    #[serde(rename = "topology.kubernetes.io/region")]
    pub(super) region: Option<String>,
    /// And where in that region.
    #[serde(rename = "topology.kubernetes.io/zone")]
    pub(super) zone: Option<String>,
    /// The imported service of an EndpointSlice (KEP-1645).
    #[serde(rename = "multicluster.kubernetes.io/service-name")]
    pub(super) imported_service: Option<String>,
    /// The cluster that the endpoints of such a slice are in.
    #[serde(rename = "multicluster.kubernetes.io/source-cluster")]
    pub(super) source_cluster: Option<String>,
}

/// The annotations that decide something.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Annotations {
    /// To which namespaces Istio shows the service.
    #[serde(rename = "networking.istio.io/exportTo")]
    pub(super) export_to: Option<String>,
    /// On which nodes a gateway's pods are, whose service is reached at its nodes: labels as JSON.
    #[serde(rename = "traffic.istio.io/nodeSelector")]
    pub(super) node_selector: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Service {
    pub(super) metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) spec: ServiceSpec,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) status: ServiceStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceSpec {
    pub(super) r#type: Option<String>,
    #[serde(rename = "clusterIP")]
    pub(super) cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs", default, deserialize_with = "null_is_empty")]
    pub(super) cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs", default, deserialize_with = "null_is_empty")]
    pub(super) external_ips: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) ports: Vec<ServicePort>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServicePort {
    pub(super) name: Option<String>,
    pub(super) port: u16,
    pub(super) node_port: Option<u16>,
    pub(super) protocol: Option<String>,
    pub(super) app_protocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceStatus {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) load_balancer: LoadBalancer,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct LoadBalancer {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) ingress: Vec<Ingress>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Ingress {
    pub(super) ip: Option<String>,
    pub(super) hostname: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Namespace {
    pub(super) metadata: Metadata,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointSlice {
    pub(super) metadata: Metadata,
    pub(super) address_type: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) endpoints: Vec<SliceEndpoint>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct SliceEndpoint {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) addresses: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) conditions: Conditions,
    pub(super) hostname: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Conditions {
    /// Absent means ready.
    pub(super) ready: Option<bool>,
}

/// A machine. Its labels are the one thing that is read whole: a selector may name any of them.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Node {
    pub(super) metadata: Metadata<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct NodeStatus {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) addresses: Vec<NodeAddress>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct NodeAddress {
    pub(super) r#type: String,
    #[serde(default)]
    pub(super) address: String,
}

/// A Gateway of the Gateway API (`gateway.networking.k8s.io/v1`).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct GatewayObject {
    pub(super) metadata: Metadata,
    pub(super) spec: GatewaySpec,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) status: GatewayStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GatewaySpec {
    pub(super) gateway_class_name: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) addresses: Vec<GatewayAddress>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) listeners: Vec<Listener>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct GatewayStatus {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) addresses: Vec<GatewayAddress>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct GatewayAddress {
    /// Absent means `IPAddress`.
    pub(super) r#type: Option<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) value: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Listener {
    pub(super) port: u16,
    #[serde(default)]
    pub(super) protocol: String,
    pub(super) tls: Option<ListenerTls>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ListenerTls {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) options: ListenerOptions,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ListenerOptions {
    #[serde(rename = "gateway.istio.io/listener-protocol")]
    pub(super) protocol: Option<String>,
}

/// Ranges that services' addresses are from (`networking.k8s.io/v1`).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ServiceCidr {
    pub(super) metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) spec: ServiceCidrSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ServiceCidrSpec {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) cidrs: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ConfigMap {
    pub(super) metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) data: MeshData,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MeshData {
    pub(super) mesh: Option<String>,
    pub(super) mesh_networks: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Secret {
    pub(super) metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) data: BTreeMap<String, ByteString>,
}

/// Makes objects of what has `metadata`.
macro_rules! objects {
    ($($object:ty),*) => {$(
        impl Object for $object {
            fn resource_version(&self) -> &str {
                &self.metadata.resource_version
            }

            fn key(&self) -> (&str, &str) {
                (&self.metadata.namespace, &self.metadata.name)
            }
        }
    )*};
}

pub(super) use objects;

objects!(
    Service,
    Namespace,
    EndpointSlice,
    Node,
    GatewayObject,
    ConfigMap,
    Secret,
    ServiceCidr
);

/// An absent list is written as `null` by some servers.
pub(super) fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
