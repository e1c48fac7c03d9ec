use super::*;
use crate::{
    catalog::{Catalog, Gateway, GatewayHost, Import, Kind, Port, Protocol, SyncState},
    config::Config,
};

const CONFIG: &str = "schema: crossmesh-dns/v1\nlisten: [127.0.0.1:0]\nadmin: 127.0.0.1:0\n\
                      upstreams: {servers: [127.0.0.1]}\ncluster: {id: local, mesh: east}\n\
                      catalogs: [{cluster: local, file: unread}]\n";

fn service(key: &str, address: &str) -> Service {
    let (namespace, name) = key.split_once('/').unwrap();
    Service {
        name: name.into(),
        namespace: namespace.into(),
        kind: Kind::ClusterIp(vec![address.parse().unwrap()]),
        ports: vec![Port {
            name: Some("http".to_owned()),
            number: 80,
            protocol: Protocol::Http,
        }],
        exported: true,
        in_cluster_set: false,
        is_empty: false,
    }
}

fn cluster(id: &str, services: &[(&str, &str)]) -> Cluster {
    let services = services.iter();
    Cluster {
        id: id.into(),
        mesh: "east".into(),
        local: id == "local",
        import: Import::All,
        domain: None,
        network: None,
        gateways: Some(
            [Gateway {
                network: None,
                host: GatewayHost::parse("203.0.113.7").unwrap(),
                port: 15443,
                locality: None,
            }]
            .into(),
        ),
        catalog: Some(Arc::new(Catalog::of(
            services.map(|(key, address)| service(key, address)),
        ))),
        state: SyncState::Synced,
        restored: false,
        problem: None,
        read_at: None,
        not_synced_since: None,
    }
}

fn known(clusters: &[Cluster]) -> Known {
    Known {
        clusters: clusters.to_vec(),
        ..Known::default()
    }
}

fn first(clusters: &[Cluster]) -> Index {
    let config = Config::parse(std::path::Path::new("dns.yaml"), CONFIG).unwrap();
    Index::build(config.settings, known(clusters), 1)
}

/// Gives a cluster another catalog, which shares what it can with the one before, as sources' catalogs do.
fn change(cluster: &mut Cluster, services: &[(&str, &str)]) {
    let services = services.iter();
    let mut catalog = Catalog::of(services.map(|(key, address)| service(key, address)));
    catalog.share(cluster.catalog.as_ref().unwrap());
    cluster.catalog = Some(Arc::new(catalog));
}

/// Which of these are the same in memory: namespaces by name, services as `NAMESPACE/NAME`.
#[track_caller]
fn check_shared(one: &Index, other: &Index, keys: &[(&str, bool)]) {
    for (key, expected) in keys {
        let shared = match key.split_once('/') {
            Some((namespace, name)) => {
                let part = |index: &Index| {
                    let namespace = Arc::clone(&index.namespaces[namespace.as_bytes()]);
                    Arc::clone(&namespace.services[name.as_bytes()])
                };
                Arc::ptr_eq(&part(one), &part(other))
            }
            None => {
                let namespace = |index: &Index| Arc::clone(&index.namespaces[key.as_bytes()]);
                Arc::ptr_eq(&namespace(one), &namespace(other))
            }
        };
        assert_eq!(shared, *expected, "{key}");
    }
}

#[test]
fn what_did_not_change_is_shared_with_the_index_before() {
    let mut clusters = [
        cluster(
            "local",
            &[
                ("a/one", "10.0.0.1"),
                ("a/two", "10.0.0.2"),
                ("b/one", "10.0.0.3"),
            ],
        ),
        cluster("peer", &[("a/far", "10.2.0.1"), ("c/far", "10.2.0.2")]),
    ];
    let before = first(&clusters);
    change(
        &mut clusters[0],
        &[
            ("a/one", "10.0.0.9"),
            ("a/two", "10.0.0.2"),
            ("b/one", "10.0.0.3"),
        ],
    );
    let after = before.next(known(&clusters), 2);
    check_shared(
        &before,
        &after,
        &[
            ("a", false),
            ("a/one", false),
            ("a/two", true),
            ("a/far", true),
            ("b", true),
            ("c", true),
        ],
    );
    assert_eq!(after.changed_names(&before), 1);
}

