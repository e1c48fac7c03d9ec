//! An API server in miniature: lists and watches over HTTP as Kubernetes does, with faults on request. It runs on a
//! runtime of its own, so that it can be killed with all its connections.

mod answers;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{Router, http::StatusCode};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};

use super::agent::PATIENCE;
use answers::handle;

/// What is wrong with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Unauthorised,
    /// What it says is no list.
    Garbage,
    /// Something else answers at its address, which has nothing.
    NotFound,
    /// What it says never ends.
    Endless,
    /// It takes requests and does not reply.
    Slow,
    /// It says that a list changed too much to be gone through.
    Expired,
    /// The list of services goes on for ever, whatever was asked for.
    NeverDone,
    /// The watch of EndpointSlices tells of one that is larger than any can be.
    Giant,
    /// The watch of EndpointSlices tells of ever more of them.
    Flood,
}

pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    world: Arc<World>,
    runtime: Option<Runtime>,
}

struct World {
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
}

struct Inner {
    version: u64,
    /// By path of the resource, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    log: Vec<(u64, String, &'static str, Value)>,
    /// Older versions cannot be watched from.
    oldest: u64,
    /// Watches that began before are over.
    era: u64,
    fault: Fault,
    page: usize,
    lists: usize,
    /// The only one that is let in; else any.
    token: Option<&'static str>,
    /// Resources that it does not know, by path.
    undefined: BTreeSet<String>,
    /// Resources that it does not give, by path.
    refused: BTreeMap<String, StatusCode>,
    /// How often each resource was asked for, by path.
    asked: BTreeMap<String, usize>,
    /// Whether the Multi-Cluster Services API is there.
    multicluster: bool,
}

pub(crate) const SERVICES: &str = "/api/v1/services";
pub(crate) const NAMESPACES: &str = "/api/v1/namespaces";
pub(crate) const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
pub(crate) const GATEWAYS: &str = "/apis/gateway.networking.k8s.io/v1/gateways";
pub(crate) const SECRETS: &str = "/api/v1/namespaces/istio-system/secrets";
pub(crate) const MESH: &str = "/api/v1/namespaces/istio-system/configmaps";
pub(crate) const NODES: &str = "/api/v1/nodes";
pub(crate) const SERVICE_CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";
/// In Kubernetes 1.31 and 1.32 only these are there, if their API is enabled.
pub(crate) const SERVICE_CIDRS_BETA: &str = "/apis/networking.k8s.io/v1beta1/servicecidrs";
pub(crate) const EXPORTS: &str = "/apis/multicluster.x-k8s.io/v1beta1/serviceexports";
pub(crate) const IMPORTS: &str = "/apis/multicluster.x-k8s.io/v1beta1/serviceimports";

impl Api {
    pub(crate) fn start() -> Self {
        let world = World {
            inner: Mutex::new(Inner {
                version: 100,
                objects: BTreeMap::new(),
                log: Vec::new(),
                oldest: 0,
                era: 0,
                fault: Fault::None,
                page: 2,
                lists: 0,
                token: None,
                undefined: [SERVICE_CIDRS_BETA.to_owned()].into(),
                refused: BTreeMap::new(),
                asked: BTreeMap::new(),
                multicluster: false,
            }),
            changed: watch::channel(()).0,
        };
        let mut api = Self {
            address: ([127, 0, 0, 1], 0).into(),
            world: Arc::new(world),
            runtime: None,
        };
        api.run();
        api
    }

