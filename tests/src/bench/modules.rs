//! Modules to compare with, as small as they can be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The modules' files.
#[derive(Debug)]
pub(super) struct Modules {
    /// Is called as the filter is, and does nothing.
    pub(super) noop: PathBuf,
    /// Has Envoy make one callback, and asks in it for the least that a decision needs.
    pub(super) least: PathBuf,
    /// Asks Envoy for all that the filter asks for, and does nothing with it.
    pub(super) calls: PathBuf,
}

impl Modules {
    /// Writes them into this folder.
    pub(super) fn write(folder: &Path) -> Result<Self> {
        let module = |name: &str, text: &str| {
            let file = folder.join(name);
            fs::write(&file, wat::parse_str(text)?)
                .with_context(|| format!("writing {}", file.display()))?;
            anyhow::Ok(file)
        };
        Ok(Self {
            noop: module("noop.wasm", include_str!("modules/noop.wat"))?,
            least: module("least.wasm", include_str!("modules/least.wat"))?,
            calls: module("calls.wasm", include_str!("modules/calls.wat"))?,
        })
    }
}
