//! Forwarding loops: an upstream server that sends what it is asked back to the agent, by itself or by way of other
//! agents.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use crossmesh_proto::admin::v1::Status;
use hickory_proto::op::{Message, ResponseCode};
use prost::Message as _;
use tokio::{net::UdpSocket, sync::watch, task::JoinSet, time::timeout};

use crate::overlap::admin_port_is_taken_over;
use crate::support::{
    agent::{Agent, Files, PATIENCE, ask_udp, upstream},
    message::{name, query, question_of, reply},
    servers::{Scripted, good, looks_for_loops},
};

/// Which names go where; the first zone that a name is in counts.
type Routes = Vec<(&'static str, SocketAddr)>;

/// Where a question goes.
#[derive(Clone)]
enum Ways {
    /// By its name; nowhere while there are none.
    Routes(Routes),
    /// Those that look for loops now here, now there; every other first here, then there.
    InTurn([SocketAddr; 2]),
    /// To the agent, but every other one that looks for loops is dropped, or answered by a failure.
    BackOr(SocketAddr, Instead),
    /// Both ways: the first good answer counts, and the first of both is the quicker to answer what looks for loops.
    Both([SocketAddr; 2]),
    /// That way, but what looks for loops is dropped.
    Dropping(SocketAddr),
    /// Nowhere: all is answered by a failure.
    Failing,
}

/// What becomes of a question that is not sent on.
#[derive(Clone, Copy, Debug)]
enum Instead {
    Silence,
    Failure,
}

/// Sends every question on to where it is told, once it is told, as a resolver does.
struct Resolver {
    address: SocketAddr,
    to: watch::Sender<Ways>,
    /// Questions so far that look for loops.
    looks: watch::Receiver<usize>,
    /// Questions so far, without those that look for loops.
    asked: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

impl Resolver {
    async fn start() -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = socket.local_addr().unwrap();
        let (to, ways) = watch::channel(Ways::Routes(Routes::new()));
        let (count, asked) = watch::channel(0);
        let (count_look, looks) = watch::channel(0);
        let known = Arc::new(Mutex::new(HashSet::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut relays = JoinSet::new();
            let mut buffer = [0; 4096];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
                let (query, socket) = (buffer[..length].to_vec(), Arc::clone(&socket));
                let is_look = looks_for_loops(&query);
                let mut number = 0;
                let counting = if is_look { &count_look } else { &count };
                counting.send_modify(|count| {
                    number = *count;
                    *count += 1;
                });
                let mut ways = ways.clone();
                let known = Arc::clone(&known);
                relays.spawn(async move {
                    let is_told =
                        |ways: &Ways| !matches!(ways, Ways::Routes(routes) if routes.is_empty());
                    let ways = ways.wait_for(is_told).await.unwrap().clone();
                    let question = question_of(&query).to_owned();
                    let target = match ways {
                        Ways::Routes(routes) => {
                            let (asked, _) = question.split_at(question.len() - 4);
                            let mut routes = routes.into_iter();
                            routes
                                .find(|(zone, _)| asked.ends_with(&name(zone)))
                                .unwrap()
                                .1
                        }
                        Ways::InTurn([first, second]) => {
                            let turns = if is_look {
                                number % 2 == 1
                            } else {
                                !known.lock().unwrap().insert(question)
                            };
                            if turns { second } else { first }
                        }
                        Ways::BackOr(_, Instead::Silence) if is_look && number % 2 == 1 => return,
                        Ways::BackOr(_, Instead::Failure) if is_look && number % 2 == 1 => {
                            let failure = reply(&query, 0x8182, [&[], &[], &[]]);
                            let _ = socket.send_to(&failure, client).await;
                            return;
                        }
                        Ways::BackOr(agent, _) => agent,
                        Ways::Both([first, second]) => {
                            let quick = if is_look {
                                ask_udp(first, &query).await
                            } else {
                                vec![0, 0, 0, 2]
                            };
                            // Of a failure nobody hears while somebody may do better.
                            if quick[3] & 15 != 2 {
                                let _ = socket.send_to(&quick, client).await;
                                return;
                            }
                            second
                        }
                        Ways::Dropping(_) if is_look => return,
                        Ways::Dropping(target) => target,
                        Ways::Failing => {
                            let failure = reply(&query, 0x8182, [&[], &[], &[]]);
                            let _ = socket.send_to(&failure, client).await;
                            return;
                        }
                    };
                    let reply = ask_udp(target, &query).await;
                    // Some clients have gone by then.
                    let _ = socket.send_to(&reply, client).await;
                });
            }
        });
        Self {
            address,
            to,
            looks,
            asked,
            _tasks: tasks,
        }
    }

    fn send_to(&self, to: SocketAddr) {
        self.to.send_replace(Ways::Routes(vec![("", to)]));
    }

    fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    /// Waits until so many questions have looked for loops.
    async fn is_looked_at(&self, times: usize) {
        let mut looks = self.looks.clone();
        let wait = looks.wait_for(|looks| *looks >= times);
        timeout(PATIENCE, wait).await.expect("looks").unwrap();
    }

    fn metric(&self) -> String {
        format!("crossmesh_dns_upstream_loop{{server=\"{}\"}}", self.address)
    }
}

