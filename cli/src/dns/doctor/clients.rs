//! Whether whoever reads a resolv.conf reaches the agent, and with which names.

use std::net::SocketAddr;

use super::ask::{A, Ask, Transport};
use super::resolv_conf::{ResolvConf, read};
use super::servers::{is_ours, is_stub, own_name};
use super::status::Status;
use super::{Check, Clients};
use crate::dns::columns::listed;

/// The C libraries ask no more servers than that.
const SERVERS: usize = 3;
/// glibc before 2.26 and musl before 1.2.4 know no more search domains.
const DOMAINS: usize = 6;
/// What kubelet writes; more costs every outside name more questions.
const NDOTS: u8 = 5;
const PORT: u16 = 53;

pub(super) fn check(
    clients: &Clients<'_>,
    status: Option<&Status>,
    network: &impl Ask,
) -> Vec<Check> {
    let file = clients.file;
    let conf = match &clients.text {
        Ok(text) => read(text),
        Err(why) => {
            let mend = "give the file that the agent's clients read with --resolv-conf";
            return vec![Check::problem(
                "clients",
                format!("{file} cannot be read: {why}"),
                mend,
            )];
        }
    };
    let servers: Vec<SocketAddr> = conf
        .servers
        .iter()
        .map(|of| SocketAddr::new(*of, PORT))
        .collect();
    let mut checks = Vec::new();
    if servers.is_empty() {
        checks.push(Check::problem(
            "clients",
            format!("{file} has no nameserver"),
            "write a line \"nameserver ADDRESS\" with an address of the agent's listen",
        ));
    } else if let Some(status) = status {
        checks.push(reach(clients, &servers, &conf, status, network));
    }
    if let Some(stub) = servers.iter().find(|server| is_stub(**server)) {
        checks.push(Check::warning(
            "clients",
            format!("{file} names systemd-resolved's stub {}", stub.ip()),
            "let systemd-resolved forward the cluster domain to the agent (resolvectl dns and domain), or have clients ask \
             the agent themselves",
        ));
    }
    checks.extend(names(file, &conf, status));
    checks
}

/// Which of the servers lead to the agent.
fn reach(
    clients: &Clients<'_>,
    servers: &[SocketAddr],
    conf: &ResolvConf,
    status: &Status,
    network: &impl Ask,
) -> Check {
    let file = clients.file;
    let leads_here = |server: &&SocketAddr| {
        status.listen.contains(server)
            || network
                .ask(**server, Transport::Udp, &own_name(status), A)
                .is_ok_and(|reply| is_ours(status, reply))
    };
    let here: Vec<&SocketAddr> = servers.iter().take(SERVERS).filter(leads_here).collect();
    let first = servers.first();
    match here.first() {
        Some(server) if here.len() == servers.len() => Check::ok(
            "clients",
            format!("{file}: {} leads to the agent", server.ip()),
        ),
        Some(server) if first == Some(*server) && !conf.rotate => Check::ok(
            "clients",
            format!(
                "{file}: {} leads to the agent, others are asked only when it is silent",
                server.ip()
            ),
        ),
        Some(server) => Check::warning(
            "clients",
            format!(
                "{file}: only {} leads to the agent, and others are asked before it",
                server.ip()
            ),
            "put the agent first and leave \"rotate\" out: the first denial counts",
        ),
        None => {
            let found = format!(
                "{file}: none of {} leads to the agent",
                listed(&conf.servers)
            );
            let found = if status.mode == "shadow" {
                format!("{found}, as far as can be told in shadow mode")
            } else {
                found
            };
            if clients.given && status.mode != "shadow" {
                let mend = "set kubelet's clusterDNS, or whatever writes this file, to an address of the agent's listen";
                Check::problem("clients", found, mend)
            } else {
                let mend = "that is right where only pods ask the agent: check a pod's file with --resolv-conf";
                Check::warning("clients", found, mend)
            }
        }
    }
}

/// Search list and options.
fn names(file: &str, conf: &ResolvConf, status: Option<&Status>) -> Vec<Check> {
    let mut checks = Vec::new();
    if conf.servers.len() > SERVERS {
        checks.push(Check::warning(
            "servers",
            format!(
                "{file} has {} nameservers; only the first {SERVERS} are ever asked",
                conf.servers.len()
            ),
            "take the others out",
        ));
    }
    if conf.search.len() > DOMAINS {
        checks.push(Check::warning(
            "search",
            format!(
                "{file} has {} search domains; older C libraries know {DOMAINS}",
                conf.search.len()
            ),
            "take some out: every outside name is asked with each of them",
        ));
    }
    if conf.ndots > NDOTS {
        checks.push(Check::warning(
            "ndots",
            format!("{file} has ndots:{}", conf.ndots),
            format!("write ndots:{NDOTS} at most: every outside name with fewer dots is asked with each search domain first"),
        ));
    }
    let of_services = conf
        .search
        .iter()
        .find_map(|domain| domain.strip_prefix("svc."));
    let Some(found) = of_services else {
        return checks;
    };
    if conf.ndots < 2 {
        checks.push(Check::warning(
            "ndots",
            format!("{file} has ndots:{}", conf.ndots),
            format!("write ndots:{NDOTS}, as kubelet does: a name such as catalog.shop is asked outside first"),
        ));
    }
    match status {
        Some(status) if status.cluster_domain != found => checks.push(Check::problem(
            "search",
            format!("{file} has svc.{found}, and the agent's clusterDomain is {}", status.cluster_domain),
            "make them the same: kubelet's clusterDomain, or clusterDomain in the agent's configuration",
        )),
        _ => checks.push(Check::ok("search", format!("{file}: svc.{found}, ndots:{}", conf.ndots))),
    }
    checks
}
