//! What is compared: nothing, modules that decide nothing, native RBAC, Lua and ours, each by number of rules, as listeners of one Envoy.

use std::net::SocketAddr;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use super::modules::Modules;
use super::rules;
use crate::pki::Identity;
use crate::plugin::{Module, Plugin};
use crate::roles::{mtls_listener, router};

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Filter {
    /// Nobody.
    None,
    /// Nobody, but Envoy calls a module.
    Noop,
    /// Nobody, but a module asks Envoy for the least that a decision needs.
    Least,
    /// Nobody, but a module asks Envoy all that ours does.
    Calls,
    /// Envoy's own RBAC filter.
    Rbac,
    /// A script in Envoy's Lua filter that looks up the peer's SAN, and no more.
    LuaPeer,
    /// A script that does what ours does, as far as scripts can.
    Lua,
    /// This project's.
    Crossmesh,
    /// This project's, counting bytes and measuring durations too.
    CrossmeshFull,
}

impl Filter {
    /// As the table names it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::None => "no filter",
            Self::Noop => "Wasm, no-op",
            Self::Least => "Wasm, least calls",
            Self::Calls => "Wasm, bare calls",
            Self::Rbac => "native RBAC",
            Self::LuaPeer => "Lua, peer only",
            Self::Lua => "Lua",
            Self::Crossmesh => "crossmesh",
            Self::CrossmeshFull => "crossmesh, bytes and duration",
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Variant {
    /// Who decides.
    pub(super) filter: Filter,
    /// By how many rules; 0 where nothing is decided.
    pub(super) rules: usize,
}

impl Variant {
    /// All that is compared at these numbers of rules, what everything is compared with first.
    pub(super) fn all(sizes: &[usize]) -> Vec<Self> {
        let without = [Filter::None, Filter::Noop, Filter::Least, Filter::Calls]
            .map(|filter| Self { filter, rules: 0 });
        let filters = [
            Filter::Rbac,
            Filter::LuaPeer,
            Filter::Lua,
            Filter::Crossmesh,
            Filter::CrossmeshFull,
        ];
        let with = filters.into_iter().flat_map(|filter| {
            let sizes = sizes.iter();
            sizes.map(move |rules| Self {
                filter,
                rules: *rules,
            })
        });
        without.into_iter().chain(with).collect()
    }

    /// A listener that asks for the client's certificate, decides by this, and answers 200 itself. The rule that decides
    /// is number `most`; the modules that decide nothing are in `modules`.
    pub(super) fn listener(
        self,
        address: SocketAddr,
        identity: &Identity,
        most: usize,
        modules: &Modules,
    ) -> Result<Value> {
        let mut filters = Vec::from_iter(self.http_filter(most, modules)?);
        filters.push(router());
        let manager = json!({
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "inbound",
                "normalize_path": true,
                "route_config": {
                    "name": "inbound",
                    "virtual_hosts": [{
                        "name": "application",
                        "domains": ["*"],
                        "routes": [{
                            "match": {"prefix": "/"},
                            "direct_response": {"status": 200, "body": {"inline_string": "ok\n"}},
                        }],
                    }],
                },
                "http_filters": filters,
            },
        });
        Ok(mtls_listener(address, identity, &[manager]))
    }

    fn http_filter(self, most: usize, modules: &Modules) -> Result<Option<Value>> {
        let Self { filter, rules } = self;
        let native = |name: &str, kind: &str, config: Value| {
            let mut config = config;
            config["@type"] =
                format!("type.googleapis.com/envoy.extensions.filters.http.{kind}").into();
            json!({"name": format!("envoy.filters.http.{name}"), "typed_config": config})
        };
        Ok(match filter {
            Filter::None => None,
            Filter::Rbac => {
                let rules = json!({"rules": rules::rbac(rules, most)});
                Some(native("rbac", "rbac.v3.RBAC", rules))
            }
            Filter::LuaPeer | Filter::Lua => {
                let script = if filter == Filter::Lua {
                    rules::lua(rules, most)
                } else {
                    rules::lua_of_peer(rules, most)
                };
                let script = json!({"default_source_code": {"inline_string": script}});
                Some(native("lua", "lua.v3.Lua", script))
            }
            Filter::Noop | Filter::Least | Filter::Calls => {
                let file = match filter {
                    Filter::Noop => &modules.noop,
                    Filter::Least => &modules.least,
                    _ => &modules.calls,
                };
                let module = Module {
                    file: file.clone(),
                    failure_policy: "FAIL_CLOSED",
                    configuration: None,
                };
                Some(Plugin::Module(module).http_filter()?)
            }
            Filter::Crossmesh | Filter::CrossmeshFull => {
                let full = filter == Filter::CrossmeshFull;
                let policy = rules::policy(rules, most, full).to_string();
                Some(Plugin::Given(policy).http_filter()?)
            }
        })
    }
}
