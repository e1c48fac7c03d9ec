//! The whole path with real API servers, real Envoys and real clients: dig, glibc and musl ask the agent, curl connects by way
//! of its sidecar to what is answered, and is served, while its service goes to the other mesh and comes back. No query and no
//! request fails on the way.
#![cfg(test)]

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crossmesh_e2e::curl::{Reply, Request};
use crossmesh_e2e::dns::Dug;
use crossmesh_e2e::kubernetes::clusters::{Clusters, Surroundings};
use crossmesh_e2e::kubernetes::objects::Objects;
use crossmesh_e2e::kubernetes::streams::{
    CATALOG_SERVICE, REVIEWS_SERVICE, check, is, is_at, is_unknown,
};
use crossmesh_e2e::kubernetes::witness::Witness;
use crossmesh_e2e::musl;
use crossmesh_e2e::names::{
    CATALOG, FRONTEND, GATEWAY_PORT, REVIEWS, REVIEWS_LOCATIONS, SERVICE_PORT, passthrough_sni,
};
use crossmesh_e2e::pki::Root;
use crossmesh_e2e::plugin::policy_of_resource;
use crossmesh_e2e::pod::Pod;
use crossmesh_e2e::tools::Tool;
use crossmesh_e2e::world::{Addresses, World};
use serde_json::json;
use tokio::task::LocalSet;

const NOWHERE: &str = "nowhere.shop.svc.cluster.local";
const V1: &str = "reviews v1 of mesh east";
const V2: &str = "reviews v2 of mesh west";

/// Both, the clusters' agent being the world's.
async fn stand() -> (World, Clusters) {
    let policy = policy_of_resource("wasm-plugins/sidecar.yaml").unwrap();
    let clusters = Cell::new(None);
    let agent = async |addresses: &Addresses, _: &std::path::Path, _: SocketAddr| {
        // A loopback address for every Service, so that the clients' sidecar can listen on it.
        let range = |address: IpAddr| format!("{address}/28");
        let surroundings = Surroundings {
            service_ranges: [
                range(addresses.east_services()),
                range(addresses.west_services()),
            ],
            gateway: Some(addresses.gateway()),
        };
        let started = Clusters::start_in(surroundings).await?;
        create_reviews(&started.east.objects, addresses.reviews_cluster_ip()).await;
        started
            .west
            .objects
            .create_service(&CATALOG_SERVICE)
            .await?;
        started
            .west
            .objects
            .create_service(&REVIEWS_SERVICE)
            .await?;
        started.introduce(&started.way_west()).await?;
        // A resolv.conf names no port.
        let listen = format!("{}:53", started.address(0));
        let mut agent = started
            .launch_agent(&json!({"srv": "gateway", "listen": [listen]}), &[])
            .await?;
        agent.until_ready().await?;
        clusters.set(Some(started));
        Ok(agent)
    };
    let world = World::start_with(&policy, agent).await.unwrap();
    let clusters = clusters.into_inner().unwrap();
    (world, clusters)
}

/// With the address that the clients' sidecar listens on.
async fn create_reviews(east: &Objects, address: IpAddr) {
    let mut service = REVIEWS_SERVICE.object();
    service["spec"]["clusterIP"] = json!(address);
    east.apply(&service).await.unwrap();
    east.apply(&REVIEWS_SERVICE.slice(&["192.0.2.10"]))
        .await
        .unwrap();
}

/// Who asks: the real clients of a pod of shop.
struct Clients {
    agent: SocketAddr,
    pod: Pod,
    /// The pod's address.
    address: IpAddr,
    musl: musl::Client,
}

impl Clients {
    async fn new(world: &World, clusters: &Clusters) -> Self {
        let (agent, folder) = (world.agent.dns(), clusters.folder().join("clients"));
        Self {
            agent,
            pod: Pod::new(&folder.join("glibc"), agent.ip(), "shop").unwrap(),
            address: world.addresses.frontend(),
            musl: musl::Client::compile(&folder.join("musl"), agent.ip(), "shop")
                .await
                .unwrap(),
        }
    }

