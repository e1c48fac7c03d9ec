//! Programs that are built from their Go modules: what is built is pinned by a go.mod and a go.sum of ours, kept below `go/`.
//!
//! Each of those modules is nothing but a `tool` directive: the program is built from its authors' own sources, unchanged.
//! A version is changed by editing go.mod and running `go mod tidy` beside it, then naming it here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{is_program, on_path, version_in, version_text};
use crate::cache::Cache;
use crate::process;

/// A program built from its Go module.
#[derive(Clone, Copy)]
pub(super) struct Program {
    name: &'static str,
    pub(super) version: &'static str,
    /// The arguments that make it print its version.
    version_arguments: &'static [&'static str],
    /// The folder in which it is kept, without the version: its name, if it is built alone.
    folder: &'static str,
    /// What is built together, by name, and the package that each is. What they share is compiled once.
    packages: &'static [(&'static str, &'static str)],
    go_mod: &'static str,
    go_sum: &'static str,
    /// String variables that its authors' own build sets.
    variables: &'static [(&'static str, &'static str)],
    /// What it takes on two cores, downloads included.
    minutes: u8,
}

/// Without the variable its clients see v0.0.0, and some refuse to speak to that.
pub(super) const KUBE_APISERVER: Program = Program {
    name: "kube-apiserver",
    version: "1.36.3",
    version_arguments: &["--version"],
    folder: "kube-apiserver",
    packages: &[("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver")],
    go_mod: include_str!("go/kube-apiserver/go.mod"),
    go_sum: include_str!("go/kube-apiserver/go.sum"),
    variables: &[("k8s.io/component-base/version.gitVersion", "v1.36.3")],
    minutes: 5,
};

/// Of the line that the API server's release names; Debian's is too old for it.
pub(super) const ETCD: Program = Program {
    name: "etcd",
    version: "3.6.16",
    version_arguments: &["--version"],
    folder: "etcd",
    packages: &[("etcd", "go.etcd.io/etcd/server/v3")],
    go_mod: include_str!("go/etcd/go.mod"),
    go_sum: include_str!("go/etcd/go.sum"),
    variables: &[],
    minutes: 1,
};

/// With every plugin that its releases have.
pub(super) const COREDNS: Program = Program {
    name: "coredns",
    version: "1.15.0",
    version_arguments: &["-version"],
    folder: "coredns",
    packages: &[("coredns", "github.com/coredns/coredns")],
    go_mod: include_str!("go/coredns/go.mod"),
    go_sum: include_str!("go/coredns/go.sum"),
    variables: &[],
    minutes: 3,
};

/// The last line of helm 3.
pub(super) const HELM: Program = Program {
    name: "helm",
    version: "3.22.0",
    version_arguments: &["version", "--short"],
    folder: "helm",
    packages: &[("helm", "helm.sh/helm/v3/cmd/helm")],
    go_mod: include_str!("go/helm/go.mod"),
    go_sum: include_str!("go/helm/go.sum"),
    variables: &[("helm.sh/helm/v3/internal/version.version", "v3.22.0")],
    minutes: 2,
};

/// Istio's control plane and the agent of its proxies, of the release branch 1.31 in August 2026. Our go.mod takes Istio's API and
/// Envoy's messages in the versions that were released since.
const ISTIO: Program = Program {
    name: "istio",
    version: "1.31",
    version_arguments: &["version", "--short"],
    folder: "istio",
    packages: &[
        ("istiod", "istio.io/istio/pilot/cmd/pilot-discovery"),
        ("pilot-agent", "istio.io/istio/pilot/cmd/pilot-agent"),
    ],
    go_mod: include_str!("go/istio/go.mod"),
    go_sum: include_str!("go/istio/go.sum"),
    variables: &[(
        "istio.io/istio/pkg/version.buildVersion",
        "1.31-eed52ebb66ad",
    )],
    minutes: 5,
};

/// The control plane; its authors' package calls it pilot-discovery.
pub(super) const ISTIOD: Program = Program {
    name: "istiod",
    ..ISTIO
};

/// What runs beside each proxy.
pub(super) const PILOT_AGENT: Program = Program {
    name: "pilot-agent",
    ..ISTIO
};

impl Program {
    pub(super) fn installed(&self, cache: &Cache) -> Option<PathBuf> {
        Some(self.path(&cache.folder(&self.key()))).filter(|path| is_program(path))
    }

    pub(super) fn install(&self, cache: &Cache) -> Result<PathBuf> {
        ensure!(
            on_path("go").is_some(),
            "it is built from its sources by Go, which is not on the PATH; install Go {} or newer from https://go.dev/dl",
            go_version(self.go_mod)
        );
        let key = self.key();
        let log = cache.log(&key);
        let folder = cache.ensure(&key, |partial| {
            self.build(partial, &log)?;
            self.packages
                .iter()
                .try_for_each(|(name, _)| self.verify(&partial.join(name)))
        })?;
        let path = self.path(&folder);
        ensure!(
            is_program(&path),
            "{} lacks its program; remove that folder and try again",
            folder.display()
        );
        Ok(path)
    }

