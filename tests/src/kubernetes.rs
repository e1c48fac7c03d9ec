//! Real clusters without machines: etcd and kube-apiserver on loopback, CoreDNS as the cluster's own DNS.
//!
//! Nothing here runs a container, so nobody makes what controllers make: a test writes EndpointSlices itself, patches the
//! addresses of a LoadBalancer, and scales a service by writing its slice. The rest is as in any cluster: objects are
//! validated, addresses allotted, watches served.

pub mod account;
pub mod alone;
pub mod api_server;
pub mod audit;
pub mod authority;
pub mod chart;
pub mod clusters;
pub mod coredns;
pub mod definition;
pub mod door;
mod etcd;
pub mod kubeconfig;
pub mod objects;
pub mod port;
pub mod relay;
pub mod streams;
pub mod witness;

pub(crate) use kubeconfig::base64;
