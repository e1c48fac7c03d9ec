//! What names answer: `tests/cases/answers.yaml`. Every reply goes through the encoder and is read by hickory-proto.

use std::{net::SocketAddr, path::Path, sync::Arc, time::SystemTime};

use crossmesh_dns_agent::{
    answer::{Answer, Doubt, Question, Servers, answer},
    catalog::{Cluster, SyncState},
    config::{Config, Entry},
    encode::encode,
    gateway::{Lifetimes, Seen},
    index::{Discovery, Index, Known},
    sources::file::{self, Expected},
    wire::{Parsed, Transport, parse},
};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType},
};
use serde::Deserialize;

use crate::support::message::query;

const CASES: &str = include_str!("../cases/answers.yaml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct World {
    pub(crate) about: String,
    /// More lines for the agent's configuration.
    #[serde(default)]
    agent: String,
    clusters: Vec<Part>,
    /// An entry of `catalogs` by which peers are discovered, of which nothing is known yet.
    discovery: Option<String>,
    /// Gateways that cannot be reached.
    #[serde(default)]
    unhealthy: Vec<SocketAddr>,
    /// Hosts that the mesh configuration says something of.
    #[serde(default)]
    mesh: Vec<(String, bool)>,
    /// Question and answer.
    pub(crate) answers: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    /// An entry of `catalogs` without its file.
    entry: String,
    /// A catalog's lines after its schema and cluster; absent: never read.
    catalog: Option<String>,
    #[serde(default)]
    state: State,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    #[default]
    Synced,
    Stale,
    /// From the disk, and never read since.
    Restored,
    Pending,
    TimedOut,
}