    /// Leaves only `<folder>/<program>` of each. Go's caches of modules and objects are gigabytes that nobody needs again: they are
    /// made for this build and removed with it, and those of the user are not touched.
    fn build(&self, folder: &Path, log: &Path) -> Result<()> {
        let work = folder.join("work");
        fs::create_dir_all(&work).with_context(|| format!("creating {}", work.display()))?;
        for (file, text) in [("go.mod", self.go_mod), ("go.sum", self.go_sum)] {
            let path = work.join(file);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        for (index, (name, package)) in self.packages.iter().enumerate() {
            let takes = match index {
                0 => format!("about {} min on 2 cores", self.minutes),
                _ => "with what is there by now".to_owned(),
            };
            let version = self.version;
            let what = format!("{name} {version}: building from its Go module, {takes}");
            let mut go = self.go_build(&work, &folder.join(name), package);
            process::logged(&what, &mut go, log)?;
        }
        fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))
    }

    fn go_build(&self, work: &Path, program: &Path, package: &str) -> Command {
        // `-s -w`: no debugger will read it, and it is a third smaller.
        let mut linker = "-s -w".to_owned();
        for (variable, value) in self.variables {
            linker.push_str(&format!(" -X {variable}={value}"));
        }
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-ldflags", &linker, "-o"])
            .arg(program)
            .arg(package)
            .current_dir(work)
            .env("CGO_ENABLED", "0")
            // readonly: what go.sum does not hold is not built. modcacherw: else nobody can remove what was downloaded.
            .env("GOFLAGS", "-mod=readonly -modcacherw -buildvcs=false")
            .env("GOWORK", "off")
            .env("GOCACHE", work.join("objects"))
            .env("GOMODCACHE", work.join("modules"));
        go
    }

    fn verify(&self, program: &Path) -> Result<()> {
        let said = version_text(program, self.version_arguments)?;
        ensure!(
            version_in(&said) == Some(self.version),
            "{} should be {}, but prints: {}",
            self.name,
            self.version,
            said.trim()
        );
        Ok(())
    }

    fn key(&self) -> String {
        format!("{}-{}", self.folder, self.version)
    }

    fn path(&self, folder: &Path) -> PathBuf {
        folder.join(self.name)
    }
}

/// The oldest Go that this module allows. A Go from 1.21 on fetches that one by itself, where its user lets it.
fn go_version(go_mod: &str) -> &str {
    go_mod
        .lines()
        .find_map(|line| line.strip_prefix("go "))
        .unwrap_or("1.26")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolbox::go_file::ISTIO_BOOTSTRAP;

    #[track_caller]
    fn check(program: &Program, pinned_version: &str) {
        let Program {
            name,
            packages,
            go_mod,
            go_sum,
            ..
        } = program;
        for (_, package) in *packages {
            let tools = go_mod.lines().map(|line| line.trim_start_matches("tool"));
            assert!(
                tools.map(str::trim).any(|line| line == *package),
                "{name}: {package}"
            );
        }
        let (_, package) = packages[0];
        let required = go_mod
            .lines()
            .filter_map(|line| line.trim().strip_prefix("require ").or(Some(line.trim())))
            .filter_map(|line| line.split_once(" v"))
            .find(|(module, _)| package.starts_with(module));
        let (module, pinned) = required.expect("go.mod requires the module of the program");
        assert_eq!(pinned.split(' ').next(), Some(pinned_version), "{name}");
        assert!(
            go_sum.contains(&format!("{module} v{pinned_version} h1:")),
            "{name}: `go mod tidy` beside its go.mod writes its go.sum"
        );
    }

    #[test]
    fn each_version_is_the_one_that_its_go_mod_and_go_sum_pin() {
        for program in [&KUBE_APISERVER, &ETCD, &COREDNS, &HELM] {
            check(program, program.version);
        }
        // Whose releases are no versions of its module.
        check(&ISTIO, ISTIO_BOOTSTRAP.version);
    }

    #[test]
    fn a_module_says_which_go_it_needs() {
        assert_eq!(go_version(ETCD.go_mod), "1.26.0");
    }

    #[test]
    fn every_part_of_kubernetes_is_of_the_version_of_the_api_server() {
        let staging = KUBE_APISERVER.version.replacen('1', "v0", 1);
        let replaced: Vec<&str> = KUBE_APISERVER
            .go_mod
            .lines()
            .filter_map(|line| Some(line.split_once(" => ")?.1))
            .collect();
        assert!(replaced.len() > 30, "{replaced:?}");
        assert!(
            replaced.iter().all(|to| to.ends_with(&staging)),
            "{replaced:?}"
        );
    }
}
