//! Writing into a cluster's store what its API server would have written: many objects at once, which by way of the API take
//! minutes. The API server sees them come as it sees those that another one writes.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// Objects in a transaction; etcd takes 128.
const AT_ONCE: usize = 100;

/// Writes objects below their keys, in this order. Each is as the API server keeps it, in JSON, which it reads too.
pub(super) async fn put_all(etcd: SocketAddr, objects: &[(String, Value)]) -> Result<()> {
    let stream = TcpStream::connect(etcd)
        .await
        .with_context(|| format!("connecting to etcd at {etcd}"))?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let writing = async move {
        for some in objects.chunks(AT_ONCE) {
            put(&mut sender, etcd, some).await?;
        }
        // The sender goes with this, and without one the connection ends.
        Ok(())
    };
    let (written, ended) = tokio::join!(writing, connection);
    written.and_then(|()| Ok(ended?))
}

async fn put(
    sender: &mut SendRequest<Full<Bytes>>,
    etcd: SocketAddr,
    objects: &[(String, Value)],
) -> Result<()> {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let puts = objects.iter().map(|(key, object)| {
        json!({"requestPut": {"key": bytes(key), "value": bytes(&object.to_string())}})
    });
    let body = json!({"success": puts.collect::<Vec<_>>()}).to_string();
    let request = Request::post("/v3/kv/txn")
        .header("host", etcd.to_string())
        .body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let body = String::from_utf8_lossy(&body);
    ensure!(status.is_success(), "etcd answers {status}: {body}");
    Ok(())
}
