//! What holds for the answers of every world: clusters, some of them not read yet, and names as clients and their search
//! lists make them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
};

use crossmesh_dns_agent::{
    answer::{Answer, Question, Records, Reply, answer},
    catalog::{Catalog, Endpoint, Gateway, GatewayHost, Kind, Port, Protocol, Service, SyncState},
    config::Config,
    encode::encode,
    gateway::Lifetimes,
    index::{Entry, Index, Known},
    name::{Name, is_under},
    wire::{Parsed, Rcode, Transport, parse, rtype},
};
use hickory_proto::op::Message;
use proptest::{collection::vec, prelude::*, sample::select};

use crate::support::message::query;

const NAMESPACES: [&str; 3] = ["shop", "web", "kube-system"];
const NAMES: [&str; 4] = ["web", "db", "catalog", "com"];
const TYPES: [u16; 9] = [
    rtype::A,
    rtype::AAAA,
    rtype::SRV,
    rtype::TXT,
    rtype::SOA,
    rtype::NS,
    rtype::ANY,
    65,
    257,
];

/// What one cluster has, and how much of that the agent knows.
#[derive(Clone, Debug)]
struct Part {
    services: BTreeMap<(&'static str, &'static str), Drawn>,
    state: SyncState,
}

#[derive(Clone, Debug)]
struct Drawn {
    kind: u8,
    endpoints: u8,
    protocol: Protocol,
    exported: bool,
    in_cluster_set: bool,
    is_empty: bool,
}

#[derive(Clone, Debug)]
struct World {
    authoritative: bool,
    labelled: bool,
    /// The local cluster, one of its mesh, and one of another, of which the namespace `web` and `shop/db` are taken.
    parts: [Part; 3],
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let protocol = select(vec![Protocol::Http, Protocol::Tcp]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (0..4_u8, 0..90_u8, protocol, flags).prop_map(
        |(kind, endpoints, protocol, (exported, in_cluster_set, is_empty))| Drawn {
            kind,
            endpoints,
            protocol,
            exported,
            in_cluster_set,
            is_empty,
        },
    )
}

fn part() -> impl Strategy<Value = Part> {
    let key = (select(&NAMESPACES[..]), select(&NAMES[..]));
    let states = [
        SyncState::Synced,
        SyncState::Synced,
        SyncState::Stale,
        SyncState::Pending,
        SyncState::TimedOut,
    ];
    let services = proptest::collection::btree_map(key, drawn(), 0..6);
    (services, select(states.to_vec())).prop_map(|(services, state)| Part { services, state })
}

fn world() -> impl Strategy<Value = World> {
    (any::<bool>(), any::<bool>(), [part(), part(), part()]).prop_map(
        |(authoritative, labelled, parts)| World {
            authoritative,
            labelled,
            parts,
        },
    )
}

fn asked() -> impl Strategy<Value = String> {
    let labels = [
        "web",
        "db",
        "catalog",
        "com",
        "shop",
        "kube-system",
        "example",
        "www",
        "svc",
        "cluster",
        "local",
        "_http",
        "_tcp",
        "_zone",
        "p-0",
        "10-1-9-0",
        "cluster-1",
        "cluster-2",
        "dns",
        "pod",
    ];
    let zones = [
        "svc.cluster.local",
        "svc.cluster.local",
        "cluster.local",
        "svc.clusterset.local",
    ];
    (vec(select(labels.to_vec()), 0..6), select(zones.to_vec())).prop_map(|(mut labels, zone)| {
        labels.push(zone);
        labels.join(".")
    })
}

/// The addresses of a cluster begin with 10 and its number, so that an answer tells whose they are.
fn service(cluster: u8, (namespace, name): (&str, &str), drawn: &Drawn) -> Service {
    let address = |last: u8| IpAddr::V4(Ipv4Addr::new(10, cluster, 9, last));
    let kind = match drawn.kind {
        0 => Kind::ExternalName,
        1 => Kind::Headless(
            (0..drawn.endpoints)
                .map(|at| Endpoint {
                    address: address(at),
                    hostname: (at % 2 == 0).then(|| format!("p-{at}")),
                    ready: at % 5 != 4,
                })
                .collect(),
        ),
        _ => Kind::ClusterIp(vec![address(200)]),
    };
    Service {
        name: name.into(),
        namespace: namespace.into(),
        kind,
        ports: vec![Port {
            name: Some("http".to_owned()),
            number: 80,
            protocol: drawn.protocol,
        }],
        exported: drawn.exported,
        in_cluster_set: drawn.in_cluster_set,
        is_empty: drawn.is_empty,
    }
}

impl World {
    fn index(&self) -> Index {
        let text = format!(
            "schema: crossmesh-dns/v1\nlisten: [127.0.0.1:0]\nadmin: 127.0.0.1:0\nmode: {}\n\
             remote: {{namespaces: {}, failoverWhenEmpty: true}}\nupstreams: {{servers: [127.0.0.1]}}\n\
             cluster: {{id: cluster-1, mesh: east, network: n1}}\ncatalogs:\n- {{cluster: cluster-1, file: x}}\n\
             - {{cluster: cluster-2, file: x, network: n2}}\n\
             - {{cluster: cluster-3, file: x, mesh: west, network: n1, import: {{namespaces: [web], services: [shop/db]}}}}\n",
            if self.authoritative {
                "authoritative"
            } else {
                "overlay"
            },
            if self.labelled { "labelled" } else { "all" },
        );
        let config = Config::parse(Path::new("dns.yaml"), &text).unwrap();
        let parts = self.parts.iter().zip(1_u8..).zip(&config.catalogs);
        let clusters = parts.map(|((part, number), entry)| {
            let known = matches!(part.state, SyncState::Synced | SyncState::Stale);
            let services = part.services.iter();
            let mut catalog =
                Catalog::of(services.map(|(key, drawn)| service(number, *key, drawn)));
            catalog.every_namespace = true;
            catalog.gateways = [Gateway {
                network: None,
                host: GatewayHost::Address([203, 0, 113, number].into()),
                port: 15443,
                locality: None,
            }]
            .into();
            let mut cluster = entry.cluster();
            cluster.state = part.state;
            cluster.catalog = known.then(|| Arc::new(catalog));
            cluster
        });
        let known = Known {
            clusters: clusters.collect(),
            ..Known::default()
        };
        Index::build(config.settings, known, 1)
    }
}

fn n(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn ask<'i>(index: &'i Index, name: &Name, rtype: u16) -> Answer<'i> {
    let question = Question {
        name: name.as_wire(),
        rtype,
        class: 1,
    };
    answer(index, question, 1)
}

