//! Whether the agent's own ports answer, whether those whom it asks do, and what it found of servers that ask agents.

use std::net::SocketAddr;

use super::Check;
use super::ask::{A, Ask, NS, Reply, Transport};
use super::status::{LeadsTo, PartialLoop, Status};

const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;

/// A reply that is no answer: it says that the server cannot or will not tell.
fn failure(reply: Reply) -> Option<&'static str> {
    match reply.rcode {
        1 => Some("answers FORMERR"),
        SERVFAIL => Some("answers SERVFAIL"),
        4 => Some("answers NOTIMP"),
        REFUSED => Some("refuses this node's queries"),
        _ => None,
    }
}

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
                Ok(reply) if reply.rcode == REFUSED => Check::problem(
                    about,
                    "refuses this node's queries",
                    "it answers only whom allowFrom names: if this is the agent's node, or a pod is refused too, add their \
                     range to cluster.ranges or allowFrom",
                ),
                Ok(reply) => match failure(reply) {
                    None => Check::ok(about, "answers"),
                    Some(what) => Check::problem(
                        about,
                        format!("{what}, as no agent does"),
                        "another process answers on this port: ss -lnptu tells which",
                    ),
                },
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
        let some = all.iter().any(Upstream::answers);
        checks.extend(all.iter().map(|one| one.check(some, all.len())));
    }
    checks.extend(stub(status));
    checks.extend(leads(status));
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

    fn answers(&self) -> bool {
        matches!(&self.reply, Ok(reply) if failure(*reply).is_none())
    }

    /// As one of `all`, of whom perhaps another answers.
    fn check(&self, another_answers: bool, all: usize) -> Check {
        let about = self.about.clone();
        let (found, mend) = match &self.reply {
            Ok(reply) => match failure(*reply) {
                None => return Check::ok(about, "answers"),
                Some(what) => (what.to_owned(), "that server's log says why"),
            },
            Err(why) => (
                format!("does not answer: {why}"),
                "look for a firewall, or correct upstreams",
            ),
        };
        if another_answers {
            return Check::warning(
                about,
                found,
                format!("another one is asked instead; {mend}, or take it out of upstreams"),
            );
        }
        let others = match all {
            1 => "there is no other",
            _ => "no other answers",
        };
        Check::problem(
            about,
            format!("{found}; {others}"),
            format!("names that are not the agent's own fail now; {mend}"),
        )
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

/// What the agent found, which looks all the time: servers whose questions come back to it, or reach another agent.
fn leads(status: &Status) -> Vec<Check> {
    let lead = |lead: &LeadsTo| {
        let LeadsTo {
            server,
            names,
            agent,
            back,
            itself,
        } = lead;
        let names = names.join(", ");
        if !back {
            return Check::warning(
                "loop",
                format!(
                    "{server} asks another agent, {agent} (names: {names}): no loop, but a way around"
                ),
                "have that server ask the node's real servers, or take it out of upstreams",
            );
        }
        let by = if *itself {
            String::new()
        } else {
            format!(" by way of the agent {agent}")
        };
        Check::problem(
            "loop",
            format!(
                "{server} sends the agent's questions back{by} (names: {names}): what nobody there knows fails"
            ),
            "give the cluster's DNS under an address that does not lead here (upstreams.clusterZone), and let it forward to \
             the real servers of the node",
        )
    };
    let partial = |PartialLoop { server, names }: &PartialLoop| {
        Check::warning(
            "loop",
            format!(
                "{server} sends some of the agent's questions back (names: {}): these wait until they take another way",
                names.join(", ")
            ),
            "have that server ask none but the node's real servers, or take it out of upstreams",
        )
    };
    let leads = status.leads.iter().map(lead);
    let found: Vec<Check> = leads
        .chain(status.partial_loops.iter().map(partial))
        .collect();
    if found.is_empty() {
        return vec![Check::ok("loop", "no upstream server asks an agent")];
    }
    found
}
