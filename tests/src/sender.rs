//! Requests on one connection, over HTTP/1.1 or HTTP/2: what the benchmark, the soak and callers send.

use std::convert::Infallible;
use std::pin::Pin;

use anyhow::Result;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::http::request::Builder;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};

/// Which HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Protocol {
    /// Many requests at once on each connection.
    #[serde(rename = "HTTP/2")]
    Http2,
    /// One request at a time on each.
    #[serde(rename = "HTTP/1.1")]
    Http1,
}

impl Protocol {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Http2, Self::Http1];

    /// A GET, as this protocol names host and path.
    pub(crate) fn get(self, scheme: &str, host: &str, path: &str) -> Builder {
        match self {
            Self::Http2 => Request::get(format!("{scheme}://{host}{path}")),
            Self::Http1 => Request::get(path).header("host", host),
        }
    }
}

/// What sends on a connection; requests without a body, if nothing else is said.
#[derive(Debug)]
pub(crate) enum Sender<B = Empty<Bytes>> {
    Http1(http1::SendRequest<B>),
    Http2(http2::SendRequest<B>),
}

/// The connection: it must run as long as something is sent. That it breaks shows in the requests.
pub(crate) type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<B> Sender<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    /// Begins to speak on a stream.
    pub(crate) async fn begin<S>(protocol: Protocol, stream: S) -> Result<(Self, Connection)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        Ok(match protocol {
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                let connection = async {
                    let _ = connection.await;
                };
                (Self::Http2(sender), Box::pin(connection))
            }
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                let connection = async {
                    let _ = connection.await;
                };
                (Self::Http1(sender), Box::pin(connection))
            }
        })
    }

    /// One request; its answer, as soon as the headers are there.
    pub(crate) async fn exchange(&mut self, request: Request<B>) -> Result<Response<Incoming>> {
        Ok(match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        })
    }

    /// One request and its whole answer; the status.
    pub(crate) async fn send(&mut self, request: Request<B>) -> Result<StatusCode> {
        let answer = self.exchange(request).await?;
        let status = answer.status();
        answer.into_body().collect().await?;
        Ok(status)
    }
}
