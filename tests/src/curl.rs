//! HTTP requests by curl, and its answer taken apart.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};

use crate::command::Command;
use crate::pki::Identity;

/// A response as `curl -i` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `HTTP/1.1` or `HTTP/2`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// Header names, lower-case, and values, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// A request that can be shown, and run.
#[derive(Clone, Debug)]
pub struct Request {
    command: Command,
    url: String,
}

impl Request {
    /// A GET of `path` from the service by name, at exactly `address`: what a client does that asked the agent.
    pub fn by_name(service: &str, address: SocketAddr, path: &str) -> Result<Self> {
        let port = address.port();
        let command = Command::curl()?.arg("-i").args([
            "--resolve".to_owned(),
            format!("{service}:{port}:{}", address.ip()),
        ]);
        Ok(Self {
            command,
            url: format!("http://{service}:{port}{path}"),
        })
    }

    /// The same as a peer's sidecar would send it: over TLS with a client certificate, straight to a server's sidecar.
    ///
    /// The server's certificate has no DNS name, which curl cannot check: its identity is not what is tested by this.
    pub fn mutual_tls(
        service: &str,
        address: SocketAddr,
        path: &str,
        identity: &Identity,
    ) -> Result<Self> {
        let anybody = Self::by_name(service, address, path)?.over_tls();
        let files = [("--cert", &identity.certificate), ("--key", &identity.key)];
        Ok(files.into_iter().fold(anybody, |request, (flag, file)| {
            request.args([flag.to_owned(), file.display().to_string()])
        }))
    }

    /// Over TLS without a client certificate, as browsers do it. The server's certificate goes unchecked: as above.
    #[must_use]
    pub fn over_tls(self) -> Self {
        Self {
            command: self.command.arg("--insecure"),
            url: self.url.replacen("http:", "https:", 1),
        }
    }

    /// As the pod with this address.
    #[must_use]
    pub fn from_pod(self, pod: IpAddr) -> Self {
        self.args(["--interface".to_owned(), pod.to_string()])
    }

    /// With one header, `name: value`.
    #[must_use]
    pub fn header(self, header: &str) -> Self {
        self.args(["-H", header])
    }

    /// With another method.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        self.args(["-X", method])
    }

    /// With any of curl's flags.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command = self.command.args(args);
        self
    }

    /// The command that this is.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command.clone().arg(self.url.as_str())
    }

    /// Sends it. An error means that there was no HTTP response.
    pub async fn send(&self) -> Result<Reply> {
        let command = self.command();
        let output = command.output().await?;
        Reply::parse(&output).with_context(|| format!("`{command}` printed {output:?}"))
    }
}

impl Reply {
    /// Reads what `curl -i` printed.
    pub fn parse(output: &str) -> Result<Self> {
        let (head, body) = output
            .split_once("\r\n\r\n")
            .context("no end of the headers")?;
        let (status_line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let mut words = status_line.split(' ');
        let version = words.next().context("no version")?.to_owned();
        let status = words
            .next()
            .and_then(|status| status.parse().ok())
            .context("no status code")?;
        let headers = headers
            .split("\r\n")
            .filter_map(|line| line.split_once(": "));
        let headers = headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Ok(Self {
            version,
            status,
            headers,
            body: body.to_owned(),
        })
    }

    /// The first header of this (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_taken_apart() {
        let reply =
            Reply::parse("HTTP/2 403 \r\nGrpc-Status: 7\r\nx: a: b\r\n\r\nno\r\n\r\nmore").unwrap();
        assert_eq!((reply.version.as_str(), reply.status), ("HTTP/2", 403));
        assert_eq!(
            (reply.header("grpc-status"), reply.header("x")),
            (Some("7"), Some("a: b"))
        );
        assert_eq!(reply.body, "no\r\n\r\nmore");
    }
}
