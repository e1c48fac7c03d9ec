//! An application that speaks bytes, not HTTP: it greets if it is told to, and says back what it hears.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::background::Background;

/// A running application. Dropping it stops it.
#[derive(Debug)]
pub struct Speaker {
    address: SocketAddr,
    heard: Arc<AtomicUsize>,
    _server: Background,
}

impl Speaker {
    /// Starts one at a free port of `ip`. With a greeting it speaks first.
    pub fn start(ip: IpAddr, greeting: Option<&'static str>) -> Result<Self> {
        Self::start_at(SocketAddr::new(ip, 0), greeting)
    }

    /// As [`Speaker::start`], at this address.
    pub fn start_at(address: SocketAddr, greeting: Option<&'static str>) -> Result<Self> {
        let listener = std::net::TcpListener::bind(address)
            .with_context(|| format!("an application at {address}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let heard = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&heard);
        let server = Background::run("speaker", move || serve(listener, greeting, counts))?;
        Ok(Self {
            address,
            heard,
            _server: server,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes have reached it.
    #[must_use]
    pub fn heard(&self) -> usize {
        self.heard.load(Ordering::SeqCst)
    }
}

async fn serve(
    listener: std::net::TcpListener,
    greeting: Option<&'static str>,
    heard: Arc<AtomicUsize>,
) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let heard = Arc::clone(&heard);
                // A connection that breaks is its client's affair; the tests look at what the client got.
                connections.spawn(async move { speak(stream, greeting, &heard).await.ok() });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn speak(
    mut stream: TcpStream,
    greeting: Option<&str>,
    heard: &AtomicUsize,
) -> std::io::Result<()> {
    stream
        .write_all(greeting.unwrap_or_default().as_bytes())
        .await?;
    let mut buffer = [0; 1024];
    loop {
        let size = stream.read(&mut buffer).await?;
        if size == 0 {
            return Ok(());
        }
        heard.fetch_add(size, Ordering::SeqCst);
        stream.write_all(&buffer[..size]).await?;
    }
}
