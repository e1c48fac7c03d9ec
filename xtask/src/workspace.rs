//! Where the checkout and its target folder are, and how cargo is called in it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The checkout that this xtask belongs to.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the checkout and asks cargo where builds go.
    pub(crate) fn find() -> Result<Self> {
        // At run time, not by `env!`: a checkout may have been moved or copied together with its target folder.
        let manifest_dir =
            env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest_dir)
            .parent()
            .context(
                "xtask lies at the root of the file system; run it as `cargo xtask` in a checkout",
            )?
            .to_path_buf();
        let target = target_directory(&root)?;
        Ok(Self { root, target })
    }

    /// The folder of the root Cargo.toml.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The target folder, absolute.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// A binary of the dev profile.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// A binary of the release profile.
    pub(crate) fn released(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// Where the output of a sub-command is kept.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.target.join("xtask-logs").join(format!("{name}.log"))
    }

    /// A call of cargo in the checkout, its arguments as one would type them.
    pub(crate) fn cargo(&self, arguments: &str) -> Command {
        let mut command = cargo(&self.root);
        command
            .args(arguments.split_whitespace())
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    // What `cargo run` says about xtask's own package must not reach the builds: build scripts that watch these variables
    // (ring's does) would run again whenever a build follows one that was not started by xtask.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_MANIFEST_")
            || text == "CARGO_BIN_NAME"
        {
            command.env_remove(&name);
        }
    }
    command
}

fn target_directory(root: &Path) -> Result<PathBuf> {
    if let Some(given) = env::var_os("CARGO_TARGET_DIR").filter(|given| !given.is_empty()) {
        // Relative to where the caller stands, as cargo reads it; sub-commands stand elsewhere.
        return std::path::absolute(given).context("CARGO_TARGET_DIR is no usable path");
    }
    let output = cargo(root)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("cargo could not be started; install Rust from https://rustup.rs")?;
    ensure!(
        output.status.success(),
        "`cargo metadata` failed; mend what it says:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("`cargo metadata` printed no JSON")?;
    let target = metadata["target_directory"]
        .as_str()
        .context("`cargo metadata` names no target_directory")?;
    Ok(PathBuf::from(target))
}
