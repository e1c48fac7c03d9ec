//! What can be typed. Everything here is only checked for its form; what it means is the commands' matter.

mod parse;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Check, test and explain cross-mesh policies, and look at the names that dns-agents answer
#[derive(Debug, Parser)]
#[command(name = "crossmesh", version, arg_required_else_help = true, after_help = TOP_EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const TOP_EXAMPLES: &str = "\
Examples:
  crossmesh policy check sidecar.yaml gateway.yaml
  crossmesh policy test sidecar.cases.yaml
  crossmesh policy explain sidecar.yaml --node-mesh west \\
      --principal spiffe://foo.com/ns/web/sa/frontend --host catalog.shop
  crossmesh dns explain catalog.shop.svc.cluster.local --agent 10.0.0.7:15054

Exit status: 0 all is well, 1 something unexpected failed, or a case or a check
did, 2 the input is wrong.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check and test policies, and explain what they decide
    #[command(subcommand, arg_required_else_help = true, after_help = POLICY_EXAMPLES)]
    Policy(PolicyCommand),
    /// Look at what a dns-agent answers
    #[command(subcommand, arg_required_else_help = true, after_help = DNS_EXAMPLES)]
    Dns(DnsCommand),
}

const POLICY_EXAMPLES: &str = "\
Examples:
  crossmesh policy check sidecar.yaml
  crossmesh policy test sidecar.cases.yaml
  crossmesh policy explain sidecar.yaml --node-mesh west \\
      --principal spiffe://foo.com/ns/web/sa/frontend --method GET --path /v1/items
  crossmesh policy schema > policy.schema.json";

const DNS_EXAMPLES: &str = "\
Examples:
  crossmesh dns explain catalog.shop.svc.cluster.local
  kubectl port-forward POD 15054 &
  crossmesh dns table --agent 127.0.0.1:15054";

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say all that is wrong with policies, with file, line, rule and field
    ///
    /// The policies go through the same code that the filter runs, after the same conversion from YAML to JSON that
    /// kubectl does: what is good here is accepted by the filter.
    ///
    /// Problems and warnings are written to standard error, one line for each good policy to standard output.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
    /// Say what a policy decides about one request, and why
    ///
    /// The request, its source and the proxy that decides are given by flags. What is not given is absent, and no
    /// rule that asks for it matches: without --method, a rule for certain methods does not allow (and a rule that
    /// excludes methods denies). Every peer has an address: without --source-ip it is not known, and a rule that denies
    /// addresses denies. Nothing is assumed for you, so give all that the rules ask for.
    ///
    /// On a port of tcp.httpPorts the TCP filter may leave a connection to the HTTP filter: then there is no verdict (with
    /// --format json, null).
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(Box<Explain>),
    /// Run cases: requests, and what policies must decide about them
    ///
    /// A file of cases is a list of suites, each of cases of one policy. Unless a suite brings its policy, it is about the
    /// one in NAME.yaml beside NAME.cases.yaml. Every case of every file is run, by the code that the filter runs, and of
    /// each that fails it is said what was asked, what was wanted, what came instead, and why.
    ///
    /// Cases that fail are written to standard output, and one line for each file. What is wrong with the cases or a
    /// policy, and which rules no case reaches, are written to standard error.
    #[command(after_help = TEST_EXAMPLES)]
    Test(Test),
    /// Print the JSON Schema from which an editor completes policies
    ///
    /// Draft 2020-12, derived from the types that the filter reads: what a field means, which values it takes, and
    /// which fields go together. It accepts every policy that the filter accepts and refuses most that it refuses;
    /// the rest, such as a mesh that is not listed, is for `crossmesh policy check` to say.
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema(Schema),
}

const CHECK_EXAMPLES: &str = "\
Examples:
  crossmesh policy check sidecar.yaml gateway.yaml
  kubectl get wasmplugins -A -o yaml | crossmesh policy check -
  crossmesh policy check --format json sidecar.yaml | jq '.files[].problems'

Exit status: 0 all policies are good, 1 something unexpected failed, 2 at least
one is wrong, or a file has none.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  # May the frontend of the mesh with foo.com read the catalog?
  crossmesh policy explain sidecar.yaml \\
      --node-mesh west --node-namespace shop --node-workload catalog \\
      --principal spiffe://foo.com/ns/web/sa/frontend \\
      --host catalog.shop.svc.cluster.local --port 8080 \\
      --method GET --path /v1/items
  # And who comes without a certificate?
  crossmesh policy explain sidecar.yaml --node-mesh west --method GET --path /
  # A TCP connection, as data
  crossmesh policy explain sidecar.yaml --node-mesh west --tcp --port 5432 \\
      --format json

Exit status: 0 there is an answer (ALLOW, DENY, or left to HTTP), 1 something
unexpected failed, 2 the policy or a flag is wrong.";

const TEST_EXAMPLES: &str = "\
Examples:
  crossmesh policy test sidecar.cases.yaml
  # All NAME.cases.yaml in a directory; a rule without a case is a failure too
  crossmesh policy test --every-rule wasm-plugins
  # Does what runs in the cluster hold what the cases say?
  kubectl get wasmplugin -n shop crossmesh -o yaml \\
      | crossmesh policy test --policy - sidecar.cases.yaml
  crossmesh policy test --format json sidecar.cases.yaml | jq '.files[].failures'

