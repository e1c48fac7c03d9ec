//! Whether the agent's own ports answer, whether those whom it asks do, and that none of them asks it in turn.

use std::net::SocketAddr;

use super::Check;
use super::ask::{A, Ask, NS, Reply, Transport};
use super::status::Status;

const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;

/// A name that every agent answers itself: it exists and has no records, and the SOA of that answer has a serial by which
/// the agent is told from others. In shadow mode the cluster's DNS answers it.
pub(super) fn own_name(status: &Status) -> String {
    format!("svc.{}", status.cluster_domain)
}

/// Whether a reply is this agent's. In shadow mode nobody can tell.
pub(super) fn is_ours(status: &Status, reply: Reply) -> bool {
    status.mode != "shadow" && reply.serial == Some(status.serial)
}

/// The ports on which the agent answers queries.
pub(super) fn own(status: &Status, network: &impl Ask) -> Vec<Check> {
    let mut checks = Vec::new();
    for server in &status.listen {
        for (by, about) in [(Transport::Udp, "udp"), (Transport::Tcp, "tcp")] {
            let about = format!("{about} {server}");
            checks.push(match network.ask(*server, by, &own_name(status), A) {
                Ok(reply) if reply.rcode == SERVFAIL => Check::warning(
                    about,
                    "answers SERVFAIL",
                    "the checks of clusters and upstream servers below say why",
                ),
                Ok(_) => Check::ok(about, "answers"),
                Err(why) => Check::problem(
                    about,
                    format!("does not answer: {why}"),
                    "run this on the agent's node; there, look for a firewall, or for another process on this port",
                ),
            });
        }
    }
    checks
}

/// Those whom the agent asks.
pub(super) fn upstream(status: &Status, network: &impl Ask) -> Vec<Check> {
    let own = own_name(status);
    let general = status
        .general_servers
        .iter()
        .map(|server| Upstream::ask(*server, "upstream", ".", NS, network));
    let cluster = status
        .cluster_servers
        .iter()
        .map(|server| Upstream::ask(*server, "cluster dns", &own, A, network));
    let mut checks = Vec::new();
    for all in [general.collect::<Vec<_>>(), cluster.collect()] {
        let some = all.iter().any(|one| one.reply.is_ok());
        checks.extend(all.iter().map(|one| one.check(some, all.len())));
    }
    checks.extend(stub(status));
    checks.push(loops(status, network));
    checks
}

/// A server that the agent asks.
struct Upstream {
    about: String,
    reply: Result<Reply, String>,
}

impl Upstream {
    fn ask(server: SocketAddr, what: &str, name: &str, rtype: u16, network: &impl Ask) -> Self {
        Self {
            about: format!("{what} {server}"),
            reply: network.ask(server, Transport::Udp, name, rtype),
        }
    }

    /// As one of `all`, of whom perhaps another answers.
    fn check(&self, another_answers: bool, all: usize) -> Check {
        let about = self.about.clone();
        match &self.reply {
            Ok(reply) if matches!(reply.rcode, SERVFAIL | REFUSED) => Check::warning(
                about,
                if reply.rcode == REFUSED {
                    "refuses this node's queries"
                } else {
                    "answers SERVFAIL"
                },
                "that server's log says why; another one is asked meanwhile, if there is one",
            ),
            Ok(_) => Check::ok(about, "answers"),
            Err(why) if another_answers => Check::warning(
                about,
                format!("does not answer: {why}"),
                "another one is asked instead; mend it, or take it out of upstreams",
            ),
            Err(why) => Check::problem(
                about,
                match all {
                    1 => format!("does not answer, and there is no other: {why}"),
                    _ => format!("does not answer, nor does another: {why}"),
                },
                "names that are not the agent's own fail now; look for a firewall, or correct upstreams",
            ),
        }
    }
}

/// systemd-resolved's stub as an upstream server.
fn stub(status: &Status) -> Option<Check> {
    let stub = status
        .general_servers
        .iter()
        .find(|server| is_stub(**server))?;
    let file = status.resolv_conf.as_deref().unwrap_or("upstreams.servers");
    Some(Check::warning(
        "systemd-resolved",
        format!(
            "{file} names its stub {stub}, which forgets what it forwards to and may be sent back here"
        ),
        "write upstreams: {resolvConf: /run/systemd/resolve/resolv.conf}, which has the real servers",
    ))
}

/// 127.0.0.53 and 127.0.0.54 (systemd-resolved.service(8)).
pub(super) fn is_stub(server: SocketAddr) -> bool {
    let stubs = ["127.0.0.53", "127.0.0.54"];
    stubs.contains(&&*server.ip().to_string())
}

/// An upstream server that gives an answer of the agent's has asked the agent: what neither knows goes around.
fn loops(status: &Status, network: &impl Ask) -> Check {
    if status.mode == "shadow" {
        return Check::ok(
            "loop",
            "not looked for: in shadow mode the agent says nothing of its own",
        );
    }
    let own = own_name(status);
    let all = status.general_servers.iter().chain(&status.cluster_servers);
    let around = all.filter(|server| {
        let reply = network.ask(**server, Transport::Udp, &own, A);
        reply.is_ok_and(|reply| is_ours(status, reply))
    });
    let around: Vec<String> = around.map(ToString::to_string).collect();
    if around.is_empty() {
        return Check::ok("loop", "no upstream server asks this agent");
    }
    Check::problem(
        "loop",
        format!(
            "{} asks this agent: what neither knows goes around for ever",
            around.join(", ")
        ),
        "give the cluster's DNS under an address that does not lead here (upstreams.clusterZone), and let it forward to \
         the real servers of the node",
    )
}
