use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use super::ask::Reply;
use super::*;

/// What servers say over UDP and TCP; whoever is not in it is silent.
struct Said(BTreeMap<String, Reply>);

impl Ask for Said {
    fn ask(
        &self,
        server: SocketAddr,
        _: ask::Transport,
        name: &str,
        _: u16,
    ) -> Result<Reply, String> {
        assert!(name == "." || name == "svc.cluster.local", "{name}");
        let said = self.0.get(&server.to_string());
        said.copied().ok_or_else(|| "silence".to_owned())
    }
}

const AGENT: &str = "169.254.20.10:53";
const UPSTREAM: &str = "10.0.0.2:53";
const CLUSTER_DNS: &str = "10.96.0.11:53";

/// A node where all is well, and what is told of it.
struct Case {
    status: Option<wire::Status>,
    said: Vec<(&'static str, Reply)>,
    resolv_conf: Option<&'static str>,
    given: bool,
    seconds_later: u64,
}

fn serial(serial: u32) -> Reply {
    Reply {
        rcode: 0,
        serial: Some(serial),
    }
}

fn cluster(id: &str, local: bool, state: wire::SyncState, problem: &str) -> wire::ClusterStatus {
    let address = |health: &str| wire::GatewayAddress {
        address: "203.0.113.7:15443".to_owned(),
        health: health.to_owned(),
        reached: Some(health == "healthy"),
        probed_milliseconds_ago: Some(500),
    };
    wire::ClusterStatus {
        cluster: Some(wire::Cluster {
            id: id.to_owned(),
            mesh: "east".to_owned(),
            state: state.into(),
            problem: problem.to_owned(),
            services: 2,
            not_synced_milliseconds: (state != wire::SyncState::Synced).then_some(180_000),
            ..wire::Cluster::default()
        }),
        local,
        hbone_gateways: Vec::new(),
        gateways: vec![wire::Gateway {
            host: "203.0.113.7".to_owned(),
            port: 15443,
            addresses: vec![address("healthy")],
            lookup_problem: String::new(),
        }],
    }
}

impl Default for Case {
    fn default() -> Self {
        Self {
            status: Some(wire::Status {
                version: "0.1.0".to_owned(),
                ready: true,
                listen: vec![AGENT.to_owned()],
                cluster_domain: "cluster.local".to_owned(),
                local_cluster: "cluster-1".to_owned(),
                mode: "overlay".to_owned(),
                serial: 77,
                unix_milliseconds: 1_000_000,
                general_servers: vec![UPSTREAM.to_owned()],
                cluster_servers: vec![CLUSTER_DNS.to_owned()],
                clusters: vec![
                    cluster("cluster-1", true, wire::SyncState::Synced, ""),
                    cluster("cluster-2", false, wire::SyncState::Synced, ""),
                ],
                given_ranges: vec!["10.244.0.0/16".to_owned()],
                told_ranges: vec!["10.96.0.0/12".to_owned()],
                has_peers: true,
                ..wire::Status::default()
            }),
            said: vec![
                (AGENT, serial(77)),
                (
                    UPSTREAM,
                    Reply {
                        rcode: 0,
                        serial: None,
                    },
                ),
                (CLUSTER_DNS, serial(1)),
            ],
            resolv_conf: Some(
                "nameserver 169.254.20.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\n\
                 options ndots:5\n",
            ),
            given: true,
            seconds_later: 1,
        }
    }
}

impl Case {
    fn with(change: impl FnOnce(&mut wire::Status)) -> Self {
        let mut case = Self::default();
        change(case.status.as_mut().unwrap());
        case
    }

    fn clients(text: &'static str) -> Self {
        Self {
            resolv_conf: Some(text),
            ..Self::default()
        }
    }

    fn says(mut self, server: &'static str, reply: Option<Reply>) -> Self {
        self.said.retain(|(other, _)| *other != server);
        self.said.extend(reply.map(|reply| (server, reply)));
        self
    }

    fn findings(self) -> Findings {
        let status = self.status.map(Status::try_from).map(Result::unwrap);
        let node = Node {
            agent: "127.0.0.1:15054",
            status: status.ok_or_else(|| "it cannot be reached: connection refused".to_owned()),
            asked_at: UNIX_EPOCH + Duration::from_secs(1_000 + self.seconds_later),
            clients: Clients {
                file: "pod.conf",
                given: self.given,
                text: self
                    .resolv_conf
                    .map(str::to_owned)
                    .ok_or_else(|| "no such file".to_owned()),
            },
        };
        let said = self.said.into_iter();
        findings(
            &node,
            &Said(
                said.map(|(server, reply)| (server.to_owned(), reply))
                    .collect(),
            ),
        )
    }

