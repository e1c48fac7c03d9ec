//! Where the mesh's proxies get the module from: one file over HTTP.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::background::Background;

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _server: Background,
}

impl Web {
    /// Starts one at a free port of `ip`: whatever it is asked for, it answers with this file.
    pub fn start(ip: IpAddr, file: &Path) -> Result<Self> {
        let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let listener =
            std::net::TcpListener::bind((ip, 0)).with_context(|| format!("a server at {ip}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let asked = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&asked);
        let bytes = Bytes::from(bytes);
        let server = Background::run("web", move || serve(listener, bytes, counts))?;
        Ok(Self {
            address,
            asked,
            _server: server,
        })
    }

    /// The file's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/filter.wasm", self.address)
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve(
    listener: std::net::TcpListener,
    bytes: Bytes,
    asked: Arc<AtomicUsize>,
) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let (bytes, asked) = (bytes.clone(), Arc::clone(&asked));
                connections.spawn(async move {
                    let service = service_fn(move |_: Request<Incoming>| {
                        asked.fetch_add(1, Ordering::SeqCst);
                        let response = Response::new(Full::new(bytes.clone()));
                        async move { Ok::<_, Infallible>(response) }
                    });
                    // A connection that breaks is its client's affair.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