/// Whether a reply says that its question would go round: SERVFAIL with the extended error 23, and words for people.
fn is_loop(reply: &Message) -> bool {
    let error = reply.edns.as_ref().and_then(|edns| {
        let error = edns.option(15_u16.into())?;
        Vec::<u8>::try_from(error).ok()
    });
    let error = error.unwrap_or_default();
    reply.metadata.response_code == ResponseCode::ServFail
        && error.starts_with(&[0, 23])
        && String::from_utf8_lossy(&error[2..]).contains("a forwarding loop")
}

#[tokio::test]
async fn a_server_that_leads_back_is_named_and_not_asked_until_it_does_not() {
    let (resolver, good) = (Resolver::start().await, good().await);
    let server = resolver.address;
    let agent = Agent::start(&upstream(server)).await;
    resolver.send_to(agent.dns);
    agent
        .readyz_says(&format!(
            "upstream {server}: a forwarding loop: it sends our questions back to us (names: outside, reverse, cluster.local, \
             clusterset.local)"
        ))
        .await;
    agent.metric_becomes(&resolver.metric(), 1.0).await;
    let before = resolver.asked();
    for number in 0..20 {
        let asked = query(&format!("{number}.example.com")).edns(1232);
        let found = agent.ask(&asked).await;
        assert!(is_loop(&found), "{found:?}");
    }
    assert_eq!(resolver.asked(), before, "questions went round");
    resolver.send_to(good.address);
    agent.metric_becomes(&resolver.metric(), 0.0).await;
    assert_eq!(
        agent.answers(&query("www.example.com")).await,
        ["192.0.2.1"]
    );
    agent.stop().await;
}

#[tokio::test]
async fn other_servers_answer_for_one_that_leads_back_and_the_clusters_dns_is_looked_at_too() {
    let (resolver, good) = (Resolver::start().await, good().await);
    let (bad, good_one) = (resolver.address, good.address);
    let agent = Agent::start(&format!(
        "upstreams: {{servers: [\"{bad}\", \"{good_one}\"], clusterZone: [\"{bad}\"]}}\n"
    ))
    .await;
    resolver.send_to(agent.dns);
    agent
        .readyz_says(&format!(
            "upstream {bad}: a forwarding loop: it sends our questions back to us (names: outside, reverse, cluster.local, \
             clusterset.local)"
        ))
        .await;
    for number in 0..10 {
        let asked = query(&format!("{number}.example.com"));
        assert_eq!(agent.answers(&asked).await, ["192.0.2.1"]);
    }
    // What sends names back that it does not know may have the cluster's own.
    resolver.send_to(good_one);
    let in_zone = agent.ask(&query("absent.shop.svc.cluster.local")).await;
    assert_ne!(in_zone.metadata.response_code, ResponseCode::ServFail);
    agent.stop().await;
}

#[tokio::test]
async fn a_server_that_sends_back_one_zone_alone_is_asked_for_all_others() {
    let (resolver, good) = (Resolver::start().await, good().await);
    let server = resolver.address;
    let agent = Agent::start(&upstream(server)).await;
    let routes = vec![("clusterset.local", agent.dns), ("", good.address)];
    resolver.to.send_replace(Ways::Routes(routes));
    agent
        .readyz_says(&format!(
            "upstream {server}: a forwarding loop: it sends our questions back to us (names: clusterset.local)\n"
        ))
        .await;
    for elsewhere in ["www.example.com", "absent.shop.svc.cluster.local"] {
        let answers = agent.answers(&query(elsewhere)).await;
        assert_eq!(answers, ["192.0.2.1"], "{elsewhere}");
    }
    let asked = query("absent.shop.svc.clusterset.local").edns(1232);
    let found = agent.ask(&asked).await;
    assert!(is_loop(&found), "{found:?}");
    agent.stop().await;
}

