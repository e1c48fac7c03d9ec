//! A control plane: what Istio's is to Envoy, of which it delivers the configurations of two extensions over a stream of gRPC
//! (ADS), and hears whether they were taken.
//!
//! <https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol>, the state-of-the-world variant.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::Mutex;

use anyhow::{Context, Result};
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::background::Background;
use crate::grpc;
use crate::plugin::extensions;
use crate::process::PATIENCE;
use crate::roles::cluster;
use messages::{DiscoveryRequest, DiscoveryResponse};

mod messages;

/// The cluster of Envoy by which it reaches the control plane.
const CLUSTER: &str = "control-plane";

/// A running control plane. Dropping it stops it.
#[derive(Debug)]
pub struct ControlPlane {
    address: SocketAddr,
    current: watch::Sender<DiscoveryResponse>,
    heard: Heard,
    _server: Background,
}

/// What Envoy answered, in order.
type Heard = Arc<Mutex<Vec<DiscoveryRequest>>>;

/// What Envoy made of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It took it (ACK).
    Taken,
    /// It refused it (NACK), and says this.
    Refused(String),
}

impl ControlPlane {
    /// Starts one at a free port of `ip`, which delivers HTTP filter and network filter with this policy (JSON) as
    /// its first version.
    pub fn start(ip: IpAddr, version: &str, policy: &str) -> Result<Self> {
        let listener =
            std::net::TcpListener::bind((ip, 0)).with_context(|| format!("xDS at {ip}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (current, follows) = watch::channel(delivery(version, policy)?);
        let heard = Heard::default();
        let hears = Arc::clone(&heard);
        let server = Background::run("control plane", move || serve(listener, follows, hears))?;
        Ok(Self {
            address,
            current,
            heard,
            _server: server,
        })
    }

    /// Tells an Envoy of it, in its bootstrap.
    pub fn serve_to(&self, bootstrap: &mut Value) {
        let mut own = cluster(CLUSTER, self.address);
        own["typed_extension_protocol_options"] = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        });
        if let Some(clusters) = bootstrap["static_resources"]["clusters"].as_array_mut() {
            clusters.push(own);
        }
        bootstrap["dynamic_resources"]["ads_config"] = json!({
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": CLUSTER}}],
        });
    }

    /// Delivers another policy (JSON).
    pub fn deliver(&self, version: &str, policy: &str) -> Result<()> {
        self.current.send_replace(delivery(version, policy)?);
        Ok(())
    }

    /// What Envoy made of a version, once it has said so.
    pub async fn answer(&self, version: &str) -> Result<Answer> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(request) = self.said_of(version) {
                return Ok(request
                    .error_detail
                    .map_or(Answer::Taken, |error| Answer::Refused(error.message)));
            }
            sleep(std::time::Duration::from_millis(5)).await;
        }
        anyhow::bail!("Envoy says nothing of version {version}")
    }

    fn said_of(&self, version: &str) -> Option<DiscoveryRequest> {
        let heard = self.heard.lock().ok()?;
        let of_version = |request: &&DiscoveryRequest| request.response_nonce == version;
        heard.iter().find(of_version).cloned()
    }
}

/// The nonce, which tells what an answer is about, is the version.
fn delivery(version: &str, policy: &str) -> Result<DiscoveryResponse> {
    let extensions = extensions(policy)?.into_iter();
    let resources = extensions.map(|(name, filter)| messages::extension(name, filter));
    Ok(DiscoveryResponse {
        version_info: version.to_owned(),
        resources: resources.collect::<Result<_>>()?,
        type_url: messages::EXTENSION.to_owned(),
        nonce: version.to_owned(),
    })
}

async fn serve(
    listener: std::net::TcpListener,
    current: watch::Receiver<DiscoveryResponse>,
    heard: Heard,
) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let (current, heard) = (current.clone(), Arc::clone(&heard));
        connections.spawn(async move {
            let streams = Mutex::new(JoinSet::new());
            let service = service_fn(|request: hyper::Request<Incoming>| {
                let (answers, body) = Channel::<Bytes>::new(16);
                let stream = talk(
                    request.into_body(),
                    answers,
                    current.clone(),
                    Arc::clone(&heard),
                );
                if let Ok(mut streams) = streams.lock() {
                    streams.spawn(async { stream.await.ok() });
                }
                let mut response = Response::new(body);
                let content = HeaderValue::from_static("application/grpc");
                response.headers_mut().insert(CONTENT_TYPE, content);
                async { Ok::<_, std::convert::Infallible>(response) }
            });
            // A connection that breaks is Envoy's affair; the tests look at what it does.
            let _ = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// One stream: what is current goes out when it is asked for, and again whenever it changes.
async fn talk(
    mut requests: Incoming,
    mut answers: Sender<Bytes>,
    mut current: watch::Receiver<DiscoveryResponse>,
    heard: Heard,
) -> Result<()> {
    let (mut bytes, mut subscribed) = (Vec::new(), false);
    loop {
        tokio::select! {
            frame = requests.frame() => {
                let Some(frame) = frame else {
                    return Ok(());
                };
                bytes.extend_from_slice(frame?.data_ref().map_or(&[], |data| data));
            }
            changed = current.changed(), if subscribed => {
                changed?;
                let delivery = current.borrow_and_update().encode_to_vec();
                answers.send_data(grpc::frame(&delivery)?).await?;
            }
        }
        while let Some(message) = grpc::take_frame(&mut bytes)? {
            let request = DiscoveryRequest::decode(&*message)?;
            if request.type_url != messages::EXTENSION {
                continue;
            }
            if request.response_nonce.is_empty() {
                subscribed = true;
                current.mark_changed();
            } else if let Ok(mut heard) = heard.lock() {
                heard.push(request);
            }
        }
    }
}