#[test]
fn other_gateways_change_remote_names_only() {
    let mut clusters = [
        cluster("local", &[("a/one", "10.0.0.1")]),
        cluster("peer", &[("a/far", "10.2.0.1")]),
    ];
    let before = first(&clusters);
    clusters[1].gateways = None;
    let after = before.next(known(&clusters), 2);
    check_shared(&before, &after, &[("a/one", true), ("a/far", false)]);
    assert_eq!(after.changed_names(&before), 1);
}

#[test]
fn however_it_came_about_an_index_is_that_of_what_is_known() {
    let all: [&[(&str, &str)]; 4] = [
        &[],
        &[("a/one", "10.0.0.1"), ("b/two", "10.0.0.2")],
        &[("a/one", "10.0.0.9")],
        &[
            ("a/one", "10.0.0.9"),
            ("a/two", "10.0.0.2"),
            ("c/three", "10.0.0.3"),
        ],
    ];
    // Every way from one state of both clusters to another.
    let mut clusters = [cluster("local", all[0]), cluster("peer", all[0])];
    let mut index = first(&clusters);
    for step in 0..256_usize {
        change(&mut clusters[0], all[(step / 4 + step / 64) % 4]);
        change(&mut clusters[1], all[(step + step / 16) % 4]);
        index = index.next(known(&clusters), 2);
        let fresh = first(&clusters);
        assert_eq!(index.changed_names(&fresh), 0, "step {step}");
        assert_eq!(index.name_count(), fresh.name_count(), "step {step}");
        let names = |index: &Index| {
            let mut names: Vec<String> = index.names().map(|(name, _)| name.to_string()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&index), names(&fresh), "step {step}");
    }
}

#[test]
fn of_many_services_that_were_local_once_those_that_no_cluster_has_are_forgotten() {
    let key = |name: String| -> (Arc<str>, Arc<str>) { ("shop".into(), name.into()) };
    let built = |gone: usize, peer: SyncState| {
        let once_local = (0..gone).map(|at| key(format!("gone-{at}")));
        let there = [key("here".to_owned()), key("there".to_owned())];
        let config = Config::parse(std::path::Path::new("dns.yaml"), CONFIG).unwrap();
        let mut clusters = [
            cluster("local", &[("shop/here", "10.1.0.1")]),
            cluster("peer", &[("shop/there", "10.2.0.1")]),
        ];
        let all = clusters.clone();
        if peer != SyncState::Synced {
            clusters[1].catalog = None;
            clusters[1].state = peer;
        }
        let known = Known {
            once_local: Arc::new(once_local.chain(there).collect()),
            ..known(&clusters)
        };
        let before = known.clone();
        let first = Index::build(config.settings, known, 1);
        let known = Known {
            clusters: all.to_vec(),
            ..before
        };
        (
            first.once_local.len(),
            first.next(known, 2).once_local.len(),
        )
    };
    assert_eq!(built(100, SyncState::Synced), (102, 102));
    assert_eq!(built(20_000, SyncState::Synced), (2, 2));
    // What a cluster has of which nothing is known yet is not forgotten, but the rest once it is known.
    assert_eq!(built(20_000, SyncState::Pending), (20_002, 2));
    // Of one that never comes, only what there is no room for; once it is known, there is room.
    assert_eq!(built(20_000, SyncState::TimedOut), (10_000, 10_000));
    assert_eq!(built(100, SyncState::TimedOut), (102, 102));
}

#[test]
fn what_another_agent_says_was_local_once_goes_from_the_answers() {
    let rule = "remote: {rules: [{namespace: shop, failover: false}]}\n";
    let config =
        Config::parse(std::path::Path::new("dns.yaml"), &format!("{CONFIG}{rule}")).unwrap();
    let clusters = [
        cluster("local", &[]),
        cluster("peer", &[("shop/there", "10.2.0.1")]),
    ];
    let index = Index::build(config.settings, known(&clusters), 1);
    let has = |index: &Index| {
        let mut names = index.names();
        names.any(|(name, _)| name.to_string().starts_with("there."))
    };
    assert!(has(&index));
    let once_local = Arc::new([("shop".into(), "there".into())].into());
    let told = Known {
        once_local,
        ..known(&clusters)
    };
    let index = index.next(told.clone(), 2);
    assert!(!has(&index));
    assert!(!has(&index.next(told, 3)));
}

