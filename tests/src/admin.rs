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
    // The sender goes with the exchange, and without one the connection ends.
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        if !status.is_success() {
            bail!("{admin}{path} answers {status}: {body}");
        }
        Ok(body)
    };
    // A server that closes behind its answer ends the connection before the answer is taken from it: wait for both.
    let (answer, ended) = tokio::join!(exchange, connection);
    match (answer, ended) {
        (Ok(answer), _) => Ok(answer),
        (Err(error), Ok(())) => Err(error),
        (Err(_), Err(error)) => Err(error).with_context(|| format!("{admin}{path}")),
    }
}
