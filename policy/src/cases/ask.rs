//! A case as the engine is asked.

use super::{Case, HeaderLine};
use crate::request::{HttpRequest, Peer, Protocol, Request};

impl Case {
    /// Whether it is about a connection: of TLS that is not terminated here nothing else can be known.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        self.tcp || self.passthrough
    }

    /// What `ask` answers about this peer and request.
    pub(super) fn ask<T>(&self, ask: impl FnOnce(&Peer<'_>, &Request<'_>) -> T) -> T {
        let one = self.principal.as_slice();
        let uri_sans = self.principals.as_deref().unwrap_or(one);
        let uri_sans: Vec<&[u8]> = uri_sans.iter().map(String::as_bytes).collect();
        let peer = if self.passthrough {
            Peer::Passthrough
        } else if self.principal.is_some() || self.principals.is_some() {
            Peer::Certificate {
                uri_sans: &uri_sans,
            }
        } else {
            Peer::Plaintext
        };
        // As Envoy has them: names in lower case, values without the blanks around them.
        let headers = self.headers.iter();
        let headers: Vec<(String, &[u8])> = headers
            .map(|HeaderLine(name, value)| {
                (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']))
            })
            .map(|(name, value)| (name, value.as_bytes()))
            .collect();
        let headers: Vec<(&[u8], &[u8])> = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), *value))
            .collect();
        let request = Request {
            source_ip: self.ip,
            port: self.port.map(|port| port.0),
            sni: bytes(&self.sni),
            protocol: if self.is_tcp() {
                Protocol::Tcp
            } else {
                Protocol::Http(HttpRequest {
                    host: bytes(&self.host),
                    method: bytes(&self.method),
                    path: bytes(&self.path),
                    headers: &headers,
                })
            },
        };
        ask(&peer, &request)
    }
}

fn bytes(text: &Option<String>) -> Option<&[u8]> {
    text.as_deref().map(str::as_bytes)
}
