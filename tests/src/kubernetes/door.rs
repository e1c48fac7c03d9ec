//! An east-west gateway as a prober sees it: a port that accepts connections, or does not.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::TcpListener;

use crate::background::Background;

/// An open port. Dropping it closes it: connections are refused from then on.
#[derive(Debug)]
pub struct Door {
    _server: Background,
}

impl Door {
    /// Opens it.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let listener = std::net::TcpListener::bind(address)
            .with_context(|| format!("a gateway at {address}"))?;
        listener.set_nonblocking(true)?;
        let server = Background::run("gateway", move || async {
            let listener = TcpListener::from_std(listener)?;
            loop {
                listener.accept().await?;
            }
        })?;
        Ok(Self { _server: server })
    }
}