/// Node a's resolver asks node b's agent, and the other way round, as where each node's cluster DNS asks its own node.
#[tokio::test]
async fn agents_that_ask_each_other_find_the_loop_for_every_kind_of_names() {
    let (to_b, to_a, good) = (
        Resolver::start().await,
        Resolver::start().await,
        good().await,
    );
    let start = async |node: &'static str, server: &Resolver| {
        let at = server.address;
        let lines = format!("upstreams: {{servers: [\"{at}\"], clusterZone: [\"{at}\"]}}\n");
        Agent::start_on(Some(node), Files::new(&lines)).await
    };
    let (a, b) = (start("a", &to_b).await, start("b", &to_a).await);
    to_b.send_to(b.dns);
    to_a.send_to(a.dns);
    for (agent, resolver, other, node) in [(&a, &to_b, &b, "b"), (&b, &to_a, &a, "a")] {
        let (server, by) = (resolver.address, other.dns);
        agent
            .readyz_says(&format!(
                "upstream {server}: a forwarding loop: it sends our questions back to us (names: outside, reverse, \
                 cluster.local, clusterset.local; by way of the agent cluster-1 on {node} at {by})"
            ))
            .await;
        agent.metric_becomes(&resolver.metric(), 1.0).await;
    }
    let asked = || to_a.asked() + to_b.asked();
    let before = asked();
    for agent in [&a, &b] {
        let found = agent.ask(&query("www.example.com").edns(1232)).await;
        assert!(is_loop(&found), "{found:?}");
    }
    assert_eq!(asked(), before, "questions went round");
    // The cluster's DNS may know it, so it is asked; nobody waits for the whole deadline, and it goes round once at most.
    for in_zone in ["absent.shop.svc.cluster.local", "9.0.1.10.in-addr.arpa"] {
        let found = a.ask(&query(in_zone).edns(1232)).await;
        assert!(is_loop(&found), "{found:?}");
    }
    assert!(asked() <= before + 4, "questions went round");

    // One of the two is mended: the other then has a way out past its neighbour.
    to_b.send_to(good.address);
    a.metric_becomes(&to_b.metric(), 0.0).await;
    b.metric_becomes(&to_a.metric(), 0.0).await;
    for agent in [&a, &b] {
        let asked = query("www.example.org");
        assert_eq!(agent.answers(&asked).await, ["192.0.2.1"]);
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn whoever_looks_for_loops_is_told_which_agent_answers_and_no_server_is_asked() {
    let resolver = Resolver::start().await;
    let agent = Agent::start(&upstream(resolver.address)).await;
    for zone in [
        "internal",
        "in-addr.arpa",
        "svc.cluster.local",
        "svc.clusterset.local",
    ] {
        let asked = query(&format!("0123456789abcdef.crossmesh-loop.{zone}"));
        let told = agent.answers(&asked.clone().rtype(16)).await.concat();
        let expected = format!("cluster-1 at {}", agent.dns);
        assert!(told.contains(&expected), "{zone}: {told}");
        // The name exists for other types too.
        let other = agent.ask(&asked).await;
        assert_eq!(other.metadata.response_code, ResponseCode::NoError);
        assert!(other.answers.is_empty());
    }
    agent.stop().await;
}

/// A server with two ways out, of which one leads back.
async fn behind(ways: impl Fn([SocketAddr; 2]) -> Ways) -> (Resolver, Scripted, Agent) {
    let (resolver, good) = (Resolver::start().await, good().await);
    let lines = format!(
        "upstreams: {{servers: [\"{}\"], timeout: 200ms, deadline: 4s}}\n",
        resolver.address
    );
    let agent = Agent::start(&lines).await;
    resolver.to.send_replace(ways([agent.dns, good.address]));
    (resolver, good, agent)
}

/// No outside name fails, and nothing is said of a loop but that some questions come back.
async fn check_that_names_are_found(resolver: &Resolver, agent: &Agent, names: [&str; 3]) {
    agent.metric_becomes(&resolver.metric(), 0.0).await;
    for name in names {
        assert_eq!(agent.answers(&query(name)).await, ["192.0.2.1"], "{name}");
    }
}

#[tokio::test]
async fn a_server_that_sends_some_questions_back_and_some_elsewhere_is_asked_as_ever() {
    let (resolver, _good, agent) = behind(Ways::InTurn).await;
    let names = ["a.example.com", "b.example.com", "c.example.com"];
    check_that_names_are_found(&resolver, &agent, names).await;
    let server = resolver.address;
    let partly = format!("crossmesh_dns_upstream_partial_loop{{server=\"{server}\"}}");
    agent.metric_becomes(&partly, 1.0).await;
    let said = agent
        .readyz_says(&format!(
            "upstream {server}: sends some of our questions back to us"
        ))
        .await;
    assert!(
        said.starts_with("ready\n") && !said.contains("a forwarding loop"),
        "{said}"
    );
    let (_, page) = agent.page("/v1/status").await;
    let status = Status::decode(&page[..]).unwrap();
    let [of] = &status.partial_loops[..] else {
        panic!("{:?}", status.partial_loops);
    };
    assert_eq!(of.server, server.to_string());
    assert!(!of.names.is_empty(), "{of:?}");
    // The next round begins; each is of eight looks, as half of the four kinds of names are looked at again.
    resolver.is_looked_at(12).await;
    let names = ["d.example.com", "e.example.com", "f.example.com"];
    check_that_names_are_found(&resolver, &agent, names).await;
    agent.stop().await;
}

/// Half of a round's first looks come back, and the look after such a one gets no answer.
#[tokio::test]
async fn a_server_that_sends_some_questions_back_and_does_not_answer_others_is_named() {
    for instead in [Instead::Silence, Instead::Failure] {
        let (resolver, _good, agent) = behind(|[agent, _]| Ways::BackOr(agent, instead)).await;
        let server = resolver.address;
        let said = agent
            .readyz_says(&format!(
                "upstream {server}: sends some of our questions back to us"
            ))
            .await;
        assert!(!said.contains("a forwarding loop"), "{instead:?}: {said}");
        let partly = format!("crossmesh_dns_upstream_partial_loop{{server=\"{server}\"}}");
        agent.metric_becomes(&partly, 1.0).await;
        agent.metric_becomes(&resolver.metric(), 0.0).await;
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_asks_others_at_the_same_time_is_asked_as_ever() {
    let (resolver, _good, agent) = behind(Ways::Both).await;
    let names = ["a.example.com", "b.example.com", "c.example.com"];
    check_that_names_are_found(&resolver, &agent, names).await;
    agent.stop().await;
}

/// As when the agents of several nodes start, and the servers between them cannot reach all of them yet.
#[tokio::test]
async fn a_server_that_fails_is_looked_at_again_soon() {
    let resolver = Resolver::start().await;
    let agent = Agent::start(&upstream(resolver.address)).await;
    resolver.to.send_replace(Ways::Failing);
    // One look at each of the four kinds of names.
    resolver.is_looked_at(4).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    resolver.send_to(agent.dns);
    agent.metric_becomes(&resolver.metric(), 1.0).await;
    agent.stop().await;
}

/// A server that leads to the address of an agent leads to whoever is there, which changes by no look of the new one's.
#[tokio::test]
async fn servers_are_looked_at_again_when_an_address_is_taken_over() {
    let (resolver, good) = (Resolver::start().await, good().await);
    let files = Files::new(&format!(
        "{}adminSocket: first.sock\n",
        upstream(good.address)
    ));
    let text = std::fs::read_to_string(files.path("dns.yaml")).unwrap();
    // No other test's agents are there, so that nobody takes it meanwhile.
    let text = text.replace("listen: [127.0.0.1:0]", "listen: [127.0.0.97:0]");
    files.write("dns.yaml", &text);
    let first = Agent::start_in(&files).await;
    let later = text
        .replace(
            "listen: [127.0.0.97:0]",
            &format!("listen: [\"{}\"]", first.dns),
        )
        .replace("admin: 127.0.0.1:0", &format!("admin: {}", first.admin))
        .replace("first.sock", "second.sock")
        .replace(&good.address.to_string(), &resolver.address.to_string())
        // It cannot read its cluster, and so does not join.
        .replace("file: cluster-1.yaml", "kubeconfig: none.kubeconfig");
    files.write("dns.yaml", &later);
    files.write("none.kubeconfig", "none");
    resolver.send_to(good.address);
    let second = Agent::start_in(&files).await;
    // One look at each of the four kinds of names, which are over when the last server has answered; the next are in a minute.
    resolver.is_looked_at(4).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    resolver.send_to(first.dns);
    first.stop().await;
    admin_port_is_taken_over(&second).await;
    second
        .readyz_says(&format!("upstream {}: a forwarding loop", resolver.address))
        .await;
    second.stop().await;
}

#[tokio::test]
async fn a_server_that_was_mended_and_drops_what_looks_for_loops_is_asked_again() {
    let (resolver, good, agent) = behind(|[agent, _]| Ways::Routes(vec![("", agent)])).await;
    agent.metric_becomes(&resolver.metric(), 1.0).await;
    resolver.to.send_replace(Ways::Dropping(good.address));
    agent.metric_becomes(&resolver.metric(), 0.0).await;
    let asked = query("www.example.com");
    assert_eq!(agent.answers(&asked).await, ["192.0.2.1"]);
    agent.stop().await;
}
