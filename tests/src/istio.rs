//! Real Istio: istiod over a real API server, and a pod's sidecar, which pilot-agent starts and configures.
//!
//! ```text
//!  world (network namespace)                                pod (network namespace)
//!  etcd ◀── kube-apiserver ◀── istiod ◀── xDS, certificates ── pilot-agent ──▶ Envoy + filter
//!  test: clients, the module over HTTP ═══════ veth ═════ iptables ═══════════▶ Envoy ──▶ application
//! ```
//!
//! Nobody starts containers or injects sidecars: what kubelet and the injector would do, [`sidecar`] does. The Envoy is the
//! toolbox's own, which lacks Istio's filters (`istio.stats`, `istio.metadata_exchange`, `istio.alpn`): the mesh asks for none.

pub mod control_plane;
pub mod mesh;
pub mod network;
pub mod sidecar;
pub mod web;