    /// Begins to serve, at the address of before.
    pub(crate) fn run(&mut self) {
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.address = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let routes = Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&self.world));
        let _entered = runtime.enter();
        let listener = TcpListener::from_std(listener).unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, routes).await });
        tasks.detach_all();
        drop(_entered);
        self.runtime = Some(runtime);
    }

    /// Ends with all its connections; what it knows stays, as etcd's would.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub(crate) fn kubeconfig(&self) -> String {
        format!(
            "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: c, cluster: {{server: \
             \"http://{}\"}}}}], users: [{{name: u, user: {{token: t}}}}], contexts: [{{name: c, context: \
             {{cluster: c, user: u}}}}]}}",
            self.address
        )
    }

    pub(crate) fn put(&self, resource: &str, namespace: &str, name: &str, mut object: Value) {
        self.change(|inner| {
            inner.version += 1;
            let metadata = &mut object["metadata"];
            metadata["name"] = name.into();
            if !namespace.is_empty() {
                metadata["namespace"] = namespace.into();
            }
            metadata["resourceVersion"] = inner.version.to_string().into();
            metadata["managedFields"] = json!([{"manager": "test", "fieldsV1": {"f:spec": {}}}]);
            let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
            let before = inner.objects.insert(key, object.clone());
            let what = if before.is_some() {
                "MODIFIED"
            } else {
                "ADDED"
            };
            inner
                .log
                .push((inner.version, resource.to_owned(), what, object));
        });
    }

    pub(crate) fn delete(&self, resource: &str, namespace: &str, name: &str) {
        self.change(|inner| {
            let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
            let mut object = inner.objects.remove(&key).unwrap();
            inner.version += 1;
            object["metadata"]["resourceVersion"] = inner.version.to_string().into();
            inner
                .log
                .push((inner.version, resource.to_owned(), "DELETED", object));
        });
    }

    /// A service with a cluster IP and one port.
    pub(crate) fn service(&self, namespace: &str, name: &str, address: &str, port: &str) {
        self.put(NAMESPACES, "", namespace, json!({}));
        let spec = json!({"clusterIP": address, "clusterIPs": [address], "ports": [{"name": port, "port": 8080}]});
        self.put(SERVICES, namespace, name, json!({"spec": spec}));
    }

    /// An east-west gateway of a network.
    pub(crate) fn gateway(&self, network: &str, ingress: Value, port: u16) {
        let labels = json!({
            "topology.istio.io/network": network,
            "networking.istio.io/gatewayPort": port.to_string()
        });
        self.put(
            NAMESPACES,
            "",
            "istio-system",
            json!({"metadata": {"labels": {"topology.istio.io/network": network}}}),
        );
        let spec = json!({"clusterIP": "10.9.9.9", "clusterIPs": ["10.9.9.9"], "ports": [{"name": "tls", "port": port}]});
        let object = json!({
            "metadata": {"labels": labels},
            "spec": spec,
            "status": {"loadBalancer": {"ingress": [ingress]}}
        });
        self.put(SERVICES, "istio-system", "eastwest", object);
    }

    /// An east-west gateway of network-2 as a Gateway object.
    pub(crate) fn gateway_object(&self, address: &str) {
        let object = json!({
            "metadata": {"labels": {"topology.istio.io/network": "network-2"}},
            "spec": {
                "gatewayClassName": "istio",
                "addresses": [{"value": address}],
                "listeners": [{"name": "tls", "port": 15443, "protocol": "TLS", "tls": {"mode": "Passthrough"}}]
            }
        });
        self.put(GATEWAYS, "istio-system", "eastwest", object);
    }

    /// A remote secret with the kubeconfigs of clusters.
    pub(crate) fn secret(&self, name: &str, clusters: &[(&str, &str)]) {
        let data = clusters.iter();
        let data: serde_json::Map<String, Value> = data
            .map(|(cluster, kubeconfig)| ((*cluster).to_owned(), base64(kubeconfig).into()))
            .collect();
        let labels = json!({"istio/multiCluster": "true"});
        let object = json!({"metadata": {"labels": labels}, "data": data});
        self.put(SECRETS, "istio-system", name, object);
    }

    /// Adds or removes the CRDs of the Multi-Cluster Services API.
    pub(crate) fn offer_multicluster(&self, offered: bool) {
        self.change(|inner| {
            inner.multicluster = offered;
            inner.era += 1;
        });
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        self.change(|inner| {
            inner.fault = fault;
            inner.era += 1;
        });
    }

    /// Lets in only who shows this token from now on, and ends all watches.
    pub(crate) fn let_in(&self, token: &'static str) {
        self.change(|inner| {
            inner.token = Some(token);
            inner.era += 1;
        });
    }

    /// Ends all watches; those that go on from before now are told that their version is too old.
    pub(crate) fn expire(&self) {
        self.change(|inner| {
            inner.version += 1;
            inner.oldest = inner.version;
            inner.era += 1;
        });
    }

    /// Ends all watches.
    pub(crate) fn cut(&self) {
        self.change(|inner| inner.era += 1);
    }

    /// How many pages of lists were given.
    pub(crate) fn lists(&self) -> usize {
        self.world.lock().lists
    }

    /// As long as a resource is not defined, requests for it are not found.
    pub(crate) fn define(&self, resource: &str, defined: bool) {
        self.change(|inner| {
            if defined {
                inner.undefined.remove(resource);
            } else {
                inner.undefined.insert(resource.to_owned());
                inner.era += 1;
            }
        });
    }

    /// Refuses a resource with this status; `None`: gives it again. What is watched already goes on.
    pub(crate) fn refuse(&self, resource: &str, code: Option<StatusCode>) {
        self.change(|inner| {
            match code {
                Some(code) => inner.refused.insert(resource.to_owned(), code),
                None => inner.refused.remove(resource),
            };
        });
    }

    /// Waits until exactly these resources were asked for, by path.
    pub(crate) async fn is_asked_for(&self, resources: &[&str]) {
        let asked = || {
            let inner = self.world.lock();
            let all = inner.asked.keys();
            // Others tell what there is.
            let is_resource =
                |path: &&String| path.starts_with("/api/") || path.matches('/').count() > 3;
            all.filter(is_resource).cloned().collect::<Vec<_>>()
        };
        let begin = std::time::Instant::now();
        while asked() != resources {
            assert!(begin.elapsed() < PATIENCE, "{:?}", asked());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// How often a resource was asked for.
    pub(crate) fn asked(&self, resource: &str) -> usize {
        let inner = self.world.lock();
        inner.asked.get(resource).copied().unwrap_or_default()
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.world.lock());
        self.world.changed.send_replace(());
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.kill();
    }
}

impl World {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

pub(crate) fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    out
}
