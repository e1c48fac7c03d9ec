//! The same rules in three languages: ours, Envoy's RBAC as Istio writes it, and Lua.
//!
//! Each lets one account read `/v1/…`. The caller's is the last, so that whoever looks at one rule after the other looks at
//! all of them.

use serde_json::{Value, json};

use crate::names::SERVICE_PORT;

/// Where the requests go: what every rule lets its account read.
pub(super) const PATH: &str = "/v1/items";
/// The host that they name.
pub(super) const HOST: &str = "catalog.shop.svc.cluster.local";

/// The path of the SPIFFE ID (after `spiffe://`) of the account that a rule is about.
fn account(rule: usize) -> String {
    format!("foo.com/ns/web/sa/caller-{rule:05}")
}

/// The SPIFFE ID of the caller, whom the last of so many rules lets in.
pub(super) fn caller(rules: usize) -> String {
    format!("spiffe://{}", account(rules))
}

/// The name of a rule. In lexicographic order too, which is RBAC's, the last rule is last.
pub(super) fn name(rule: usize) -> String {
    format!("rule-{rule:05}")
}

/// Rules number 1 to `rules`, but as they are numbered among `most`: the last one is always the same.
fn numbers(rules: usize, most: usize) -> impl Iterator<Item = usize> {
    (most + 1 - rules)..=most
}

/// As our policy, with everything that is measured only where it is asked for, or without.
pub(super) fn policy(rules: usize, most: usize, full_telemetry: bool) -> Value {
    let rules = numbers(rules, most).map(|rule| {
        json!({
            "name": name(rule),
            "action": "ALLOW",
            "from": [{"principals": [account(rule)]}],
            "to": [{"methods": ["GET"], "paths": ["/v1/*"]}],
        })
    });
    json!({
        "schema": "crossmesh/v1",
        "mesh": "west",
        "meshes": [
            {"id": "east", "trustDomains": ["foo.com"]},
            {"id": "west", "trustDomains": ["bar.com"]},
        ],
        "rules": rules.collect::<Vec<_>>(),
        "telemetry": {"bytes": full_telemetry, "duration": full_telemetry},
    })
}

/// As our policy, the rules told apart by their paths alone: of a connection none is known. On the service's port the HTTP
/// filter follows the network filter.
pub(super) fn by_path(rules: usize, most: usize) -> Value {
    let mut policy = policy(rules, most, false);
    let rules = numbers(rules, most).map(|rule| {
        json!({
            "name": name(rule),
            "action": "ALLOW",
            "from": [{"meshes": ["east"]}],
            "to": [{"methods": ["GET"], "paths": [if rule == most { PATH.to_owned() } else { format!("/v1/{rule:05}") }]}],
        })
    });
    policy["rules"] = rules.collect();
    policy["tcp"] = json!({"httpPorts": [SERVICE_PORT]});
    policy
}

/// As Istio translates AuthorizationPolicy with `principals`, `methods` and `paths`, one rule each.
pub(super) fn rbac(rules: usize, most: usize) -> Value {
    let policies = numbers(rules, most).map(|rule| {
        let principal = format!("spiffe://{}", account(rule));
        let policy = json!({
            "permissions": [{"and_rules": {"rules": [
                {"or_rules": {"rules": [{"header": {"name": ":method", "string_match": {"exact": "GET"}}}]}},
                {"or_rules": {"rules": [{"url_path": {"path": {"prefix": "/v1/"}}}]}},
            ]}}],
            "principals": [{"and_ids": {"ids": [
                {"or_ids": {"ids": [{"authenticated": {"principal_name": {"exact": principal}}}]}},
            ]}}],
        });
        (name(rule), policy)
    });
    json!({"action": "ALLOW", "policies": policies.collect::<serde_json::Map<_, _>>()})
}

/// As a script that looks up the peer's SAN in a table and no more: neither method nor path, nothing told.
pub(super) fn lua_of_peer(rules: usize, most: usize) -> String {
    let rows =
        numbers(rules, most).map(|rule| format!("  [\"spiffe://{}\"] = true,\n", account(rule)));
    format!(
        "local allowed = {{\n{}}}\n\
         function envoy_on_request(handle)\n\
         \x20 local peer = handle:streamInfo():downstreamSslConnection():uriSanPeerCertificate()[1]\n\
         \x20 if not allowed[peer] then\n\
         \x20   handle:respond({{[\":status\"] = \"403\"}}, \"access denied\\n\")\n\
         \x20 end\n\
         end\n",
        rows.collect::<String>()
    )
}

/// As a script that looks at method and path too, removes headers that pretend to be ours, counts, and tells the source, the
/// destination and the decision in filter state.
pub(super) fn lua(rules: usize, most: usize) -> String {
    let rows = numbers(rules, most).map(|rule| {
        format!(
            "  [\"spiffe://{}\"] = {{rule = \"{}\", method = \"GET\", path = \"/v1/\"}},\n",
            account(rule),
            name(rule)
        )
    });
    let rows = rows.collect::<String>();
    format!("local rules = {{\n{rows}}}\nlocal counted = \"{LUA_COUNTER}\"\n{LUA}")
}

/// What the script counts the allowed requests by.
pub(super) const LUA_COUNTER: &str = "bench_lua_allowed";

const LUA: &str = r#"
function envoy_on_request(handle)
  local info = handle:streamInfo()
  local rule = rules[info:downstreamSslConnection():uriSanPeerCertificate()[1]]
  local headers = handle:headers()
  local reserved
  for name in pairs(headers) do
    if name:sub(1, 12) == "x-crossmesh-" then
      reserved = reserved or {}
      table.insert(reserved, name)
    end
  end
  local allowed = rule and headers:get(":method") == rule.method
    and headers:get(":path"):sub(1, #rule.path) == rule.path
  local state = info:filterState()
  state:set("lua.crossmesh_source_mesh", "envoy.string", "east")
  state:set("lua.crossmesh_destination_mesh", "envoy.string", "west")
  state:set("lua.crossmesh_decision", "envoy.string", allowed and "ALLOW rule:" .. rule.rule or "DENY default:peerMesh")
  if allowed then
    handle:stats():counter(counted):inc()
  else
    handle:respond({[":status"] = "403"}, "access denied\n")
  end
  for _, name in ipairs(reserved or {}) do
    headers:remove(name)
  end
end
"#;