fn denies(answer: &Answer<'_>) -> bool {
    matches!(
        answer,
        Answer::Reply(Reply {
            rcode: Rcode::NxDomain,
            ..
        })
    )
}

/// The clusters whose addresses an answer gives; 203 stands for gateways.
fn whose(answer: &Answer<'_>) -> Vec<u8> {
    let Answer::Reply(Reply {
        records: Records::A { addresses, .. },
        ..
    }) = answer
    else {
        return Vec::new();
    };
    let mut whose: Vec<u8> = addresses
        .iter()
        .map(|address| match address.octets() {
            [10, cluster, ..] => cluster,
            [other, ..] => other,
        })
        .collect();
    whose.sort_unstable();
    whose.dedup();
    whose
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn local_and_remote_are_never_mixed(world in world()) {
        let index = world.index();
        let set = n("clusterset.local");
        for (name, entry) in index.names() {
            let whose = whose(&ask(&index, name, rtype::A));
            // The standard of the cluster set wants every endpoint of a headless service.
            let headless = is_under(name.as_wire(), set.as_wire())
                && matches!(entry, Entry::Host(host) if host.locations.iter().any(|at| at.target != *name));
            if !headless {
                prop_assert!(!whose.contains(&1) || whose == [1], "{name}: {whose:?}");
            }
            // Nothing of another mesh but what was asked of it, and no pod across networks.
            let imported = ["web.svc.cluster.local", "db.shop.svc.cluster.local",
                "web.svc.clusterset.local", "db.shop.svc.clusterset.local"];
            let imported = imported.iter().any(|above| is_under(name.as_wire(), n(above).as_wire()));
            prop_assert!(imported || !whose.contains(&3), "{name}: {whose:?}");
        }
        let local = &world.parts[0];
        if local.state == SyncState::Pending || local.state == SyncState::TimedOut {
            prop_assert_eq!(index.names().count(), 0);
            return Ok(());
        }
        for ((namespace, name), drawn) in &local.services {
            let name = n(&format!("{name}.{namespace}.svc.cluster.local"));
            let answer = ask(&index, &name, rtype::A);
            if drawn.kind == 0 {
                prop_assert!(matches!(answer, Answer::Forward(_)));
            } else {
                let whose = whose(&answer);
                // One without a ready endpoint may give way to peers, as a whole.
                let gave_way = drawn.is_empty && !whose.contains(&1);
                prop_assert!(whose.is_empty() || whose == [1] || gave_way, "{}: {:?}", name, whose);
            }
        }
    }

    #[test]
    fn what_is_known_is_neither_forwarded_nor_denied(world in world()) {
        let index = world.index();
        for (name, entry) in index.names() {
            for rtype in TYPES {
                let answer = ask(&index, name, rtype);
                if matches!(entry, Entry::Upstream { .. }) {
                    prop_assert!(matches!(answer, Answer::Forward(_)), "{name} {rtype}");
                } else {
                    let ours = matches!(&answer, Answer::Reply(reply) if reply.rcode == Rcode::NoError);
                    prop_assert!(ours, "{name} {rtype}: {answer:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_denied_that_has_something_at_or_below_it(
        world in world(),
        asked in vec(asked(), 40),
        rtype in select(&TYPES[..]),
    ) {
        let index = world.index();
        // What there is, whether the agent knows it or not.
        let mut there = Vec::new();
        let here = &world.parts[0].services;
        for (part, cluster) in world.parts.iter().zip(1..) {
            for (&(namespace, name), drawn) in &part.services {
                let of = n(&format!("{namespace}.svc.cluster.local"));
                let service = of.child(name).unwrap();
                let pod = service.child("p-0").unwrap();
                if cluster == 1 {
                    // With authority only what Kubernetes' specification has.
                    if !world.authoritative || drawn.kind == 0 || (drawn.kind == 1 && drawn.endpoints > 0) {
                        there.push(pod);
                    }
                    there.extend([of, service]);
                    continue;
                }
                let local_there = here.keys().any(|(of, _)| *of == namespace);
                let imported = namespace == "web" || (namespace, name) == ("shop", "db");
                // With authority, what a peer may have in namespaces that are not here is not waited for.
                let waited = !world.authoritative || local_there || cluster == 3;
                let given = match part.state {
                    SyncState::TimedOut => false,
                    SyncState::Pending => waited,
                    SyncState::Synced | SyncState::Stale => true,
                };
                // Where the local cluster has the service, only its endpoints exist.
                let local_has = here.contains_key(&(namespace, name));
                let allowed = drawn.exported
                    && !world.labelled
                    && !local_has
                    && namespace != "kube-system";
                if given && allowed && drawn.kind != 0 && (cluster == 2 || imported) {
                    there.push(service);
                    if drawn.kind == 1 && drawn.endpoints > 0 {
                        there.push(pod);
                    }
                }
            }
        }
        there.extend(index.names().map(|(name, _)| name.clone()));
        let above = there.iter().filter_map(Name::parent).collect::<Vec<_>>();
        there.extend(above);
        let asked = asked.iter().map(|text| n(text)).chain(there.clone());
        for name in asked {
            if denies(&ask(&index, &name, rtype)) {
                let below = there.iter().find(|there| is_under(there.as_wire(), name.as_wire()));
                prop_assert_eq!(below, None, "{} is denied", name);
                let text = name.to_string();
                prop_assert!(!text.contains("_zone") && !text.ends_with("pod.cluster.local"), "{}", text);
            }
        }
    }

    #[test]
    fn every_answer_is_a_message_that_fits(
        world in world(),
        asked in vec(asked(), 20),
        limit in 512..2000_usize,
        edns in any::<bool>(),
    ) {
        let index = world.index();
        let names = index.names().map(|(name, _)| name.to_string());
        for name in asked.iter().cloned().chain(names) {
            for rtype in TYPES {
                let draft = query(&name).rtype(rtype);
                let bytes = if edns { draft.edns(1232) } else { draft }.bytes();
                let Parsed::Query(query) = parse(&bytes) else {
                    panic!("{name} is no query");
                };
                let Answer::Reply(reply) = ask(&index, &n(&name), rtype) else {
                    continue;
                };
                let written = |limit: usize| {
                    let mut out = Vec::new();
                    encode(&mut out, &index, &query, &reply, limit, &Lifetimes::default());
                    let message = Message::from_vec(&out);
                    (out.len(), message)
                };
                let (_, whole) = written(query.reply_limit(Transport::Tcp));
                let whole = whole.map_err(|error| TestCaseError::fail(format!("{name}: {error}")))?;
                prop_assert!(!whole.metadata.truncation);
                let (length, cut) = written(limit);
                let cut = cut.map_err(|error| TestCaseError::fail(format!("{name}: {error}")))?;
                prop_assert!(length <= limit, "{} of {}", length, limit);
                prop_assert!(whole.answers.starts_with(&cut.answers));
                let all = whole.answers.len() == cut.answers.len()
                    && whole.authorities.len() == cut.authorities.len();
                prop_assert_eq!(cut.metadata.truncation, !all);
            }
        }
    }
}
