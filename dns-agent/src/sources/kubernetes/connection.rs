//! The HTTP client with which an API server is asked. Many watches share one connection of it, over HTTP/2, and one that is
//! dead without anybody having said so is noticed: a server, or a network, that vanishes sends no end.

use std::time::Duration;

use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kube::{
    Client, Config, Error,
    client::{Body, ClientBuilder, ConfigExt as _, RustlsTlsError},
};
use tower::{BoxError, ServiceBuilder, util::MapRequestLayer};

use super::token_file::TokenFile;

/// How long a connection may take to be made, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection may be silent before the other side is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(10);
/// And how long it may take to say so. A server that is busy is slow with its answers, but not with this one.
const ANSWER: Duration = Duration::from_secs(5);
/// Between the kernel's own questions, where the server does not speak HTTP/2.
const PROBE: Duration = Duration::from_secs(2);

/// A client, which has not connected yet. Requests are signed with the token in a file, if there is one.
pub(super) fn client(config: &Config, token_file: Option<TokenFile>) -> Result<Client, Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(QUIET));
    tcp.set_keepalive_interval(Some(PROBE));
    // What was sent and is not acknowledged ends the connection after the same time.
    tcp.set_tcp_user_timeout(Some(QUIET + ANSWER));
    let mut tls = HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?)
        .https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = name.clone().try_into();
        let name = name.map_err(RustlsTlsError::InvalidServerName);
        let name = FixedServerNameResolver::new(name.map_err(Error::RustlsTls)?);
        tls = tls.with_server_name_resolver(name);
    }
    let mut connector =
        TimeoutConnector::new(tls.enable_http1().enable_http2().wrap_connector(tcp));
    connector.set_connect_timeout(Some(CONNECT));
    let client: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        // PING frames (RFC 9113 §6.7): also a process that hangs is noticed, whose kernel goes on answering for it.
        .http2_keep_alive_interval(QUIET)
        .http2_keep_alive_timeout(ANSWER)
        .http2_keep_alive_while_idle(true)
        .build(connector);
    let sign = token_file.map(|file| MapRequestLayer::new(move |request| file.sign(request)));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(sign)
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(ClientBuilder::new(service, &*config.default_namespace).build())
}
