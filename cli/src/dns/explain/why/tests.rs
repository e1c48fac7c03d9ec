use crossmesh_proto::admin::v1 as wire;

use super::*;

fn explanation(views: Vec<wire::View>, reason: &str, records: &[&str]) -> Explanation {
    let reply = wire::Reply {
        outcome: if records.is_empty() {
            "nodata"
        } else {
            "noerror"
        }
        .to_owned(),
        records: records.iter().map(ToString::to_string).collect(),
        reason: reason.to_owned(),
        at_a_time: if records.len() > 1 { 1 } else { 0 },
        ..wire::Reply::default()
    };
    let told = wire::Explanation {
        name: "web.shop.svc.cluster.local".to_owned(),
        r#type: "A".to_owned(),
        local_cluster: "cluster-1".to_owned(),
        answer: Some(wire::Answer {
            kind: Some(wire::answer::Kind::Reply(reply)),
        }),
        subject: Some(wire::Subject {
            kind: "service".to_owned(),
            namespace: "shop".to_owned(),
            service: "web".to_owned(),
            in_set: false,
        }),
        policy: Some(wire::Policy {
            answer: "auto".to_owned(),
            answer_by: "default".to_owned(),
            failover: true,
            failover_by: "default".to_owned(),
            failover_when_empty: true,
            failover_when_empty_by: "namespace".to_owned(),
        }),
        views,
        ..wire::Explanation::default()
    };
    Explanation::try_from(told).unwrap()
}

fn view(cluster: &str, fate: &str, gives: &str) -> wire::View {
    wire::View {
        cluster: Some(wire::Cluster {
            id: cluster.to_owned(),
            ..wire::Cluster::default()
        }),
        fate: fate.to_owned(),
        gives: gives.to_owned(),
        because: if gives.is_empty() { "" } else { "only-http" }.to_owned(),
        service: Some(wire::Service {
            kind: "cluster-ip".to_owned(),
            is_empty: fate == "gave-way",
            ..wire::Service::default()
        }),
        ..wire::View::default()
    }
}

#[test]
fn a_local_service_that_gave_way_is_named() {
    let peer = wire::View {
        addresses: vec!["203.0.113.7".to_owned()],
        ..view("cluster-2", "counts", "gateways")
    };
    let views = vec![view("cluster-1", "gave-way", ""), peer];
    let said = explanation(views, "gateway", &["203.0.113.7", "203.0.113.8"]).to_string();
    for part in [
        "A: 203.0.113.7 203.0.113.8 (1 of them at a time, by turns)",
        "shop/web has no ready endpoint in the local cluster cluster-1, and peers have it (cluster-2)",
        "remote.rules {namespace: shop, failoverWhenEmpty: true}",
        "it has no ready endpoint, and failoverWhenEmpty is true",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_local_service_that_is_empty_and_stays_says_why() {
    let check = |stays: &str, parts: [&str; 2]| {
        let local = wire::View {
            stays: stays.to_owned(),
            ..view("cluster-1", "local", "")
        };
        let said = explanation(vec![local], "local", &["10.1.0.1"]).to_string();
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
    };
    check(
        "lacks-port",
        [
            "The local cluster cluster-1 has shop/web without a ready endpoint, and its own address is given all the same: a \
             port of it is in no peer.",
            "it has no ready endpoint, but a port of it is in no peer",
        ],
    );
    check(
        "not-asked",
        [
            "remote.rules {namespace: shop, failoverWhenEmpty: true}",
            "it has no ready endpoint, but failoverWhenEmpty is false",
        ],
    );
    check(
        "kept-local",
        [
            "all the same: remote.failover: true (default) keeps it.",
            "it has no ready endpoint, but failover is false",
        ],
    );
}

#[test]
fn a_doubt_is_told_with_its_reason() {
    let check = |views: Vec<wire::View>, doubt: &str, part: &str| {
        let forward = wire::Forward {
            to: "cluster".to_owned(),
            in_doubt: true,
            doubt: doubt.to_owned(),
            why: "not-found".to_owned(),
            ..wire::Forward::default()
        };
        let told = wire::Explanation {
            answer: Some(wire::Answer {
                kind: Some(wire::answer::Kind::Forward(forward)),
            }),
            views,
            ..wire::Explanation::default()
        };
        let said = Explanation::try_from(told).unwrap().to_string();
        assert!(said.contains(part), "{part}: {said}");
    };
    check(
        vec![view("cluster-2", "unread", "")],
        "always",
        " A denial becomes SERVFAIL, because cluster-2 may have it and was never read.",
    );
    check(
        vec![view("cluster-2", "unread", "")],
        "if-namespace-exists",
        " A denial becomes SERVFAIL if its namespace exists here, because cluster-2 may have it",
    );
    check(
        vec![view("cluster-2", "mesh-unread", "")],
        "always",
        "because cluster-2 has it, and whether it stays there the mesh configuration says",
    );
    check(
        Vec::new(),
        "always",
        "because peers that may have it are still to be discovered.",
    );
    check(
        Vec::new(),
        "unless-by-zone",
        "unless the cluster's own zone denies it, because what is known of the local cluster is not current.",
    );
    let said = explanation(Vec::new(), "not-synced", &[]).to_string();
    let part = "It cannot be denied, because peers that may have it are still to be discovered.";
    assert!(said.contains(part), "{said}");
}

#[test]
fn gateways_for_hbone_only_are_a_reason() {
    let peer = wire::View {
        hbone_gateways: vec!["Gateway istio-system/eastwest".to_owned()],
        ..view("cluster-2", "counts", "gateways")
    };
    let said = explanation(vec![peer], "nodata", &[]).to_string();
    let why = "its gateways are for HBONE only";
    assert!(said.contains(why), "{said}");
}
