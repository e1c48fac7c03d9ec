//! Rust's standard library for another target. It belongs to the compiler in use, so rustup keeps it and not the cache.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::{on_path, version_in};
use crate::cache::Cache;
use crate::process;

/// The filter's target. Unlike wasm32-wasip1 it imports nothing but what the code itself declares.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// Where the target's library is and the compiler's version, if the compiler in use has it.
pub(super) fn installed(target: &str) -> Result<Option<(PathBuf, String)>> {
    let folder = PathBuf::from(ask_rustc(&[
        "--print",
        "target-libdir",
        "--target",
        target,
    ])?);
    if !folder.is_dir() {
        return Ok(None);
    }
    let printed = ask_rustc(&["--version"])?;
    let version =
        version_in(&printed).with_context(|| format!("rustc prints no version, but: {printed}"))?;
    Ok(Some((folder, version.to_owned())))
}

/// Has rustup add the target to the toolchain in use.
pub(super) fn install(cache: &Cache, target: &str) -> Result<PathBuf> {
    ensure!(
        on_path("rustup").is_some(),
        "your Rust was not installed by rustup, so add `{target}` by the way it came: Rust from https://rustup.rs does it \
         by itself, Debian calls it libstd-rust-dev-wasm32"
    );
    let _lock = cache.lock("rustup")?;
    process::logged(
        &format!("{target}: installing by rustup"),
        Command::new("rustup").args(["target", "add", target]),
        &cache.log("rustup"),
    )?;
    match installed(target)? {
        Some((folder, _)) => Ok(folder),
        None => bail!(
            "rustup added it to another toolchain than `rustc` is of; `rustup show` tells both"
        ),
    }
}

fn ask_rustc(arguments: &[&str]) -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(arguments)
        .output()
        .context("rustc could not be started; install Rust from https://rustup.rs")?;
    ensure!(
        output.status.success(),
        "`rustc {}` failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