    /// What is not ok: level, subject, and a part of what was found.
    #[track_caller]
    fn check(self, expected: &[(Level, &str, &str)]) {
        let findings = self.findings();
        let text = findings.to_string();
        let bad: Vec<&Check> = findings
            .checks
            .iter()
            .filter(|check| check.level != Level::Ok)
            .collect();
        assert_eq!(bad.len(), expected.len(), "{text}");
        for (check, (level, about, part)) in bad.iter().zip(expected) {
            assert_eq!((check.level, &*check.about), (*level, *about), "{text}");
            assert!(
                check.found.contains(part),
                "{part:?} is not in {:?}",
                check.found
            );
            assert!(
                check.mend.as_ref().is_some_and(|mend| !mend.is_empty()),
                "{text}"
            );
        }
    }
}

use Level::{Problem, Warning};

#[test]
fn a_node_where_all_is_well_is_told_line_by_line() {
    let text = Case::default().findings().to_string();
    let expected = "\
ok       agent                   0.1.0 of cluster-1 at 127.0.0.1:15054, mode: overlay, ready
ok       clock                   the agent's is this machine's
ok       udp 169.254.20.10:53    answers
ok       tcp 169.254.20.10:53    answers
ok       clients                 pod.conf: 169.254.20.10 leads to the agent
ok       search                  pod.conf: svc.cluster.local, ndots:5
ok       upstream 10.0.0.2:53    answers
ok       cluster dns 10.96.0.11:53  answers
ok       loop                    no upstream server asks an agent
ok       cluster cluster-1       synced, 2 services
ok       cluster cluster-2       synced, 2 services
ok       gateways cluster-2      203.0.113.7:15443 can be reached
ok       ranges                  10.244.0.0/16; of services, as the API server tells them, 10.96.0.0/12

13 checks: 0 problems, 0 warnings
";
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeezed(&text), squeezed(expected), "{text}");
}

#[test]
fn an_agent_that_is_not_there_or_not_ready_is_a_problem() {
    let gone = Case {
        status: None,
        ..Case::default()
    };
    gone.check(&[(Problem, "agent", "connection refused")]);
    Case::with(|status| {
        status.ready = false;
        status.pending = vec!["catalog cluster-1".to_owned()];
    })
    .check(&[(Problem, "agent", "waits for: catalog cluster-1")]);
    Case::with(|status| status.stopping = true).check(&[(Warning, "agent", "stopping")]);
}

#[test]
fn ports_that_do_not_answer_are_problems() {
    Case::default().says(AGENT, None).check(&[
        (Problem, "udp 169.254.20.10:53", "silence"),
        (Problem, "tcp 169.254.20.10:53", "silence"),
    ]);
    let failing = Reply {
        rcode: 2,
        serial: None,
    };
    Case::default().says(AGENT, Some(failing)).check(&[
        (Warning, "udp 169.254.20.10:53", "SERVFAIL"),
        (Warning, "tcp 169.254.20.10:53", "SERVFAIL"),
    ]);
    let refusing = Reply {
        rcode: 5,
        serial: None,
    };
    Case::default().says(AGENT, Some(refusing)).check(&[
        (Problem, "udp 169.254.20.10:53", "refuses"),
        (Problem, "tcp 169.254.20.10:53", "refuses"),
    ]);
}

#[test]
fn clients_must_reach_the_agent_first() {
    // Another address may lead to the agent: its answer tells.
    Case::clients("nameserver 10.96.0.10\n")
        .says("10.96.0.10:53", Some(serial(77)))
        .check(&[]);
    Case::clients("nameserver 10.96.0.10\n")
        .says("10.96.0.10:53", Some(serial(1)))
        .check(&[(Problem, "clients", "none of 10.96.0.10 leads to the agent")]);
    let node = Case {
        given: false,
        ..Case::clients("nameserver 10.0.0.2\n")
    };
    node.check(&[(Warning, "clients", "none of 10.0.0.2 leads to the agent")]);
    Case::clients("nameserver 169.254.20.10\nnameserver 10.0.0.2\n").check(&[]);
    Case::clients("nameserver 10.0.0.2\nnameserver 169.254.20.10\n").check(&[(
        Warning,
        "clients",
        "others are asked before it",
    )]);
    Case::clients("nameserver 169.254.20.10\nnameserver 10.0.0.2\noptions rotate\n").check(&[(
        Warning,
        "clients",
        "others are asked before it",
    )]);
    Case::clients("search a.b\n").check(&[(Problem, "clients", "has no nameserver")]);
    let missing = Case {
        resolv_conf: None,
        ..Case::default()
    };
    missing.check(&[(Problem, "clients", "no such file")]);
    let stub = Case {
        given: false,
        ..Case::clients("nameserver 127.0.0.53\n")
    };
    stub.check(&[
        (Warning, "clients", "none of 127.0.0.53"),
        (Warning, "clients", "systemd-resolved's stub"),
    ]);
}

