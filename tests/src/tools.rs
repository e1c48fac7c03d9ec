//! Where the real parts are: absolute paths in environment variables, set by `cargo xtask`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A real part that somebody else has installed or built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The Envoy proxy.
    Envoy,
    /// The filter, built for WebAssembly.
    Wasm,
    /// The binary `crossmesh-dns-agent`.
    DnsAgent,
    /// The binary `crossmesh`.
    Cli,
    /// The engine by itself, with a watch: `policy/examples/decide.rs`.
    Decide,
    /// BIND's dig.
    Dig,
    /// curl, with HTTP/2.
    Curl,
    /// iproute2's ip.
    Ip,
    /// What API servers keep their objects in.
    Etcd,
    /// Kubernetes' API server.
    KubeApiserver,
    /// The DNS server of clusters.
    CoreDns,
    /// Gives a process a clock of its own.
    Faketime,
    /// The C compiler with musl, the libc of small images.
    MuslGcc,
    /// Istio's CustomResourceDefinitions.
    IstioCrds,
    /// The renderer of charts.
    Helm,
    /// Istio's control plane.
    Istiod,
    /// What starts Istio's proxies.
    PilotAgent,
    /// From what it makes their bootstrap.
    IstioBootstrap,
    /// Leads traffic elsewhere.
    Iptables,
}

impl Tool {
    /// Those that the demo needs.
    pub const OF_THE_DEMO: [Self; 6] = [
        Self::Envoy,
        Self::Wasm,
        Self::DnsAgent,
        Self::Cli,
        Self::Dig,
        Self::Curl,
    ];

    /// The environment variable that holds its path.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::Envoy => "CROSSMESH_ENVOY",
            Self::Wasm => "CROSSMESH_WASM",
            Self::DnsAgent => "CROSSMESH_DNS_AGENT",
            Self::Cli => "CROSSMESH_CLI",
            Self::Decide => "CROSSMESH_DECIDE",
            Self::Dig => "CROSSMESH_DIG",
            Self::Curl => "CROSSMESH_CURL",
            Self::Ip => "CROSSMESH_IP",
            Self::Etcd => "CROSSMESH_ETCD",
            Self::KubeApiserver => "CROSSMESH_KUBE_APISERVER",
            Self::CoreDns => "CROSSMESH_COREDNS",
            Self::Faketime => "CROSSMESH_FAKETIME",
            Self::MuslGcc => "CROSSMESH_MUSL_GCC",
            Self::IstioCrds => "CROSSMESH_ISTIO_CRDS",
            Self::Helm => "CROSSMESH_HELM",
            Self::Istiod => "CROSSMESH_ISTIOD",
            Self::PilotAgent => "CROSSMESH_PILOT_AGENT",
            Self::IstioBootstrap => "CROSSMESH_ISTIO_BOOTSTRAP",
            Self::Iptables => "CROSSMESH_IPTABLES",
        }
    }

    /// Its path; an error says which variable is missing and which command sets it.
    pub fn path(self) -> Result<PathBuf> {
        let variable = self.variable();
        let Some(path) = std::env::var_os(variable) else {
            bail!(
                "{variable} is not set: run `cargo xtask test` (or `cargo xtask demo`), which sets it"
            );
        };
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!(
                "{variable} names {}, which is not a file: run `cargo xtask test` (or `cargo xtask demo`), which sets it",
                path.display()
            );
        }
        Ok(path)
    }
}

/// The checkout, found from where this package was built.
pub fn workspace() -> Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package
        .parent()
        .with_context(|| format!("{} has no parent folder", package.display()))?;
    Ok(root.to_path_buf())
}