Exit status: 0 all cases hold, 1 at least one fails, 2 cases or a policy could
not be read.";

const SCHEMA_EXAMPLES: &str = "\
Examples:
  crossmesh policy schema > policy.schema.json
  # For files with WasmPlugins or TrafficExtensions
  crossmesh policy schema --resource > policy-resource.schema.json
  # For files of cases
  crossmesh policy schema --cases > policy-cases.schema.json
  # Then, as the first line of such a file, for editors with yaml-language-server:
  # yaml-language-server: $schema=./policy-resource.schema.json

Exit status: 0 it was printed, 1 something unexpected failed, 2 a flag is wrong.";

/// The arguments of `policy schema`.
#[derive(Args, Debug)]
pub(crate) struct Schema {
    /// For whole resources with a policy in them, WasmPlugin and TrafficExtension, instead of for a bare pluginConfig
    #[arg(long)]
    pub(crate) resource: bool,
    /// For files of cases, as `crossmesh policy test` runs them
    #[arg(long, conflicts_with = "resource")]
    pub(crate) cases: bool,
}

/// The arguments of `policy test`.
#[derive(Args, Debug)]
pub(crate) struct Test {
    /// YAML or JSON with cases, or a directory for every NAME.cases.yaml in it; - is standard input
    #[arg(required = true, value_name = "CASES")]
    pub(crate) files: Vec<String>,
    /// The policy of suites that bring none, in place of the one beside their file: YAML or JSON with a WasmPlugin, a
    /// TrafficExtension or a bare pluginConfig; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<String>,
    /// Which resource, where a policy's file has several
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub(crate) plugin: Option<String>,
    /// Fail also if a rule decides no case, or, if it only counts, matches in none that says audits
    #[arg(long)]
    pub(crate) every_rule: bool,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// The arguments of `policy check`.
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// YAML or JSON with WasmPlugins, TrafficExtensions, Lists of them or a bare pluginConfig; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<String>,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// The arguments of `policy explain`.
#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// YAML or JSON with a WasmPlugin, a TrafficExtension or a bare pluginConfig; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    /// Which resource of the file, when it has several
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub(crate) plugin: Option<String>,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

impl Explain {
    /// Whether it is about a TCP connection: of TLS that is not terminated here nothing else can be known.
    pub(crate) fn is_tcp(&self) -> bool {
        self.request.tcp || self.source.passthrough
    }
}

/// Who asks.
#[derive(Args, Debug)]
#[command(next_help_heading = "Source (none of these: plaintext, no client certificate)")]
pub(crate) struct SourceArgs {
    /// A URI SAN of the client's certificate; again for a certificate with several, which is an invalid identity. As in
    /// policies spiffe:// may be left out: foo.com/ns/web/sa/a is read as spiffe://foo.com/ns/web/sa/a. What does not begin with
    /// a trust domain and a slash, or has ://, is taken as it is: also what is no SPIFFE ID can be asked about
    #[arg(long, value_name = "SPIFFE_ID")]
    pub(crate) principal: Vec<String>,
    /// TLS that this proxy does not terminate, as at an east-west gateway; implies --tcp. Without --sni nobody can tell it
    /// from plaintext: it must be let in as both
    #[arg(long, conflicts_with_all = ["principal", "host", "method", "path", "header"])]
    pub(crate) passthrough: bool,
    /// The address of the direct peer. At a sidecar, a request with x-forwarded-for hides it: see --gateway
    #[arg(long, value_name = "IP", value_parser = parse::address)]
    pub(crate) source_ip: Option<IpAddr>,
}

/// What is asked.
#[derive(Args, Debug)]
#[command(next_help_heading = "Request (what is not given is absent)")]
pub(crate) struct RequestArgs {
    /// The Host header or :authority; a port in it is no matter
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// The port of the workload, 1 to 65535
    #[arg(long, value_name = "PORT", value_parser = parse::port)]
    pub(crate) port: Option<u16>,
    /// The HTTP method; case matters
    #[arg(long, value_name = "METHOD", value_parser = parse::method)]
    pub(crate) method: Option<String>,
    /// The path, with the query if there is one
    #[arg(long, value_name = "PATH", value_parser = parse::path)]
    pub(crate) path: Option<String>,
    /// A request header; again for further headers, or further lines of the same. From a listed forwarder
    /// x-forwarded-client-cert tells the source, its last element being the one that this proxy appends
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse::header)]
    pub(crate) header: Vec<(String, String)>,
    /// The server name of the TLS handshake
    #[arg(long, value_name = "NAME")]
    pub(crate) sni: Option<String>,
    /// A TCP connection instead of an HTTP request
    #[arg(long, conflicts_with_all = ["host", "method", "path", "header"])]
    pub(crate) tcp: bool,
}

