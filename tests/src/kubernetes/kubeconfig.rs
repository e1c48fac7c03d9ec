//! Kubeconfigs: how to reach an API server and as whom. The same text is a file for programs and a remote secret's value.

use std::fmt;
use std::net::SocketAddr;

use serde_json::json;

use super::authority::SERVER_NAME;

/// A kubeconfig with one context. Its `Display` is the file, JSON, which is YAML.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    /// The name of its cluster, user and context.
    pub name: String,
    /// Where the API server is, or what leads to it.
    pub server: SocketAddr,
    /// The certificates that it may be signed by, PEM.
    pub bundle: String,
    /// The bearer token.
    pub token: String,
}

impl Kubeconfig {
    /// The same with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// The same by way of another address, say a [`super::relay::Relay`].
    #[must_use]
    pub fn by_way_of(&self, server: SocketAddr) -> Self {
        Self {
            server,
            ..self.clone()
        }
    }
}

impl fmt::Display for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            server,
            bundle,
            token,
        } = self;
        let cluster = json!({
            "server": format!("https://{server}"),
            "tls-server-name": SERVER_NAME,
            "certificate-authority-data": base64(bundle.as_bytes()),
        });
        let file = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        });
        write!(f, "{file:#}")
    }
}

/// RFC 4648, section 4, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().enumerate().fold(0, |bits, (index, byte)| {
            bits | u32::from(*byte) << (16 - 8 * index)
        });
        for sextet in 0..4 {
            let index = bits >> (18 - 6 * sextet) & 63;
            text.push(if sextet <= three.len() {
                char::from(ALPHABET[index as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // Section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
