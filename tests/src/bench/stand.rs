//! What is measured: one Envoy, a server's sidecar that answers by itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::modules::Modules;
use super::variant::Variant;
use crate::block::Block;
use crate::envoy::{Envoy, Setup};
use crate::names::SERVICE_PORT;
use crate::pki::{Pki, Root};
use crate::world::node;

/// An Envoy with a listener for each variant.
pub(super) struct Stand {
    pub(super) envoy: Envoy,
    /// From its start until it was ready.
    pub(super) ready: Duration,
    pub(super) pki: Pki,
    pub(super) listeners: Vec<(Variant, SocketAddr)>,
    _folder: TempDir,
    _block: Block,
}

impl Stand {
    /// Starts it with so many workers.
    pub(super) async fn start(variants: &[Variant], most: usize, workers: usize) -> Result<Self> {
        let block = Block::claim()?;
        let folder = tempfile::Builder::new()
            .prefix("crossmesh-bench-")
            .tempdir()
            .context("a folder for files")?;
        let pki = Pki::create(&folder.path().join("pki"))?;
        let server = pki.sign(
            Root::West,
            "server",
            &["spiffe://bar.com/ns/shop/sa/catalog"],
        )?;
        let modules = Modules::write(folder.path())?;
        let address = |host| SocketAddr::new(block.at(host), SERVICE_PORT);
        let listeners: Vec<_> = variants.iter().copied().zip((10..).map(address)).collect();
        let setup = Setup {
            node: node("west", "shop", "catalog"),
            listeners: listeners
                .iter()
                .map(|(variant, address)| variant.listener(*address, &server, most, &modules))
                .collect::<Result<_>>()?,
            clusters: Vec::new(),
        };
        let envoy = folder.path().join("envoy");
        let begun = Instant::now();
        let envoy = Envoy::start_with(
            "the Envoy that is measured",
            &envoy,
            block.at(1),
            &setup,
            workers,
        )
        .await?;
        Ok(Self {
            envoy,
            ready: begun.elapsed(),
            pki,
            listeners,
            _folder: folder,
            _block: block,
        })
    }
}