#[test]
fn before_the_local_cluster_is_known_only_what_a_peer_would_be_given_for_is_in_doubt() {
    let config = format!(
        "{CONFIG}remote: {{rules: [{{service: shop/none, answer: nodata}}, {{service: shop/theirs, answer: upstream}}, \
         {{service: shop/own, failover: false}}]}}\n"
    );
    let config = Config::parse(std::path::Path::new("dns.yaml"), &config).unwrap();
    let keys = ["shop/far", "shop/none", "shop/theirs", "shop/own"];
    let services = keys.map(|key| (key, "10.2.0.1"));
    let mut clusters = [cluster("local", &[]), cluster("peer", &services)];
    clusters[0].catalog = None;
    clusters[0].state = SyncState::Pending;
    let other = Service {
        kind: Kind::ExternalName,
        ..service("shop/name", "10.2.0.1")
    };
    let all = services.iter().map(|(key, address)| service(key, address));
    clusters[1].catalog = Some(Arc::new(Catalog::of(all.chain([other]))));
    let known = Known {
        once_local: Arc::new([("shop".into(), "own".into())].into()),
        ..known(&clusters)
    };
    let index = Index::build(config.settings, known, 1);
    let check = |name: &str, expected: Standing| {
        let name = Name::parse(&format!("{name}.shop.svc.cluster.local")).unwrap();
        assert_eq!(index.standing(name.as_wire()), expected, "{name}");
    };
    check("far", Standing::InDoubt);
    for never in ["none", "theirs", "own", "name"] {
        check(never, Standing::Elsewhere);
    }
}

/// What a peer has is withheld while nobody could read which names stay in the local cluster; what it would never be given for is
/// not, and has not to wait.
#[test]
fn while_the_mesh_configuration_is_unread_only_what_a_peer_would_be_given_for_is_in_doubt() {
    let config = format!(
        "{CONFIG}remote: {{namespaces: labelled, rules: [{{service: shop/none, answer: nodata}}, \
         {{service: shop/theirs, answer: upstream}}, {{service: shop/own, failover: false}}]}}\nclusterLocal: \
         [kept.shop.svc.cluster.local]\n"
    );
    let config = Config::parse(std::path::Path::new("dns.yaml"), &config).unwrap();
    let keys = [
        "shop/far",
        "shop/none",
        "shop/theirs",
        "shop/own",
        "shop/kept",
        "web/far",
    ];
    let services = keys.map(|key| (key, "10.2.0.1"));
    let mut clusters = [
        cluster("local", &[("shop/here", "10.1.0.1")]),
        cluster("peer", &[]),
    ];
    let mut local = (**clusters[0].catalog.as_ref().unwrap()).clone();
    let shop = (*local.namespaces["shop"]).clone().with_remote(Some(true));
    local.namespaces.insert("shop".into(), Arc::new(shop));
    local.mesh_unread = true;
    let read = Catalog {
        mesh_unread: false,
        ..local.clone()
    };
    clusters[0].catalog = Some(Arc::new(local));
    let of_kind = |key: &str, kind: Option<Kind>, exported: bool| {
        let service = service(key, "10.2.0.1");
        Service {
            kind: kind.unwrap_or(service.kind),
            exported,
            ..service
        }
    };
    let all = services.iter().map(|(key, address)| service(key, address));
    let others = [
        of_kind("shop/name", Some(Kind::ExternalName), true),
        of_kind("shop/unexported", None, false),
    ];
    clusters[1].catalog = Some(Arc::new(Catalog::of(all.chain(others))));
    let known_now = Known {
        once_local: Arc::new([("shop".into(), "own".into())].into()),
        ..known(&clusters)
    };
    let index = Index::build(config.settings, known_now.clone(), 1);
    let check = |index: &Index, name: &str, in_doubt: bool| {
        let name = Name::parse(&format!("{name}.svc.cluster.local")).unwrap();
        let standing = index.standing(name.as_wire());
        assert_eq!(
            standing == Standing::InDoubt,
            in_doubt,
            "{name}: {standing:?}"
        );
    };
    check(&index, "far.shop", true);
    for never in [
        "none.shop",
        "theirs.shop",
        "own.shop",
        "kept.shop",
        "name.shop",
        "unexported.shop",
        "far.web",
        "absent.shop",
    ] {
        check(&index, never, false);
    }
    clusters[0].catalog = Some(Arc::new(read));
    let index = index.next(
        Known {
            clusters: clusters.to_vec(),
            ..known_now
        },
        2,
    );
    assert!(
        index
            .names()
            .any(|(name, _)| name.to_string().starts_with("far.shop."))
    );
}
