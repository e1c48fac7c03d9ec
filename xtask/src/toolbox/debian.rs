//! Programs that Debian and its kin package. Only packages of clients: nothing here may start a service.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};

use super::on_path;
use crate::cache::Cache;
use crate::process;

/// Lists are fetched once a run.
static UPDATED: AtomicBool = AtomicBool::new(false);

/// Installs `package`, which brings `program`; where that is not possible, says who must do what.
pub(super) fn install(cache: &Cache, program: &str, package: &str) -> Result<()> {
    ensure!(
        on_path("apt-get").is_some(),
        "install `{program}` (Debian calls its package {package}) and put it on the PATH"
    );
    ensure!(
        is_root()?,
        "install it: `sudo apt-get install {package}` (only root may, so xtask does not)"
    );
    let _lock = cache.lock("apt-get")?;
    if !UPDATED.swap(true, Ordering::Relaxed) {
        process::logged(
            "apt-get: fetching the lists of packages",
            apt_get().arg("update"),
            &cache.log("apt-update"),
        )?;
    }
    process::logged(
        &format!("{program}: installing Debian's package {package}"),
        apt_get().args(["install", "--yes", "--no-install-recommends", package]),
        &cache.log(&format!("apt-{package}")),
    )
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> Result<bool> {
    let output = Command::new("id").arg("-u").output()?;
    Ok(output.stdout.trim_ascii() == b"0")
}
