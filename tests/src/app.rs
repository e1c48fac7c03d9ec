//! The application behind a sidecar: it says who it is and what it was asked.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::background::Background;
use crate::grpc;

/// A running application. Dropping it stops it.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    _server: Background,
}

impl App {
    /// Starts one at a free port of `ip`. Every response begins with the line `says`; the lines
    /// after it are the request line and the headers as they arrived. A gRPC call is answered with the same as a message.
    pub fn start(ip: IpAddr, says: &str) -> Result<Self> {
        Self::start_at(SocketAddr::new(ip, 0), says)
    }

    /// As [`App::start`], at this address.
    pub fn start_at(address: SocketAddr, says: &str) -> Result<Self> {
        let listener = std::net::TcpListener::bind(address)
            .with_context(|| format!("an application at {address}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let says = says.to_owned();
        let server = Background::run(&says.clone(), move || serve(listener, says))?;
        Ok(Self {
            address,
            _server: server,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: std::net::TcpListener, says: String) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let says = says.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let response = answer(&says, &request);
                        async move { Ok::<_, Infallible>(response) }
                    });
                    // A connection that breaks is its client's affair; the tests look at what the client got.
                    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

fn answer(says: &str, request: &Request<Incoming>) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let text = echo(says, request);
    if grpc::is_call(request.headers()) {
        grpc::answer(text.as_bytes())
    } else {
        Response::new(Full::new(Bytes::from(text)).boxed_unsync())
    }
}

fn echo(says: &str, request: &Request<Incoming>) -> String {
    let mut text = format!("{says}\n{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        let _ = writeln!(text, "{name}: {}", value.as_bytes().escape_ascii());
    }
    text
}
