//! The attributes that are read.
//! <https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/advanced/attributes>

/// An attribute's path, its components joined by NUL as the ABI wants them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute(pub(super) &'static str);

impl Attribute {
    /// The SHA-256 of the client's certificate, as 64 hexadecimal digits. Absent without one.
    ///
    /// Not before the handshake: Envoy 1.33 and 1.34 keep for the whole connection that there was none then
    /// (<https://github.com/envoyproxy/envoy/issues/40137>).
    pub(crate) const PEER_DIGEST: Self = Self("connection\0sha256_peer_certificate_digest");
    /// The client's certificate as PEM. Likewise.
    pub(crate) const PEER_CERTIFICATE: Self = Self("connection\0peer_certificate");
    /// Whether the client presented a certificate. One byte. Before the handshake it has not; but it may have before it has shown
    /// that the certificate is its own (seen with TLS 1.2), which it has when its bytes are there.
    pub(crate) const MTLS: Self = Self("connection\0mtls");
    /// The version of TLS. Text; absent where this proxy does not terminate TLS, present even before the handshake.
    pub(crate) const TLS_VERSION: Self = Self("connection\0tls_version");
    /// The TLS server name that the client asked for. Bytes; absent unless Envoy inspected the TLS hello.
    pub(crate) const SNI: Self = Self("connection\0requested_server_name");
    /// Whom the tunnel of an internal listener (HBONE) carries, as Istio's filters say. Bytes.
    pub(crate) const TUNNELLED_PRINCIPAL: Self = Self("filter_state\0io.istio.peer_principal");
    /// Whom the tunnel was asked to reach, as Istio's filters tell an internal listener. Text.
    pub(crate) const TUNNELLED_DESTINATION: Self =
        Self("filter_state\0envoy.filters.listener.original_dst.local_ip");
    /// What the client connected to: address and port, or `envoy://` and an internal listener's name. Text.
    pub(crate) const DESTINATION_ADDRESS: Self = Self("destination\0address");
    /// The direct peer's address and port. Text.
    pub(crate) const SOURCE_ADDRESS: Self = Self("source\0address");
    /// The workload's port. 64 bits.
    pub(crate) const DESTINATION_PORT: Self = Self("destination\0port");
    /// 0 unspecified, 1 inbound, 2 outbound. 64 bits.
    pub(crate) const LISTENER_DIRECTION: Self = Self("xds\0listener_direction");
    /// The first URI SAN of the server's certificate. Bytes; absent before there is a connection to it, and without one.
    pub(crate) const UPSTREAM_URI_SAN: Self = Self("upstream\0uri_san_peer_certificate");
    /// The version of TLS with the server. Text; absent without TLS.
    pub(crate) const UPSTREAM_TLS_VERSION: Self = Self("upstream\0tls_version");
    /// The server's address and port. Text; absent before one was chosen.
    pub(crate) const UPSTREAM_ADDRESS: Self = Self("upstream\0address");
    /// What was received of the request, in bytes. 64 bits.
    pub(crate) const REQUEST_SIZE: Self = Self("request\0total_size");
    /// What was sent of the response, in bytes. 64 bits.
    pub(crate) const RESPONSE_SIZE: Self = Self("response\0total_size");
    /// From a request's first byte to its end, in nanoseconds. 64 bits; absent before.
    pub(crate) const REQUEST_DURATION: Self = Self("request\0duration");
    /// The plugin's name in Envoy's configuration. Bytes.
    pub(crate) const PLUGIN_NAME: Self = Self("plugin_name");
    /// The plugin's root ID in Envoy's configuration. Bytes.
    pub(crate) const PLUGIN_ROOT_ID: Self = Self("plugin_root_id");
    /// This proxy's ID; Istio begins it with what the proxy is (`sidecar~`, `router~`). Text.
    pub(crate) const NODE_ID: Self = Self("xds\0node\0id");
    /// This proxy's mesh. Text.
    pub(crate) const NODE_MESH_ID: Self = Self("xds\0node\0metadata\0MESH_ID");
    /// This proxy's Kubernetes namespace. Text.
    pub(crate) const NODE_NAMESPACE: Self = Self("xds\0node\0metadata\0NAMESPACE");
    /// This proxy's workload, without the namespace. Text.
    pub(crate) const NODE_WORKLOAD_NAME: Self = Self("xds\0node\0metadata\0WORKLOAD_NAME");
    /// This proxy's labels. A map.
    pub(crate) const NODE_LABELS: Self = Self("xds\0node\0metadata\0LABELS");
}