#[test]
fn every_name_answers_as_its_case_says() {
    let worlds: Vec<World> = serde_saphyr::from_str(CASES).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for world in &worlds {
        let index = index(world);
        for (asked, expected) in &world.answers {
            count += 1;
            let found = ask(&index, asked);
            if found != *expected {
                wrong.push(format!(
                    "{}: {asked}\n  expected {expected}\n  found    {found}",
                    world.about
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "only {count} cases were read");
}

#[test]
fn several_addresses_take_turns_at_being_first() {
    let worlds: Vec<World> = serde_saphyr::from_str(CASES).unwrap();
    let index = index(&worlds[0]);
    let firsts: Vec<String> = (0..4)
        .map(|rotation| ask_with(&index, "A catalog.shop", rotation))
        .collect();
    assert_eq!(
        firsts,
        [
            "203.0.113.7 203.0.113.8 (gateway)",
            "203.0.113.8 203.0.113.7 (gateway)",
            "203.0.113.7 203.0.113.8 (gateway)",
            "203.0.113.8 203.0.113.7 (gateway)",
        ]
    );
}

/// Without EDNS 512 bytes do for everybody, and some clients never ask over TCP.
#[test]
fn of_many_remote_addresses_a_few_are_given_and_each_has_its_turn() {
    let worlds: Vec<World> = serde_saphyr::from_str(CASES).unwrap();
    let about = "more gateways and addresses than fit into an answer";
    let world = worlds.iter().find(|world| world.about == about).unwrap();
    let index = index(world);
    let long = "a".repeat(63);
    for (asked, all) in [
        ("A web.shop", 20),
        ("AAAA web.shop", 20),
        ("A db.shop", 12),
        (&format!("AAAA web-{}.{long}", &long[..59]), 20),
    ] {
        let mut seen = std::collections::BTreeMap::new();
        for rotation in 0..all {
            let found = ask_with(&index, asked, rotation);
            let (found, _) = found.rsplit_once(" (").unwrap();
            let found: Vec<&str> = found.split(' ').collect();
            assert_eq!(found.len(), 8, "{asked}: {found:?}");
            for address in found {
                *seen.entry(address.to_owned()).or_insert(0) += 1;
            }
        }
        assert_eq!(seen.len(), all, "{asked}: {seen:?}");
        assert!(seen.values().all(|times| *times == 8), "{asked}: {seen:?}");
    }
}

#[test]
fn every_remote_address_that_is_a_local_one_is_counted_whatever_it_is_of() {
    let worlds: Vec<World> = serde_saphyr::from_str(CASES).unwrap();
    let about = "a peer on our own network whose services have the same range as ours";
    let world = worlds.iter().find(|world| world.about == about).unwrap();
    // Five services' own, three endpoints, one of them in the cluster set, and a gateway.
    assert_eq!(index(world).overlaps(), 9);
}

/// As with the answers to questions for them.
#[test]
fn of_many_addresses_beside_a_location_a_few_are_given_and_each_has_its_turn() {
    let worlds: Vec<World> = serde_saphyr::from_str(CASES).unwrap();
    let about = "more gateways and addresses than fit into an answer";
    let world = worlds.iter().find(|world| world.about == about).unwrap();
    let index = index(world);
    let mut seen = std::collections::BTreeMap::new();
    for rotation in 0..20 {
        let found = ask_with(&index, "SRV web.shop", rotation);
        let (_, beside) = found.split_once(" + ").unwrap();
        let (beside, _) = beside.rsplit_once(" (").unwrap();
        let (v6, v4): (Vec<&str>, Vec<&str>) =
            beside.split(' ').partition(|address| address.contains(':'));
        assert_eq!((v4.len(), v6.len()), (8, 8), "{found}");
        for address in v4.into_iter().chain(v6) {
            *seen.entry(address.to_owned()).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), 40, "{seen:?}");
    assert!(seen.values().all(|times| *times == 8), "{seen:?}");
    // Of few all are given, and any may be the first.
    let index = self::index(&worlds[0]);
    let beside = [0, 1].map(|rotation| {
        let found = ask_with(&index, "SRV _http._tcp.catalog.shop", rotation);
        found.split_once(" + ").unwrap().1.to_owned()
    });
    assert_eq!(
        beside,
        [
            "203.0.113.7 203.0.113.8 (gateway)",
            "203.0.113.8 203.0.113.7 (gateway)"
        ]
    );
}

pub(crate) fn config(world: &World) -> Config {
    // Where peers are discovered, the local cluster is read from its API server.
    let source = match world.discovery {
        Some(_) => "{kubeconfig: unread, ",
        None => "{file: unread, ",
    };
    let entries = world.clusters.iter();
    let mut entries: Vec<String> = entries
        .map(|part| part.entry.replacen('{', source, 1))
        .collect();
    entries.extend(world.discovery.clone());
    let text = format!(
        "schema: crossmesh-dns/v1\nlisten: [127.0.0.1:0]\nadmin: 127.0.0.1:0\n\
         upstreams: {{servers: [127.0.0.1]}}\ncatalogs: [{}]\n{}{}",
        entries.join(", "),
        if world.agent.contains("cluster:") {
            ""
        } else {
            "cluster: {id: cluster-1, mesh: east, network: network-1}\n"
        },
        world.agent
    );
    Config::parse(Path::new(&world.about), &text).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn index(world: &World) -> Index {
    let config = config(world);
    let clusters = world.clusters.iter().zip(&config.catalogs);
    let clusters = clusters.map(|(part, entry)| {
        let expected = Expected {
            cluster: &entry.cluster,
            mesh: &entry.mesh,
            network: config.network_of(entry),
        };
        let mesh = if entry.local { &world.mesh[..] } else { &[] };
        let catalog = part.catalog.as_ref().map(|lines| {
            let text = format!(
                "schema: crossmesh-catalog/v1\ncluster: {}\n{lines}",
                entry.cluster
            );
            let mut catalog = file::parse(Path::new(&world.about), &text, expected)
                .unwrap_or_else(|error| panic!("{error}"));
            // Files have no mesh configuration.
            catalog.cluster_local_hosts = mesh.into();
            catalog
        });
        Cluster {
            state: match part.state {
                State::Synced if catalog.is_none() => SyncState::Pending,
                State::Synced => SyncState::Synced,
                State::Stale | State::Restored => SyncState::Stale,
                State::Pending => SyncState::Pending,
                State::TimedOut => SyncState::TimedOut,
            },
            read_at: catalog.is_some().then(SystemTime::now),
            catalog: catalog.map(Arc::new),
            restored: matches!(part.state, State::Restored),
            ..entry.cluster()
        }
    });
    let gateways = Seen {
        unhealthy: world.unhealthy.iter().copied().collect(),
        ..Seen::default()
    };
    let known = Known {
        clusters: clusters.collect(),
        gateways: Arc::new(gateways),
        discoveries: world
            .discovery
            .iter()
            .map(|_| Discovery {
                name: "remote secrets".into(),
                pending: true,
                expected: config
                    .remote_secrets
                    .iter()
                    .flat_map(|secrets| &secrets.clusters)
                    .map(Entry::cluster)
                    .collect(),
                problem: None,
            })
            .collect(),
        ..Known::default()
    };
    Index::build(config.settings, known, 1)
}

fn ask(index: &Index, asked: &str) -> String {
    ask_with(index, asked, 0)
}

/// `TYPE name`; names without a final dot get `.svc.cluster.local`.
fn ask_with(index: &Index, asked: &str, rotation: usize) -> String {
    let (rtype, name) = asked.split_once(' ').unwrap();
    let name = match name.strip_suffix('.') {
        Some(whole) => whole.to_owned(),
        None => format!("{name}.svc.cluster.local"),
    };
    let (rtype, class) = match rtype.split_once('/') {
        Some((rtype, class)) => (rtype, class.parse().unwrap()),
        None => (rtype, 1),
    };
    let rtype = match rtype {
        "IXFR" => 251,
        rtype => rtype.parse::<RecordType>().unwrap().into(),
    };
    let bytes = query(&name).rtype(rtype).class(class).edns(1232).bytes();
    let Parsed::Query(query) = parse(&bytes) else {
        panic!("{asked} is no query");
    };
    let question = Question {
        name: query.name.as_wire(),
        rtype: query.rtype,
        class: query.class,
    };
    match answer(index, question, rotation) {
        Answer::Forward(forward) => {
            let to = match forward.to {
                Servers::Cluster => "cluster",
                Servers::General => "general",
            };
            let doubt = match forward.doubt {
                Doubt::None => "",
                Doubt::Some => ", in doubt",
                Doubt::IfNamespaceExists => ", in doubt if here",
                Doubt::UnlessByZone => ", in doubt unless the zone denies it",
            };
            format!("ask {to}{doubt}")
        }
        Answer::Reply(reply) => {
            let mut out = Vec::new();
            encode(
                &mut out,
                index,
                &query,
                &reply,
                query.reply_limit(Transport::Tcp),
                &Lifetimes::default(),
            );
            let text = render(index, &name, &Message::from_vec(&out).unwrap());
            format!("{text} ({})", reply.reason.as_str())
        }
    }
}

fn render(index: &Index, name: &str, message: &Message) -> String {
    let code = message.metadata.response_code;
    let ours = code == ResponseCode::NoError || code == ResponseCode::NXDomain;
    assert_eq!(message.metadata.authoritative, ours, "AA of {name}");
    assert!(message.metadata.recursion_available, "RA of {name}");
    let ttl = index.settings().ttl;
    let owner = Name::from_ascii(format!("{name}.")).unwrap();
    for record in &message.answers {
        assert_eq!((&record.name, record.ttl), (&owner, ttl));
    }
    for record in &message.authorities {
        let RData::SOA(soa) = &record.data else {
            panic!("{record} is no SOA");
        };
        let zones = ["cluster.local.", "clusterset.local.", "cluster.remote."];
        let zone = zones.map(|zone| Name::from_ascii(zone).unwrap());
        let zone = zone.iter().find(|zone| zone.zone_of(&owner));
        assert_eq!(Some(&record.name), zone);
        assert_eq!((record.ttl, soa.minimum), (ttl, ttl));
    }
    let denies = !message.authorities.is_empty();
    let mut text = match code {
        ResponseCode::NoError if denies => "nodata".to_owned(),
        ResponseCode::NXDomain if denies => "nxdomain".to_owned(),
        ResponseCode::NoError => data(&message.answers),
        other => format!("{other:?}").to_lowercase(),
    };
    if denies {
        assert!(message.answers.is_empty());
    }
    if !message.additionals.is_empty() {
        text = format!("{text} + {}", data(&message.additionals));
    }
    text
}

fn data(records: &[Record]) -> String {
    let data: Vec<String> = records
        .iter()
        .map(|record| match &record.data {
            RData::HINFO(hinfo) => String::from_utf8_lossy(&hinfo.cpu).into_owned(),
            data => data.to_string(),
        })
        .collect();
    data.join(" ")
}
