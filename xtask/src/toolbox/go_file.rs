//! Files that are had from Go modules: no program, but what its authors publish beside their code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::on_path;
use crate::cache::Cache;
use crate::process;

/// A file in a Go module.
pub(super) struct GoFile {
    name: &'static str,
    pub(super) version: &'static str,
    module: &'static str,
    /// The module's hash, as a go.sum would hold it.
    sum: &'static str,
    /// The file's path in the module.
    file: &'static str,
}

/// Istio's resources as an API server knows them.
pub(super) const ISTIO_CRDS: GoFile = GoFile {
    name: "istio-crds",
    version: "1.31.1",
    module: "istio.io/api",
    sum: "h1:5Yb5ihcz4YQsCkciusK7DnFpBMwRB6EFWeUKH1Atuyk=",
    file: "kubernetes/customresourcedefinitions.gen.yaml",
};

/// From what pilot-agent makes a proxy's bootstrap. Of the module that istiod and pilot-agent are built from.
pub(super) const ISTIO_BOOTSTRAP: GoFile = GoFile {
    name: "istio-bootstrap",
    version: "0.0.0-20260827124520-eed52ebb66ad",
    module: "istio.io/istio",
    sum: "h1:ui9TJjRMAV/hb5ehQaZDq7IUGxuQP6dra9lapT/VjHI=",
    file: "tools/packaging/common/envoy_bootstrap.json",
};

impl GoFile {
    pub(super) fn installed(&self, cache: &Cache) -> Option<PathBuf> {
        Some(self.path(&cache.folder(&self.key()))).filter(|path| path.is_file())
    }

    pub(super) fn install(&self, cache: &Cache) -> Result<PathBuf> {
        ensure!(
            on_path("go").is_some(),
            "it is downloaded as a Go module, and Go is not on the PATH; install it from https://go.dev/dl"
        );
        let key = self.key();
        let log = cache.log(&key);
        let folder = cache.ensure(&key, |partial| self.download(partial, &log))?;
        Ok(self.path(&folder))
    }

    /// Leaves only the file: the module's other files are removed with the cache that was made for it.
    fn download(&self, folder: &Path, log: &Path) -> Result<()> {
        let modules = folder.join("modules");
        let mut go = Command::new("go");
        go.args(["mod", "download", "-json"])
            .arg(format!("{}@v{}", self.module, self.version))
            .current_dir(folder)
            // The hash is checked here, against ours. modcacherw: else nobody can remove what was downloaded.
            .env("GOSUMDB", "off")
            .env("GOFLAGS", "-modcacherw")
            .env("GOWORK", "off")
            .env("GOMODCACHE", &modules);
        let what = format!("{} {}: downloading its Go module", self.name, self.version);
        let answer = process::captured(&what, &mut go, log)?;
        let answer: Value = serde_json::from_str(&answer)
            .with_context(|| format!("go mod download printed {answer}"))?;
        ensure!(
            answer["Sum"] == self.sum,
            "{}@v{} has the hash {} instead of {}",
            self.module,
            self.version,
            answer["Sum"],
            self.sum
        );
        let from = Path::new(answer["Dir"].as_str().unwrap_or_default()).join(self.file);
        fs::copy(&from, self.path(folder))
            .with_context(|| format!("copying {}", from.display()))?;
        fs::remove_dir_all(&modules).with_context(|| format!("removing {}", modules.display()))
    }

    fn key(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    fn path(&self, folder: &Path) -> PathBuf {
        let extension = Path::new(self.file).extension().unwrap_or_default();
        folder.join(self.name).with_extension(extension)
    }
}