    /// The addresses of a name; all clients agree about it, in its full form and in those that a pod would write.
    async fn ask(&self, name: &str) -> Vec<IpAddr> {
        let dug = Dug::ask(self.agent, name, "A").await.unwrap();
        let found = dug.answers.iter().map(|record| {
            let address = record.strip_prefix("IN A ").unwrap();
            address.parse().unwrap()
        });
        let found: Vec<IpAddr> = found.collect();
        let status = if found.is_empty() {
            "NXDOMAIN"
        } else {
            "NOERROR"
        };
        assert_eq!(dug.status, status, "{name}: {dug:?}");
        let service = name.split('.').next().unwrap();
        for written in [name, service, &format!("{service}.shop")] {
            let getent = self.pod.getent(written).await.unwrap();
            assert_eq!(getent, found, "getent {written}");
            let said = self.musl.look_up(&[written]).await.unwrap();
            let expected = match &found[..] {
                [] => format!("{written}: Name does not resolve\n"),
                all => all.iter().map(|one| format!("{written} {one}\n")).collect(),
            };
            assert_eq!(said.stdout, expected, "musl: {said:?}");
        }
        found
    }

    /// What curl is served that asks for the name itself, as a program in the pod does; its own sidecar takes it there.
    async fn fetch(&self, name: &str) -> String {
        let url = format!("http://{name}:{SERVICE_PORT}/v1/items");
        let from = self.address.to_string();
        let args = ["-sS", "-i", "--interface", &from, &url];
        let said = self
            .pod
            .run(&Tool::Curl.path().unwrap(), &args)
            .await
            .unwrap();
        let reply = Reply::parse(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
        assert_eq!(reply.status, 200, "{url}: {reply:?}");
        reply.body.lines().next().unwrap_or_default().to_owned()
    }

    /// All clients find exactly this address, and who is there says this.
    async fn find(&self, name: &str, address: IpAddr, says: &str) {
        assert_eq!(self.ask(name).await, [address], "{name}");
        assert_eq!(self.fetch(name).await, says, "{name} at {address}");
    }
}

/// Asks for the name by dig, then for what is there, at exactly the address that was answered; what the application says it is.
async fn call(agent: SocketAddr, pod: IpAddr, name: &str) -> (IpAddr, String) {
    let answer = Dug::ask(agent, name, "A").await.unwrap();
    let [address] = &answer.answers[..] else {
        panic!("{name} answers {answer:?}")
    };
    let address: IpAddr = address.strip_prefix("IN A ").unwrap().parse().unwrap();
    let to = SocketAddr::new(address, SERVICE_PORT);
    let request = Request::by_name(name, to, "/v1/items")
        .unwrap()
        .from_pod(pod);
    let reply = request.send().await.unwrap();
    assert_eq!(reply.status, 200, "{name} at {address}: {reply:?}");
    let says = reply.body.lines().next().unwrap_or_default();
    (address, says.to_owned())
}

#[tokio::test]
async fn no_request_fails_while_its_service_leaves_this_cluster_and_comes_back() {
    let (world, clusters) = stand().await;
    let (agent, a) = (world.agent.dns(), &world.addresses);
    let (local, gateway, pod) = (a.reviews_cluster_ip(), a.gateway(), a.frontend());
    let names = Witness::start(agent, REVIEWS).unwrap();
    let locations = Witness::start_for_locations(agent, REVIEWS_LOCATIONS).unwrap();
    let nowhere = Witness::start(agent, NOWHERE).unwrap();
    names.until(is(local)).await.unwrap();
    locations.until(is_at(SERVICE_PORT)).await.unwrap();
    nowhere.until(is_unknown).await.unwrap();
    let clients = Clients::new(&world, &clusters).await;

    // Calls all the time, and remembers who answered.
    let done = Rc::new(Cell::new(false));
    let callers = LocalSet::new();
    let calling = {
        let done = Rc::clone(&done);
        callers.spawn_local(async move {
            let mut seen = Vec::new();
            while !done.get() {
                seen.push(call(agent, pod, REVIEWS).await);
                seen.dedup();
            }
            seen
        })
    };
    let steps = async {
        let east = &clusters.east.objects;
        // 1. In both: the local one.
        clients.find(REVIEWS, local, V1).await;
        // 2. Scaled to zero: the name does not change. That the agent had the time to see it, the deletion tells.
        east.apply(&REVIEWS_SERVICE.slice(&[])).await.unwrap();
        assert_eq!(clients.ask(REVIEWS).await, [local]);
        // 3. Deleted here: by way of the gateway.
        east.delete(&REVIEWS_SERVICE.object()).await.unwrap();
        names.until(is(gateway)).await.unwrap();
        locations.until(is_at(GATEWAY_PORT)).await.unwrap();
        clients.find(REVIEWS, gateway, V2).await;
        let located = Dug::ask(agent, REVIEWS_LOCATIONS, "SRV").await.unwrap();
        let location = format!("IN SRV 0 100 {GATEWAY_PORT} {REVIEWS}.");
        assert_eq!(located.answers, [location]);
        // What SRV says: mutual TLS at the gateway's own port, with the SNI that it knows the service by.
        let at = SocketAddr::new(gateway, GATEWAY_PORT);
        let identity = world.pki.sign(Root::East, "client", &[FRONTEND]).unwrap();
        let sni = passthrough_sni(REVIEWS);
        let request = Request::mutual_tls(&sni, at, "/v1/items", &identity).unwrap();
        let reply = request.header(&format!("host: {REVIEWS}")).send().await;
        let reply = reply.unwrap();
        assert!(
            reply.status == 200 && reply.body.starts_with(V2),
            "{reply:?}"
        );
        // 4. Here again.
        create_reviews(east, local).await;
        names.until(is(local)).await.unwrap();
        locations.until(is_at(SERVICE_PORT)).await.unwrap();
        clients.find(REVIEWS, local, V1).await;
        // Only in the west, all the time.
        clients
            .find(CATALOG, gateway, "catalog v2 of mesh west")
            .await;
        // Never there: what the cluster's DNS says, whose SOA is another than ours. Its serial is the time.
        assert!(clients.ask(NOWHERE).await.is_empty());
        let [ours, theirs] =
            [agent, clusters.dns.address()].map(|server| Dug::ask(server, NOWHERE, "A"));
        let (ours, theirs) = (ours.await.unwrap(), theirs.await.unwrap());
        assert_eq!(ours.status, theirs.status);
        let [ours, theirs] = [ours, theirs].map(|dug| {
            let [soa] = &dug.authority[..] else {
                panic!("{dug:?}")
            };
            let words = soa.split(' ').enumerate().filter(|(at, _)| *at != 4);
            words.map(|(_, word)| word.to_owned()).collect::<Vec<_>>()
        });
        assert_eq!(ours, theirs);
        assert_eq!(
            ours.last().unwrap(),
            "30",
            "the minimum, which is 5 in ours"
        );
        done.set(true);
    };
    let ((), seen) = callers
        .run_until(async { tokio::join!(steps, calling) })
        .await;
    let wanted = [(local, V1), (gateway, V2), (local, V1)];
    let wanted = wanted.map(|(address, says)| (address, says.to_owned()));
    assert_eq!(seen.unwrap(), wanted);
    check(&names, &[&is(local), &is(gateway), &is(local)]);
    let (here, tunnel) = (is_at(SERVICE_PORT), is_at(GATEWAY_PORT));
    check(&locations, &[&here, &tunnel, &here]);
    check(&nowhere, &[&is_unknown]);
}
