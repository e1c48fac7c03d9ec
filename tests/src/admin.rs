//! Asking an admin port, Envoy's or the agent's.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The body of a GET; any status but 2xx is an error.
pub async fn get(admin: SocketAddr, path: &str) -> Result<String> {
    let stream = TcpStream::connect(admin)
        .await
        .with_context(|| format!("connecting to {admin}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header("host", admin.to_string())
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        if !status.is_success() {
            bail!("{admin}{path} answers {status}: {body}");
        }
        Ok(body)
    };
    tokio::select! {
        answer = exchange => answer,
        ended = connection => match ended {
            Ok(()) => bail!("{admin}{path}: the connection ended before the answer"),
            Err(error) => Err(error).with_context(|| format!("{admin}{path}")),
        },
    }
}
