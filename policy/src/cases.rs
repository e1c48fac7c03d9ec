//! Cases: requests, and what must become of them. What a policy's author writes beside the policy.
//!
//! ```text
//! JSON ──read──▶ Suites   Runner::run(Case) ──▶ Ran: what came of it, and in what that is not what was wanted
//! ```
//!
//! A file of cases is a list of suites, each about one policy. What the filter does is asked of the code that the filter
//! runs; here it is only compared.
//!
//! The comments on types and fields are what an editor shows, as in [`crate::Spec`].

mod ask;
mod coverage;
mod meaning;
mod read;
mod run;
#[cfg(feature = "schema")]
mod schema;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub use coverage::{Coverage, Unreached};
pub use read::read;
pub use run::{Broken, Failure, LEFT_TO_HTTP, Ran, Runner};
#[cfg(feature = "schema")]
pub use schema::json_schema;

use crate::request::Node;
use crate::spec::{PortSpec, given, strict};

/// Cases of one policy.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Suite {
    /// The policy, as a pluginConfig. Left out: the one in the file NAME.yaml beside NAME.cases.yaml.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::Spec"))]
    pub policy: Option<Value>,
    /// The proxy that decides.
    #[serde(default)]
    pub node: NodeSpec,
    /// The cases.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub cases: Vec<Case>,
}

/// The proxy that decides, as its node metadata has it. What is left out is absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct NodeSpec {
    /// Its mesh, MESH_ID. Needed where the policy has no mesh of its own.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub mesh: Option<String>,
    /// Its namespace.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub namespace: Option<String>,
    /// Its workload, by the name alone.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub workload: Option<String>,
    /// The labels of its pod.
    pub labels: BTreeMap<String, String>,
}

/// A request or a connection, and what must become of it. What is left out is absent, and no rule that asks for it
/// matches.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The URI SAN of the client's certificate, such as spiffe://foo.com/ns/web/sa/frontend. Without principal,
    /// principals and passthrough the source is plaintext.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub principal: Option<String>,
    /// All URI SANs of the client's certificate, where they are not one.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub principals: Option<Vec<String>>,
    /// Whether the proxy does not terminate the TLS, as an east-west gateway does not. Such a source is always a
    /// connection.
    #[serde(default)]
    pub passthrough: bool,
    /// The address of the direct peer. Left out it is not known, and a DENY by address matches.
    #[serde(default, deserialize_with = "address")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Address"))]
    pub ip: Option<IpAddr>,
    /// Whether it is a TCP connection. Else it is an HTTP request.
    #[serde(default)]
    pub tcp: bool,
    /// The Host header or :authority.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub host: Option<String>,
    /// The workload's port.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "PortSpec"))]
    pub port: Option<PortSpec>,
    /// The HTTP method; case matters.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub method: Option<String>,
    /// The path, with the query if there is one.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub path: Option<String>,
    /// Header lines, each a list of a name and a value. From a listed forwarder x-forwarded-client-cert tells the source,
    /// its last element being the one that this proxy appends.
    #[serde(default)]
    pub headers: Vec<HeaderLine>,
    /// The server name of the TLS handshake.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub sni: Option<String>,
    /// The proxy that decides, in place of the suite's.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "NodeSpec"))]
    pub node: Option<NodeSpec>,
    /// What must be decided, and by what: ALLOW or DENY, then rule:NAME or default:CLASS. Of a connection that is left to
    /// HTTP, which needs first_bytes, what would be decided on a port that is not of tcp.httpPorts.
    #[cfg_attr(feature = "schema", schemars(with = "schema::DecisionText"))]
    pub want: String,
    /// The AUDIT rules that must match, in the policy's order, and no others. Left out: no matter which.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<crate::spec::schema::RuleName>")
    )]
    pub audits: Option<Vec<String>>,
    /// What the policy's candidate must decide, written as want is. Left out: no matter what.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::DecisionText"))]
    pub candidate: Option<String>,
    /// The SPIFFE ID of the forwarder that must have spoken for the source. Left out: no matter whether one did.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub direct: Option<String>,
    /// What the TCP filter must do at a connection's first bytes: written as want is, or left to HTTP, where tcp.httpPorts
    /// lists the port and a request could still be allowed. Left out: no matter what, but of a TCP connection a decision.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::FirstBytes"))]
    pub first_bytes: Option<String>,
    /// Rules that must not match, each by its name with the first thing that must have kept it from matching, as explain
    /// tells it: FIELD: WHY.
    #[serde(default)]
    pub misses: BTreeMap<String, String>,
}

strict::objects!(Suite, NodeSpec, Case);

/// A header line: its name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeaderLine(pub String, pub String);

impl<'de> Deserialize<'de> for HeaderLine {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Pair;

        impl<'de> Visitor<'de> for Pair {
            type Value = HeaderLine;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#"a list of a name and a value, both texts, as in [x-tier, "1"]"#)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<HeaderLine, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element::<Value>()? {
                    items.push(item);
                }
                match items.as_slice() {
                    [Value::String(name), Value::String(value)] => {
                        Ok(HeaderLine(name.clone(), value.clone()))
                    }
                    _ => Err(A::Error::invalid_type(Unexpected::Seq, &self)),
                }
            }
        }

        from.deserialize_seq(Pair)
    }
}

fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IpAddr>, D::Error> {
    let text = String::deserialize(from)?;
    let address = text.parse().map_err(|_| {
        D::Error::invalid_value(
            Unexpected::Str(&text),
            &"an IP address such as 10.0.0.1 or 2001:db8::1",
        )
    })?;
    Ok(Some(address))
}

impl NodeSpec {
    /// As the engine takes it.
    #[must_use]
    pub fn node(&self) -> Node {
        let Self {
            mesh,
            namespace,
            workload,
            labels,
        } = self;
        Node {
            mesh: mesh.clone(),
            namespace: namespace.clone(),
            workload: workload.clone(),
            labels: labels.clone(),
        }
    }
}