#[test]
fn search_lists_and_options_that_hurt_are_told() {
    Case::clients("nameserver 169.254.20.10\nsearch shop.svc.cluster.local svc.cluster.local\n")
        .check(&[(Warning, "ndots", "ndots:1")]);
    Case::clients("nameserver 169.254.20.10\noptions ndots:9 timeout:2\n")
        .check(&[(Warning, "ndots", "ndots:9")]);
    Case::clients("nameserver 169.254.20.10\nsearch svc.example.org\noptions ndots:5\n")
        .check(&[(Problem, "search", "svc.example.org")]);
    Case::clients("nameserver 169.254.20.10\nsearch a b c d e f g\n").check(&[(
        Warning,
        "search",
        "7 search domains",
    )]);
    Case::clients(
        "nameserver 169.254.20.10\nnameserver 169.254.20.10\nnameserver 169.254.20.10\nnameserver 169.254.20.10\n",
    )
    .check(&[
        (Warning, "servers", "4 nameservers"),
    ]);
}

#[test]
fn upstream_servers_must_answer_and_not_ask_the_agent() {
    Case::default().says(UPSTREAM, None).check(&[(
        Problem,
        "upstream 10.0.0.2:53",
        "there is no other",
    )]);
    let two = Case::with(|status| status.general_servers.push("10.0.0.3:53".to_owned()));
    two.check(&[(Warning, "upstream 10.0.0.3:53", "silence")]);
    // Who refuses does not answer, for itself or in another's place.
    let refusing = Some(Reply {
        rcode: 5,
        serial: None,
    });
    Case::default().says(UPSTREAM, refusing).check(&[(
        Problem,
        "upstream 10.0.0.2:53",
        "refuses this node's queries; there is no other",
    )]);
    let both = Case::with(|status| status.general_servers.push("10.0.0.3:53".to_owned()));
    both.says(UPSTREAM, refusing).check(&[
        (Problem, "upstream 10.0.0.2:53", "refuses"),
        (Problem, "upstream 10.0.0.3:53", "silence; no other answers"),
    ]);
    let one = Case::with(|status| status.general_servers.push("10.0.0.3:53".to_owned()));
    one.says("10.0.0.3:53", refusing)
        .check(&[(Warning, "upstream 10.0.0.3:53", "refuses")]);
    Case::with(|status| {
        status.general_servers = vec!["127.0.0.53:53".to_owned()];
        status.resolv_conf = "/etc/resolv.conf".to_owned();
    })
    .says("127.0.0.53:53", Some(serial(1)))
    .check(&[(
        Warning,
        "systemd-resolved",
        "/etc/resolv.conf names its stub 127.0.0.53:53",
    )]);
}

#[test]
fn what_the_agent_found_of_servers_that_ask_agents_is_told() {
    let lead = |back, itself| wire::LeadsTo {
        server: CLUSTER_DNS.to_owned(),
        names: vec!["outside".to_owned(), "reverse".to_owned()],
        agent: "cluster-1 on b".to_owned(),
        back,
        itself,
    };
    for mode in ["overlay", "shadow"] {
        let case = |all: Vec<wire::LeadsTo>| {
            Case::with(move |status| {
                status.leads = all;
                status.mode = mode.to_owned();
            })
        };
        case(vec![lead(true, true)]).check(&[(
            Problem,
            "loop",
            "10.96.0.11:53 sends the agent's questions back (names: outside, reverse)",
        )]);
        case(vec![lead(true, false), lead(false, false)]).check(&[
            (Problem, "loop", "back by way of the agent cluster-1 on b"),
            (Warning, "loop", "asks another agent, cluster-1 on b"),
        ]);
    }
}

