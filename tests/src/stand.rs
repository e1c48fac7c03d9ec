//! One server's sidecar with the filter, an application behind it, and nothing else: where verdicts are tested.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::access_log::Entry;
use crate::app::App;
use crate::block::Block;
use crate::curl::{Reply, Request};
use crate::names::{CATALOG, SERVICE_PORT};
use crate::pki::{Identity, Pki, Root};
use crate::plugin::{Plugin, write_discovery};
use crate::roles::server::{Server, Sidecar};
use crate::world::node;

/// What the application's answers begin with.
pub const SAYS: &str = "catalog v2 of mesh west";

/// The sidecar of `shop/catalog` in mesh west, running.
#[derive(Debug)]
pub struct Stand {
    /// The sidecar.
    pub sidecar: Sidecar,
    /// Who can sign certificates for it.
    pub pki: Pki,
    asked: AtomicU32,
    discovery: PathBuf,
    _application: App,
    folder: TempDir,
    _block: Block,
}

impl Stand {
    /// Starts it with this policy (JSON) in the bootstrap.
    pub async fn start(policy: &str) -> Result<Self> {
        Self::start_with(|_| Ok(Plugin::Given(policy.to_owned()))).await
    }

    /// Starts it with this policy (JSON) delivered by extension discovery; see [`Stand::deliver`].
    pub async fn start_discovering(policy: &str) -> Result<Self> {
        Self::start_with(|file| {
            write_discovery(file, "1", policy)?;
            Ok(Plugin::Discovered(file.to_path_buf()))
        })
        .await
    }

    async fn start_with(plugin: impl FnOnce(&Path) -> Result<Plugin>) -> Result<Self> {
        let block = Block::claim()?;
        let folder = tempfile::Builder::new()
            .prefix("crossmesh-")
            .tempdir()
            .context("a folder for files")?;
        let pki = Pki::create(&folder.path().join("pki"))?;
        let pod = block.at(40);
        let application = App::start(pod, SAYS)?;
        let discovery = folder.path().join("discovery.json");
        let server = Server {
            node: node("west", "shop", "catalog"),
            listen: SocketAddr::new(pod, SERVICE_PORT),
            identity: pki.sign(
                Root::West,
                "catalog",
                &["spiffe://bar.com/ns/shop/sa/catalog"],
            )?,
            application: application.address(),
            plugin: plugin(&discovery)?,
        };
        let sidecar = server.start(&folder.path().join("catalog")).await?;
        let asked = AtomicU32::new(0);
        Ok(Self {
            sidecar,
            pki,
            asked,
            discovery,
            _application: application,
            folder,
            _block: block,
        })
    }

    /// Delivers another policy (JSON) by extension discovery.
    pub fn deliver(&self, version: &str, policy: &str) -> Result<()> {
        write_discovery(&self.discovery, version, policy)
    }

    /// A folder for a test's own files, removed with everything else.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A GET of `path` over mutual TLS with this certificate, or in plaintext without one.
    pub fn request(&self, identity: Option<&Identity>, path: &str) -> Result<Request> {
        match identity {
            Some(identity) => Request::mutual_tls(CATALOG, self.sidecar.address, path, identity),
            None => Request::by_name(CATALOG, self.sidecar.address, path),
        }
    }

    /// Sends a request; its response, and its line in the sidecar's access log.
    pub async fn send(&self, request: Request) -> Result<(Reply, Entry)> {
        let id = self.asked.fetch_add(1, Ordering::Relaxed).to_string();
        let reply = request
            .header(&format!("x-request-id: {id}"))
            .send()
            .await?;
        Ok((reply, self.sidecar.access_log.entry(&id).await?))
    }
}
