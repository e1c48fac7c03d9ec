//! Service accounts: their tokens, their rights, and how a process sees its pod's account.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use hyper::Request;
use kube::Client;
use serde_json::{Value, json};

use super::audit::Right;
use super::kubeconfig::Kubeconfig;

/// A service account and a token of it.
#[derive(Clone, Debug)]
pub struct Account {
    namespace: String,
    name: String,
    access: Kubeconfig,
}

impl Account {
    /// Asks for a token (TokenRequest), as kubelet does for a pod.
    pub async fn request(
        admin: &Client,
        access: Kubeconfig,
        namespace: &str,
        name: &str,
    ) -> Result<Self> {
        let token = token(admin, namespace, name, &json!({"expirationSeconds": 3600})).await?;
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            access: access.with_token(&token),
        })
    }

    /// What it is called as a user.
    #[must_use]
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// How to reach the API server as it.
    #[must_use]
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.access
    }

    /// All that it may do: everywhere, and in these namespaces. Without what every account may ask of itself.
    pub async fn rights(&self, namespaces: &[&str]) -> Result<BTreeSet<Right>> {
        let client = super::api_server::client(&self.access).await?;
        // Where nothing is granted besides.
        let everywhere = rights_in(&client, "default").await?;
        let mut all = everywhere.clone();
        for namespace in namespaces {
            let here = rights_in(&client, namespace).await?;
            let here = here.difference(&everywhere).cloned();
            all.extend(here.map(|right| right.only_in(namespace)));
        }
        Ok(all)
    }

    /// What comes before a program so that it runs as in a pod of this account: with the token and the certificates where
    /// kubelet mounts them, and a folder for its sockets. The files are kept in `folder`.
    pub fn view(&self, folder: &Path) -> Result<Vec<String>> {
        let files = folder.join("account");
        fs::create_dir_all(&files).with_context(|| format!("making {}", files.display()))?;
        fs::write(files.join("token"), &self.access.token)?;
        fs::write(files.join("ca.crt"), &self.access.bundle)?;
        fs::write(files.join("namespace"), &self.namespace)?;
        let script = "mount -t tmpfs none /run && mkdir -p /run/crossmesh /run/secrets/kubernetes.io \
                      && cp -r \"$1\" /run/secrets/kubernetes.io/serviceaccount && shift && exec \"$@\"";
        let files = files.display().to_string();
        let view = ["unshare", "--mount", "sh", "-c", script, "pod", &files];
        Ok(view.map(str::to_owned).to_vec())
    }

    /// The variables that tell a pod where its API server is.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let server = self.access.server;
        [
            ("KUBERNETES_SERVICE_HOST", server.ip().to_string()),
            ("KUBERNETES_SERVICE_PORT", server.port().to_string()),
        ]
    }
}

/// Asks for a token of an account (TokenRequest). `spec` says for how long, and for whose ears.
pub(super) async fn token(
    admin: &Client,
    namespace: &str,
    name: &str,
    spec: &Value,
) -> Result<String> {
    let uri = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": spec,
    });
    let answer = post(admin, &uri, &body).await?;
    let token = answer["status"]["token"].as_str();
    let token = token.with_context(|| format!("no token of {namespace}/{name}: {answer}"))?;
    Ok(token.to_owned())
}

async fn rights_in(client: &Client, namespace: &str) -> Result<BTreeSet<Right>> {
    let uri = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let body = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    });
    let answer = post(client, uri, &body).await?;
    let rules = answer["status"]["resourceRules"].as_array();
    let mut found = BTreeSet::new();
    for rule in rules.context("a review has rules")? {
        for group in texts(&rule["apiGroups"]) {
            if matches!(group, "authorization.k8s.io" | "authentication.k8s.io") {
                continue;
            }
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    let names = texts(&rule["resourceNames"]);
                    let names = if names.is_empty() { vec![""] } else { names };
                    found.extend(
                        names
                            .into_iter()
                            .map(|name| Right::new(verb, group, resource, name)),
                    );
                }
            }
        }
    }
    Ok(found)
}

fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

async fn post(client: &Client, uri: &str, body: &Value) -> Result<Value> {
    let request = Request::post(uri)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())?;
    let answer = client.request_text(request).await;
    let answer = answer.with_context(|| format!("asking {uri}"))?;
    Ok(serde_json::from_str(&answer)?)
}