#[test]
fn servers_that_send_some_questions_back_are_told() {
    let partly = || wire::PartialLoop {
        server: CLUSTER_DNS.to_owned(),
        names: vec!["outside".to_owned(), "cluster.local".to_owned()],
    };
    Case::with(move |status| status.partial_loops = vec![partly()]).check(&[(
        Warning,
        "loop",
        "10.96.0.11:53 sends some of the agent's questions back (names: outside, cluster.local)",
    )]);
}

#[test]
fn clusters_and_gateways_are_told_by_their_state() {
    let peer = |state, problem: &'static str| {
        Case::with(move |status| status.clusters[1] = cluster("cluster-2", false, state, problem))
    };
    peer(wire::SyncState::Stale, "connection refused").check(&[(
        Warning,
        "cluster cluster-2",
        "stale for 3 min, 2 services: connection refused",
    )]);
    peer(wire::SyncState::Pending, "").check(&[(
        Warning,
        "cluster cluster-2",
        "pending for 3 min",
    )]);
    peer(wire::SyncState::TimedOut, "").check(&[(Problem, "cluster cluster-2", "timed-out")]);
    Case::with(|status| {
        status.clusters[0] = cluster("cluster-1", true, wire::SyncState::Pending, "")
    })
    .check(&[(Problem, "cluster cluster-1", "pending")]);
    let health = |all: &'static [&'static str]| {
        Case::with(move |status| {
            let gateway = &mut status.clusters[1].gateways[0];
            let one = gateway.addresses[0].clone();
            gateway.addresses = all
                .iter()
                .map(|health| wire::GatewayAddress {
                    health: (*health).to_owned(),
                    ..one.clone()
                })
                .collect();
        })
    };
    health(&["unhealthy"]).check(&[(Problem, "gateways cluster-2", "none can be reached")]);
    health(&["unhealthy", "healthy"]).check(&[(Warning, "gateways cluster-2", "others can")]);
    Case::with(|status| {
        let gateway = &mut status.clusters[1].gateways[0];
        gateway.addresses.clear();
        gateway.lookup_problem = "no upstream server replied in time".to_owned();
    })
    .check(&[(Problem, "gateways cluster-2", "cannot be looked up")]);
    Case::with(|status| {
        status.discoveries = vec![wire::Discovery {
            name: "remote secrets".to_owned(),
            pending: false,
            problem: "forbidden".to_owned(),
        }];
        status.overlaps = 3;
    })
    .check(&[
        (Warning, "remote secrets", "forbidden"),
        (Warning, "ranges", "3 remote addresses"),
    ]);
}

#[test]
fn gateways_for_hbone_only_are_told() {
    let hbone = || vec!["Gateway istio-system/eastwest".to_owned()];
    Case::with(move |status| status.clusters[1].hbone_gateways = hbone()).check(&[(
        Warning,
        "gateways cluster-2",
        "for HBONE only, and not given: Gateway istio-system/eastwest",
    )]);
}

#[test]
fn without_ranges_it_is_told_that_nothing_is_compared() {
    let ranges = |given: &'static [&'static str], told: &'static [&'static str]| {
        Case::with(move |status| {
            status.given_ranges = given.iter().map(ToString::to_string).collect();
            status.told_ranges = told.iter().map(ToString::to_string).collect();
        })
    };
    ranges(&["10.244.0.0/16"], &[]).check(&[]);
    let services = "only those of services are known, as the API server tells them (10.96.0.0/12)";
    ranges(&[], &["10.96.0.0/12"]).check(&[(Warning, "ranges", services)]);
    let nothing = "which addresses are local ones is not known";
    ranges(&[], &[]).check(&[(Warning, "ranges", nothing)]);
    // Nobody's address is given where there are no peers.
    Case::with(|status| {
        status.given_ranges.clear();
        status.told_ranges.clear();
        status.has_peers = false;
    })
    .check(&[]);
}

#[test]
fn clocks_that_differ_are_told() {
    for (seconds_later, expected) in [(4, &[][..]), (60, &[(Warning, "clock", "60 s apart")])] {
        let case = Case {
            seconds_later,
            ..Case::default()
        };
        case.check(expected);
    }
}

#[test]
fn in_shadow_mode_nothing_is_guessed() {
    Case::with(|status| status.mode = "shadow".to_owned())
        .says(CLUSTER_DNS, Some(serial(77)))
        .check(&[]);
    let mut case = Case::clients("nameserver 10.96.0.10\n").says("10.96.0.10:53", Some(serial(77)));
    case.status.as_mut().unwrap().mode = "shadow".to_owned();
    case.check(&[(Warning, "clients", "as far as can be told in shadow mode")]);
}
