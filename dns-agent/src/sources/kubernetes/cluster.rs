//! One cluster: what its resources say together, as a catalog.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use kube::Client;
use tokio::{sync::watch::channel, time::sleep_until};

use super::{
    cluster_set, node,
    objects::{ConfigMap, EndpointSlice, GatewayObject, Namespace, Node, Service, ServiceCidr},
    offers::{GATEWAYS, Offers, SERVICE_RANGES},
    queue::queue,
    ready,
    view::View,
    watch::{self, Event, Resource},
};
use crate::{index::Reach, sources::board::Seat};

/// What else decides what is read of a cluster.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// Whether it is the cluster that the agent serves.
    pub(super) local: bool,
    /// The namespace that tells the cluster's network.
    pub(super) istio_namespace: String,
    /// The agent's own node, in its own cluster.
    pub(super) node: Option<String>,
    /// How long answers wait for what they could do without, once what they need is known.
    pub(super) patience: Duration,
    /// Whether other clusters may have only services whose label says so.
    pub(super) only_labelled: bool,
    /// Of which services it matters whether they have a ready endpoint.
    pub(super) ready_of: Option<Reach>,
}

/// What became known.
#[derive(Debug)]
pub(super) enum Change {
    Services(Event<Service>),
    Namespaces(Event<Namespace>),
    Slices(Event<EndpointSlice>),
    Gateways(Event<GatewayObject>),
    Nodes(Event<Node>),
    Mesh(Event<ConfigMap>),
    ClusterSet(cluster_set::Change),
    OwnNode(Event<Node>),
    /// Of a namespace, or of all.
    ReadySlices(Option<Arc<str>>, Event<EndpointSlice>),
    ServiceRanges(Event<ServiceCidr>),
}

/// Tells the seat everything that becomes known of a cluster. Ends only by being dropped.
pub(super) async fn follow(client: &Client, about: &About, seat: &Seat) {
    let (send, mut changes) = queue();
    let resource = |name, path: &str, selector: &str| Resource {
        name,
        path: path.to_owned(),
        selector: selector.to_owned(),
        missing: None,
    };
    let services = resource("services", "/api/v1/services", "");
    let namespaces = resource("namespaces", "/api/v1/namespaces", "");
    // Kubernetes marks the slices of headless services; of all others nothing is needed.
    let slices = resource(
        "endpointslices",
        "/apis/discovery.k8s.io/v1/endpointslices",
        "&labelSelector=service.kubernetes.io%2Fheadless",
    );
    let nodes = resource("nodes", "/api/v1/nodes", "");
    let mesh = resource(
        "the ConfigMap istio",
        &format!("/api/v1/namespaces/{}/configmaps", about.istio_namespace),
        "&fieldSelector=metadata.name%3Distio",
    );
    let follow_mesh = async {
        if about.local {
            watch::follow(client, &mesh, &send, &Change::Mesh).await;
        }
        std::future::pending::<()>().await;
    };
    let follow_own_node = async {
        if let Some(name) = &about.node {
            watch::follow(client, &node::resource(name), &send, &Change::OwnNode).await;
        }
        std::future::pending::<()>().await;
    };
    let ready = about.ready_of.as_ref().map(ready::resources);
    let ready = ready.into_iter().flatten().map(async |(of, resource)| {
        let wrap = move |event| Change::ReadySlices(of.clone(), event);
        watch::follow(client, &resource, &send, &wrap).await
    });
    let follow_ready = async {
        join_all(ready).await;
        std::future::pending::<()>().await;
    };
    let offers = Offers::new(client, about.local);
    // Which addresses are local ones matters only where the agent is.
    let follow_service_ranges = async {
        if about.local {
            offers
                .follow(&SERVICE_RANGES, "", &send, Change::ServiceRanges)
                .await;
        }
        std::future::pending::<()>().await;
    };
    let labelled = "&labelSelector=topology.istio.io%2Fnetwork";
    let (select, mut selected) = channel(None);
    // Few clusters have gateways at nodes, and nodes are many and large.
    let follow_nodes = async {
        while selected.wait_for(Option::is_some).await.is_ok() {
            tokio::select! {
                _ = watch::follow(client, &nodes, &send, &Change::Nodes) => {}
                _ = selected.changed() => {}
            }
        }
    };
    let take = async {
        let mut view = View::new(about.clone(), seat.catalog().as_deref());
        loop {
            let late = view.waits_until();
            let late = async {
                match late {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changes.come() => {}
                () = late => {}
            }
            for change in changes.take() {
                view.take(change);
            }
            select.send_if_modified(|selected| {
                let other = selected.as_ref() != view.selected_nodes();
                if other {
                    *selected = view.selected_nodes().cloned();
                }
                other
            });
            view.tell(seat);
        }
    };
    tokio::select! {
        _ = watch::follow(client, &services, &send, &Change::Services) => {}
        _ = watch::follow(client, &namespaces, &send, &Change::Namespaces) => {}
        _ = watch::follow(client, &slices, &send, &Change::Slices) => {}
        () = offers.ask() => {}
        _ = offers.follow(&GATEWAYS, labelled, &send, Change::Gateways) => {}
        () = follow_nodes => {}
        _ = cluster_set::follow(&offers, about.local, &send) => {}
        () = follow_mesh => {}
        () = follow_own_node => {}
        () = follow_service_ranges => {}
        () = follow_ready => {}
        () = take => {}
    }
}
