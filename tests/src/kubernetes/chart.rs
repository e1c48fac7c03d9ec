//! The chart that deploys the agent, rendered by the real helm.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::{Command, Said};
use crate::tools::workspace;

/// Where the chart is installed in tests.
pub const NAMESPACE: &str = "crossmesh-system";
/// The name of everything that a release of it makes.
pub const NAME: &str = "crossmesh-dns-agent";

/// What `helm lint` and `helm template` take for the cluster's version, which they do not ask.
const CLUSTER: [&str; 2] = ["--kube-version", "1.36.3"];

/// The chart's folder.
pub fn folder() -> Result<PathBuf> {
    Ok(workspace()?.join("dns-agent/deploy"))
}

/// `helm lint`, where a warning is an error.
pub async fn lint(values: &Path) -> Result<String> {
    let values = values.display().to_string();
    let chart = folder()?.display().to_string();
    let helm = Command::helm()?.args(["lint", "--strict", "--values", &values, &chart]);
    helm.args(CLUSTER).output().await
}

/// What `helm template` says.
pub async fn template(values: &Path, besides: &[&str]) -> Result<Said> {
    let values = values.display().to_string();
    let chart = folder()?.display().to_string();
    let helm = Command::helm()?
        .args(["template", NAME, &chart, "--namespace", NAMESPACE])
        .args(["--values", &values])
        .args(CLUSTER)
        .args(besides.iter().copied());
    helm.run().await
}

/// The objects that `helm install` would create, in its order.
pub async fn objects(values: &Path, besides: &[&str]) -> Result<Vec<Value>> {
    let said = template(values, besides).await?;
    anyhow::ensure!(said.code == Some(0), "helm template: {}", said.stderr);
    documents(&said.stdout)
}

/// The objects of a manifest of several YAML documents.
pub fn documents(text: &str) -> Result<Vec<Value>> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).context("reading a manifest")?;
    Ok(all.into_iter().filter(|object| !object.is_null()).collect())
}

/// The agent's configuration among the objects of a release.
pub fn config(objects: &[Value]) -> Result<String> {
    let map = objects.iter().find(|object| object["kind"] == "ConfigMap");
    let text = map.and_then(|map| map["data"]["dns.yaml"].as_str());
    Ok(text.context("a ConfigMap has dns.yaml")?.to_owned())
}
