//! How an API server is reached, and with whose rights.

use std::path::PathBuf;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::{connection, token_file::TokenFile};

/// Where it is said how to reach an API server.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// In the pod that the agent runs in.
    InCluster,
    /// In a kubeconfig file.
    File {
        file: PathBuf,
        context: Option<String>,
    },
    /// In a kubeconfig that came from an API server.
    Text(String),
}

impl Access {
    /// A client, which has not connected yet. Blocks for no longer than a small file takes.
    pub(super) async fn client(&self) -> Result<Client, String> {
        let mut config = match self {
            Self::InCluster => Config::incluster()
                .map_err(|error| format!("the pod's account cannot be used: {}", chain(&error)))?,
            Self::File { file, context } => {
                let kubeconfig = Kubeconfig::read_from(file).map_err(|error| {
                    format!(
                        "the kubeconfig {} cannot be used: {}",
                        file.display(),
                        chain(&error)
                    )
                })?;
                runs_nothing(&kubeconfig)?;
                from_kubeconfig(kubeconfig, context.clone()).await?
            }
            Self::Text(text) => {
                let kubeconfig = Kubeconfig::from_yaml(text)
                    .map_err(|error| format!("the kubeconfig cannot be used: {}", chain(&error)))?;
                runs_nothing(&kubeconfig)?;
                stands_alone(&kubeconfig)?;
                from_kubeconfig(kubeconfig, None).await?
            }
        };
        // A proxy from the environment is meant for the outside, not for API servers.
        config.proxy_url = None;
        // A token in the file itself goes first, as in kube.
        let token_file = config.auth_info.token_file.take();
        let token_file = token_file.filter(|_| config.auth_info.token.is_none());
        let token_file = token_file.map(|file| TokenFile::open(file.into()));
        connection::client(&config, token_file.transpose()?)
            .map_err(|error| format!("no client can be made: {}", describe(&error)))
    }
}

async fn from_kubeconfig(
    kubeconfig: Kubeconfig,
    context: Option<String>,
) -> Result<Config, String> {
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.map_err(|error| format!("the kubeconfig cannot be used: {}", chain(&error)))
}

/// A kubeconfig may name a proxy, which is not supported, or a command to be run. An agent with its rights on every node runs none.
fn runs_nothing(kubeconfig: &Kubeconfig) -> Result<(), String> {
    for user in &kubeconfig.auth_infos {
        let Some(found) = &user.auth_info else {
            continue;
        };
        let field = if found.exec.is_some() {
            "exec"
        } else if found.auth_provider.is_some() {
            "auth-provider"
        } else {
            continue;
        };
        return Err(format!(
            "the kubeconfig is refused: its user \"{}\" has {field}; use a token or a client certificate",
            user.name
        ));
    }
    for cluster in &kubeconfig.clusters {
        let proxy = cluster
            .cluster
            .as_ref()
            .and_then(|found| found.proxy_url.as_ref());
        if proxy.is_some_and(|proxy| !proxy.is_empty()) {
            return Err(format!(
                "the kubeconfig is refused: its cluster \"{}\" has proxy-url; let the agent reach the server itself",
                cluster.name
            ));
        }
    }
    Ok(())
}

/// What comes from an API server must not make us read files of the node, or trust anybody. Istio refuses the same
/// (`secretcontroller.go`, sanitizeKubeConfig).
fn stands_alone(kubeconfig: &Kubeconfig) -> Result<(), String> {
    let refuse = |what: &str, name: &str, field: &str, mend: &str| {
        Err(format!(
            "the kubeconfig is refused: its {what} \"{name}\" has {field}; {mend}"
        ))
    };
    for user in &kubeconfig.auth_infos {
        let Some(found) = &user.auth_info else {
            continue;
        };
        let files = [
            ("tokenFile", &found.token_file),
            ("client-certificate", &found.client_certificate),
            ("client-key", &found.client_key),
        ];
        for (field, file) in files {
            if file.is_some() {
                return refuse(
                    "user",
                    &user.name,
                    field,
                    "write the data itself, not a file's name",
                );
            }
        }
    }
    for cluster in &kubeconfig.clusters {
        let Some(found) = &cluster.cluster else {
            continue;
        };
        if found.certificate_authority.is_some() {
            let mend = "write certificate-authority-data";
            return refuse("cluster", &cluster.name, "certificate-authority", mend);
        }
        if found.insecure_skip_tls_verify == Some(true) {
            let mend = "write certificate-authority-data";
            return refuse("cluster", &cluster.name, "insecure-skip-tls-verify", mend);
        }
    }
    Ok(())
}

/// What a client's error comes down to, on one line, without what a hostile server could make endless.
pub(super) fn describe(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Api(status) => {
            let code = status.code;
            let message = if status.message.is_empty() {
                &status.reason
            } else {
                &status.message
            };
            format!("the API server says {code}: {message}")
        }
        kube::Error::SerdeError(error) => format!("the reply is not understood: {error}"),
        kube::Error::FromUtf8(_) => "the reply is not understood: it is no text".to_owned(),
        other => std::error::Error::source(other).map_or_else(|| other.to_string(), chain),
    };
    one_line(&text)
}

/// An error and its causes, each said once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        let next = found.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = found.source();
    }
    one_line(&text)
}

pub(super) fn one_line(text: &str) -> String {
    const LONGEST: usize = 300;
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(user: &str, cluster: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: west, cluster: {{server: \"https://127.0.0.1:1\"{cluster}}}}}]\n\
             users: [{{name: reader, user: {{{user}}}}}]\n\
             contexts: [{{name: c, context: {{cluster: west, user: reader}}}}]\n"
        )
    }

    async fn check(user: &str, cluster: &str, expected: &str) {
        let access = Access::Text(kubeconfig(user, cluster));
        let said = access.client().await.err().unwrap_or_default();
        assert_eq!(said, expected);
    }

    #[tokio::test]
    async fn a_kubeconfig_of_a_secret_may_bring_credentials_and_nothing_else() {
        check("token: secret", "", "").await;
        check(
            "exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/true}",
            "",
            "the kubeconfig is refused: its user \"reader\" has exec; use a token or a client certificate",
        )
        .await;
        check(
            "auth-provider: {name: gcp}",
            "",
            "the kubeconfig is refused: its user \"reader\" has auth-provider; use a token or a client certificate",
        )
        .await;
        check(
            "tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token",
            "",
            "the kubeconfig is refused: its user \"reader\" has tokenFile; write the data itself, not a file's name",
        )
        .await;
        check(
            "token: secret",
            ", certificate-authority: /etc/ca.crt",
            "the kubeconfig is refused: its cluster \"west\" has certificate-authority; write \
             certificate-authority-data",
        )
        .await;
        check(
            "token: secret",
            ", insecure-skip-tls-verify: true",
            "the kubeconfig is refused: its cluster \"west\" has insecure-skip-tls-verify; write \
             certificate-authority-data",
        )
        .await;
    }

    #[tokio::test]
    async fn what_is_no_kubeconfig_says_so() {
        let access = Access::Text("]".to_owned());
        let said = access.client().await.err().unwrap();
        assert!(
            said.starts_with("the kubeconfig cannot be used: "),
            "{said}"
        );
    }
}
