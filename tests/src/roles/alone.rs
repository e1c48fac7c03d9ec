//! One Envoy with whatever listeners a test gives it, and the place where it runs.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::access_log::AccessLog;
use crate::block::Block;
use crate::envoy::{Envoy, Setup};
use crate::pki::Pki;

/// Addresses, files and certificates of one test.
#[derive(Debug)]
pub struct Site {
    /// Who can sign certificates.
    pub pki: Pki,
    /// What the listeners write into.
    pub access_log: AccessLog,
    folder: TempDir,
    block: Block,
}

impl Site {
    /// One that nothing else uses.
    pub fn claim() -> Result<Self> {
        let block = Block::claim()?;
        let folder = tempfile::Builder::new()
            .prefix("crossmesh-")
            .tempdir()
            .context("a folder for files")?;
        Ok(Self {
            pki: Pki::create(&folder.path().join("pki"))?,
            access_log: AccessLog::at(folder.path().join("access.log")),
            folder,
            block,
        })
    }

    /// The address of everything here.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.block.at(40)
    }

    /// A place to listen.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(), port)
    }

    /// A folder for a test's own files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts an Envoy here.
    pub async fn start(&self, name: &str, setup: &Setup) -> Result<Envoy> {
        Envoy::start(name, &self.folder().join(name), self.ip(), setup).await
    }
}