/// The proxy that decides.
#[derive(Args, Debug)]
#[command(
    next_help_heading = "The proxy that decides (its node metadata; what is not given is absent)"
)]
pub(crate) struct NodeArgs {
    /// Its mesh (MESH_ID), where the policy does not say `mesh`
    #[arg(long, value_name = "MESH")]
    pub(crate) node_mesh: Option<String>,
    /// Its namespace
    #[arg(long, value_name = "NAMESPACE", value_parser = parse::plain_name)]
    pub(crate) node_namespace: Option<String>,
    /// Its workload, by the name alone
    #[arg(long, value_name = "NAME", value_parser = parse::plain_name)]
    pub(crate) node_workload: Option<String>,
    /// A label of its pod; again for further labels
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::pair)]
    pub(crate) node_label: Vec<(String, String)>,
    /// It is a gateway, where x-forwarded-for does not hide the address of the direct peer
    #[arg(long)]
    pub(crate) gateway: bool,
}

impl NodeArgs {
    /// The labels.
    ///
    /// # Errors
    /// The key that was given twice with different values.
    pub(crate) fn labels(&self) -> Result<BTreeMap<String, String>, String> {
        let mut labels = BTreeMap::new();
        for (key, value) in &self.node_label {
            if labels
                .insert(key.clone(), value.clone())
                .is_some_and(|before| before != *value)
            {
                return Err(key.clone());
            }
        }
        Ok(labels)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum DnsCommand {
    /// Print every name that an agent answers itself, and why
    ///
    /// Asks the admin port of a dns-agent for its table: the clusters with their state, and for each name the
    /// addresses, the reason, and the clusters that it comes from.
    #[command(after_help = TABLE_EXAMPLES)]
    Table(Table),
    /// Say why an agent answers a name as it does
    ///
    /// Asks the admin port of a dns-agent: what a client gets now, what decided that, every cluster's view of the name with
    /// its state, and the gateways with their health. The answer is made by the code that answers queries, and the
    /// reasons by the code that builds what it answers from.
    #[command(after_help = DNS_EXPLAIN_EXAMPLES)]
    Explain(DnsExplain),
    /// Check a node's set-up
    ///
    /// To be run on the agent's node. Looks whether the agent is ready, whether its ports answer over UDP and TCP, whether
    /// clients reach it by their resolv.conf, whether those whom it asks answer and do not ask it in turn, and how the
    /// clusters and gateways are. Each check is ok, a warning or a problem, the latter two with what to do.
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(Doctor),
}

const TABLE_EXAMPLES: &str = "\
Examples:
  crossmesh dns table --agent 10.0.0.7:15054
  crossmesh dns table --agent 10.0.0.7:15054 --format json | jq .clusters

Exit status: 0 there is a table, 1 the agent could not be asked, 2 a flag is wrong.";

const DNS_EXPLAIN_EXAMPLES: &str = "\
Examples:
  crossmesh dns explain catalog.shop.svc.cluster.local
  # What does a pod in namespace web get for the short name?
  crossmesh dns explain catalog.shop --namespace web --type AAAA
  crossmesh dns explain _http._tcp.catalog.shop.svc.cluster.local --type SRV --json

Exit status: 0 there is an explanation, 1 the agent could not be asked, 2 the
name or a flag is wrong.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  crossmesh dns doctor
  # Does a pod reach the agent?
  kubectl exec POD -- cat /etc/resolv.conf > pod.conf
  crossmesh dns doctor --resolv-conf pod.conf
  crossmesh dns doctor --json | jq '.checks[] | select(.level != \"ok\")'

Exit status: 0 no problem (there may be warnings), 1 at least one problem, 2 a
flag is wrong.";

/// The arguments of `dns doctor`.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// The file by which the agent's clients find it; default: this machine's, which may be for others
    #[arg(long, value_name = "FILE")]
    pub(crate) resolv_conf: Option<String>,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

/// The arguments of `dns table`.
#[derive(Args, Debug)]
pub(crate) struct Table {
    #[command(flatten)]
    pub(crate) agent: Agent,
}

/// The arguments of `dns explain`.
#[derive(Args, Debug)]
pub(crate) struct DnsExplain {
    /// The name; with --namespace as a pod writes it, otherwise whole
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The type that is asked for, such as A, AAAA, SRV or TYPE64
    #[arg(long = "type", value_name = "TYPE", default_value = "A")]
    pub(crate) rtype: String,
    /// Explain what a pod of this namespace asks: a short name goes through the pod's search list (ndots:5)
    #[arg(long, value_name = "NAMESPACE", value_parser = parse::label)]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

/// Which agent is asked, and how its answer is written.
#[derive(Args, Debug)]
pub(crate) struct Agent {
    /// The admin address of the agent (`admin` in its configuration)
    #[arg(long = "agent", value_name = "HOST:PORT", env = "CROSSMESH_AGENT", default_value = "127.0.0.1:15054",
          value_parser = parse::agent)]
    pub(crate) address: String,
    /// How long to wait for the agent, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse::seconds)]
    pub(crate) timeout: Duration,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
}

impl Agent {
    /// How to write the result.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

#[cfg(test)]
mod tests;
