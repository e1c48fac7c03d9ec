//! One control plane at addresses of its own, and nothing around it.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use tempfile::TempDir;

use super::api_server::{ApiServer, Setup};
use super::objects::{self, Objects};
use crate::block::Block;

/// A cluster as somebody with all rights sees it. The fields are in the order in which they are to end.
pub struct Alone {
    /// Its objects.
    pub objects: Objects,
    /// Its control plane.
    pub api: ApiServer,
    folder: TempDir,
    block: Block,
}

impl Alone {
    /// Starts it, with these namespaces.
    pub async fn start(namespaces: &[&str]) -> Result<Self> {
        let block = Block::claim()?;
        let folder = tempfile::Builder::new()
            .prefix("crossmesh-")
            .tempdir()
            .context("a folder for files")?;
        let setup = Setup {
            name: "cluster-1",
            address: block.at(2),
            service_range: "10.96.0.0/16".to_owned(),
        };
        let api = ApiServer::start(&folder.path().join("api"), &setup).await?;
        let objects = api.objects().await?;
        for name in namespaces {
            objects.apply(&objects::namespace(name, &json!({}))).await?;
        }
        Ok(Self {
            objects,
            api,
            folder,
            block,
        })
    }

    /// A folder for a test's own files, removed with everything else.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// An address for parts that a test adds; the second is the cluster's.
    #[must_use]
    pub fn other(&self, host: u8) -> IpAddr {
        self.block.at(host)
    }
}

impl fmt::Debug for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alone")
            .field("api", &self.api)
            .finish_non_exhaustive()
    }
}
