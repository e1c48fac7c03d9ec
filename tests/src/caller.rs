//! Somebody who calls a server over any protocol, with a certificate or in plaintext, and reads what comes of it to the end.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Builder;
use hyper::{HeaderMap, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::grpc;
use crate::pki::Identity;
use crate::process::PATIENCE;
use crate::sender::{Protocol, Sender};
use crate::tls;

/// Who calls, and where.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The server's sidecar.
    pub to: SocketAddr,
    /// The certificate that is shown; in plaintext without one.
    pub identity: Option<Identity>,
}

/// An HTTP request without a body.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Such as `GET`.
    pub method: &'a str,
    /// As in `Host`, perhaps with a port.
    pub host: &'a str,
    /// It goes out as it stands here.
    pub path: &'a str,
    /// Names and values.
    pub headers: &'a [(&'a str, &'a str)],
}

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP that it came in, such as `HTTP/2.0`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Caller {
    /// A request over HTTP/1.1.
    pub async fn http1(&self, request: &Request<'_>) -> Result<Answer> {
        self.send(Protocol::Http1, request).await
    }

    /// Likewise over HTTP/2.
    pub async fn http2(&self, request: &Request<'_>) -> Result<Answer> {
        self.send(Protocol::Http2, request).await
    }

    /// A request over HTTP/1.1 from a sidecar of Istio, which says by ALPN that it is one.
    pub async fn istio(&self, request: &Request<'_>) -> Result<Answer> {
        let alpn = ["istio-http/1.1", "istio", "http/1.1"];
        self.http1_by(&alpn, request).await
    }

    /// A request over HTTP/1.1 from somebody whose TLS hello names the host, and offers these protocols (ALPN).
    pub async fn http1_by(&self, alpn: &[&str], request: &Request<'_>) -> Result<Answer> {
        let alpn: Vec<&[u8]> = alpn.iter().map(|name| name.as_bytes()).collect();
        let stream = self.connect_to(request.host, &alpn).await?;
        self.send_over(stream, Protocol::Http1, request).await
    }

    async fn send(&self, protocol: Protocol, request: &Request<'_>) -> Result<Answer> {
        let alpn: &[u8] = match protocol {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 => b"h2",
        };
        let stream = self.connect(&[alpn]).await?;
        self.send_over(stream, protocol, request).await
    }

    async fn send_over(
        &self,
        stream: Box<dyn Stream>,
        protocol: Protocol,
        request: &Request<'_>,
    ) -> Result<Answer> {
        let builder = protocol.get(self.scheme(), request.host, request.path);
        let builder = builder.method(request.method);
        let read = async |answer: Response<Incoming>| {
            let (head, body) = answer.into_parts();
            Ok(Answer {
                version: format!("{:?}", head.version),
                status: head.status.as_u16(),
                headers: head.headers,
                body: String::from_utf8(body.collect().await?.to_bytes().into())?,
            })
        };
        self.ask(
            stream,
            protocol,
            builder,
            (request.headers, Bytes::new()),
            read,
        )
        .await
    }

    /// A gRPC call of a method, such as `/shop.Catalog/Read`, with a message.
    pub async fn grpc(
        &self,
        host: &str,
        method: &str,
        message: &str,
        headers: &[(&str, &str)],
    ) -> Result<grpc::Outcome> {
        let request = Protocol::Http2
            .get(self.scheme(), host, method)
            .method("POST")
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let body = grpc::frame(message.as_bytes())?;
        let stream = self.connect(&[b"h2"]).await?;
        self.ask(
            stream,
            Protocol::Http2,
            request,
            (headers, body),
            grpc::outcome,
        )
        .await
    }

    /// Says something over TCP; what comes back until there is as much of it, or until the end.
    pub async fn say(&self, words: &str) -> Result<String> {
        let mut stream = self.connect(&[]).await?;
        // What cannot be written any more is not answered either.
        let _ = stream.write_all(words.as_bytes()).await;
        let _ = stream.flush().await;
        let mut answer = Vec::new();
        let read = async {
            let mut buffer = [0; 1024];
            while answer.len() < words.len() {
                match stream.read(&mut buffer).await {
                    // A reset is an end too.
                    Ok(0) | Err(_) => break,
                    Ok(size) => answer.extend_from_slice(&buffer[..size]),
                }
            }
        };
        timeout(PATIENCE, read)
            .await
            .context("neither an answer nor the end")?;
        Ok(String::from_utf8(answer)?)
    }

    /// What comes first over TCP, so many bytes of it or what there is until the end, to a sidecar of Istio that says nothing.
    pub async fn greeted(&self, size: usize) -> Result<String> {
        let mut stream = self.connect(&[b"istio"]).await?;
        let mut greeting = vec![0; size];
        let mut read = 0;
        while read < size {
            match timeout(PATIENCE, stream.read(&mut greeting[read..])).await {
                Err(_) => anyhow::bail!("neither a greeting nor the end"),
                // A reset is an end too.
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(more)) => read += more,
            }
        }
        greeting.truncate(read);
        Ok(String::from_utf8(greeting)?)
    }

    async fn ask<T>(
        &self,
        stream: Box<dyn Stream>,
        protocol: Protocol,
        mut request: Builder,
        (headers, body): (&[(&str, &str)], Bytes),
        read: impl AsyncFnOnce(Response<Incoming>) -> Result<T>,
    ) -> Result<T> {
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        let (mut sender, connection) = Sender::begin(protocol, stream).await?;
        // The sender goes with the exchange, and without one the connection ends.
        let exchange = async move { read(sender.exchange(request).await?).await };
        let both = async { tokio::join!(exchange, connection).0 };
        timeout(PATIENCE, both).await.context("no whole answer")?
    }

    /// A connection; its TLS hello names no server.
    async fn connect(&self, alpn: &[&[u8]]) -> Result<Box<dyn Stream>> {
        self.connect_to(&self.to.ip().to_string(), alpn).await
    }

    async fn connect_to(&self, server: &str, alpn: &[&[u8]]) -> Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(self.to)
            .await
            .with_context(|| format!("connecting to {}", self.to))?;
        let Some(identity) = &self.identity else {
            return Ok(Box::new(stream));
        };
        let mut config = tls::client(identity)?;
        Arc::make_mut(&mut config).alpn_protocols =
            alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from(server.to_owned())?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        let stream = stream.with_context(|| format!("TLS with {}", self.to))?;
        Ok(Box::new(stream))
    }

    fn scheme(&self) -> &'static str {
        if self.identity.is_some() {
            "https"
        } else {
            "http"
        }
    }
}
