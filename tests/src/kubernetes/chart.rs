//! The chart that deploys the agent, rendered by the real helm.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

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

/// The least values that it takes.
#[must_use]
pub fn least() -> Value {
    json!({
        "image": {"repository": "registry.example.com/dns-agent"},
        "cluster": {"id": "cluster-1", "mesh": "east"},
        "upstreams": {"clusterZone": ["10.96.0.11"]},
    })
}

/// Writes values into a folder; the file.
pub fn write_values(folder: &Path, values: &Value) -> Result<PathBuf> {
    let file = folder.join("values.json");
    fs::write(&file, values.to_string()).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}

/// The values that it brings as examples.
pub fn examples() -> Result<Vec<PathBuf>> {
    let folder = folder()?.join("examples");
    let files = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let files = files.map(|file| Ok(file?.path()));
    let mut files: Vec<PathBuf> = files.collect::<Result<_>>()?;
    files.sort();
    anyhow::ensure!(files.len() >= 3, "{files:?}");
    Ok(files)
}

/// The `yaml` blocks of docs/deploy.md: values of the chart, and objects.
pub fn documented() -> Result<Vec<Value>> {
    let page = fs::read_to_string(workspace()?.join("docs/deploy.md"))?;
    let blocks = page.split("```yaml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    let blocks: Vec<Vec<Value>> = blocks.map(documents).collect::<Result<_>>()?;
    let blocks = blocks.concat();
    anyhow::ensure!(blocks.len() >= 3, "{blocks:?}");
    Ok(blocks)
}

/// The agent's pod as the DaemonSet makes it: its `metadata` and `spec`.
pub fn pod(objects: &[Value]) -> Result<&Value> {
    let set = objects.iter().find(|object| object["kind"] == "DaemonSet");
    Ok(&set.context("there is a DaemonSet")?["spec"]["template"])
}

/// The agent's arguments besides its configuration, on this node.
pub fn arguments(objects: &[Value], node: &str) -> Result<Vec<String>> {
    let container = &pod(objects)?["spec"]["containers"][0];
    let env = container["env"].as_array().into_iter().flatten();
    let mut named = env.filter(|env| env["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName");
    let name = named.find_map(|env| env["name"].as_str());
    let args = container["args"].as_array().context("it has arguments")?;
    let args = args.iter().filter_map(Value::as_str);
    let args = args.filter(|arg| !arg.starts_with("--config="));
    let filled = args.map(|arg| match name {
        Some(name) => arg.replace(&format!("$({name})"), node),
        None => arg.to_owned(),
    });
    Ok(filled.collect())
}
