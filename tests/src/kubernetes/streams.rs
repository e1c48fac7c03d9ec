//! A stream of queries for each kind of name, and what each stream may see while two real clusters change or fail: what was
//! right before, what is right after, and nothing between.

use std::net::IpAddr;

use anyhow::Result;
use hickory_proto::op::ResponseCode;
use serde_json::{Value, json};

use super::clusters::{Clusters, OUTSIDE, OUTSIDE_ADDRESS};
use super::objects::Service;
use super::witness::Witness;
use crate::agent::Agent;
use crate::dns::Answer;
use crate::names::{CATALOG, REVIEWS};

/// In both clusters.
pub const REVIEWS_SERVICE: Service<'_> = service("reviews", "http");
/// Only in the west, and HTTP: it is reached by way of the gateway.
pub const CATALOG_SERVICE: Service<'_> = service("catalog", "http");
/// Only in the west, and not HTTP: a gateway's address would carry nothing.
pub const LEDGER_SERVICE: Service<'_> = service("ledger", "tcp");
/// Its name.
pub const LEDGER: &str = "ledger.shop.svc.cluster.local";
/// In no cluster until a test creates it.
pub const CART_SERVICE: Service<'_> = service("cart", "http");
/// Its name.
pub const CART: &str = "cart.shop.svc.cluster.local";

/// In a namespace that no cluster has until a test creates it.
pub const FRESH_SERVICE: Service<'_> = Service {
    namespace: "fresh",
    ..service("web", "http")
};
/// Its name.
pub const FRESH: &str = "web.fresh.svc.cluster.local";

const fn service(name: &'static str, port_name: &'static str) -> Service<'static> {
    Service {
        namespace: "shop",
        name,
        port_name,
        port: 8080,
    }
}

/// A stream of queries for each name that tests watch. The fields are in the order in which they are to end.
#[derive(Debug)]
pub struct Streams {
    /// Asks for [`REVIEWS`].
    pub reviews: Witness,
    /// Asks for [`CATALOG`].
    pub catalog: Witness,
    /// Asks for [`LEDGER`].
    pub ledger: Witness,
    /// Asks for [`CART`].
    pub cart: Witness,
    /// Asks for [`OUTSIDE`].
    pub outside: Witness,
    /// Who is asked.
    pub agent: Agent,
    /// What the agent watches.
    pub clusters: Clusters,
    /// What reviews answers at the beginning.
    pub local: IpAddr,
    /// What ledger answers.
    pub remote: IpAddr,
}

impl Streams {
    /// Starts both clusters with their services, an agent and the streams; until each answers what it should.
    pub async fn start() -> Result<Self> {
        Self::start_in(&json!({}), &[]).await
    }

    /// As [`Streams::start`], with an agent that has these fields besides in its configuration, and other surroundings (see
    /// [`Agent::launch_under`]).
    pub async fn start_in(besides: &Value, under: &[String]) -> Result<Self> {
        let clusters = Clusters::start().await?;
        let (east, west) = (&clusters.east.objects, &clusters.west.objects);
        let local = east.create_service(&REVIEWS_SERVICE).await?;
        west.create_service(&REVIEWS_SERVICE).await?;
        west.create_service(&CATALOG_SERVICE).await?;
        let remote = west.create_service(&LEDGER_SERVICE).await?;
        clusters.introduce(&clusters.way_west()).await?;
        let mut agent = clusters.launch_agent(besides, under).await?;
        agent.until_ready().await?;
        let witness = |name| Witness::start(agent.dns(), name);
        let streams = Self {
            reviews: witness(REVIEWS)?,
            catalog: witness(CATALOG)?,
            ledger: witness(LEDGER)?,
            cart: witness(CART)?,
            outside: witness(OUTSIDE)?,
            agent,
            clusters,
            local,
            remote,
        };
        streams.reviews.until(is(local)).await?;
        streams.catalog.until(is(streams.gateway())).await?;
        streams.ledger.until(is(remote)).await?;
        streams.cart.until(is_unknown).await?;
        streams.outside.until(is(OUTSIDE_ADDRESS)).await?;
        Ok(streams)
    }

    /// The address of the west's gateway.
    #[must_use]
    pub fn gateway(&self) -> IpAddr {
        self.clusters.gateway()
    }
}

/// Exactly this address.
pub fn is(address: IpAddr) -> impl Fn(&Answer) -> bool {
    move |answer| answer.code == ResponseCode::NoError && answer.addresses == [address]
}

/// One location, at this port.
pub fn is_at(port: u16) -> impl Fn(&Answer) -> bool {
    move |answer| answer.code == ResponseCode::NoError && answer.ports == [port]
}

/// NXDOMAIN.
#[must_use]
pub fn is_unknown(answer: &Answer) -> bool {
    answer.code == ResponseCode::NXDomain
}

/// SERVFAIL.
#[must_use]
pub fn is_failure(answer: &Answer) -> bool {
    answer.code == ResponseCode::ServFail
}

/// NOERROR, and nothing in it.
#[must_use]
pub fn is_empty(answer: &Answer) -> bool {
    answer.code == ResponseCode::NoError && answer.addresses.is_empty() && answer.ports.is_empty()
}

/// What an answer is to be.
pub type Wanted<'a> = &'a dyn Fn(&Answer) -> bool;

/// The single place that says what a stream may have seen: these answers, in this order, and no other. Prints what it saw,
/// for whoever runs the tests with `--show-output`.
#[track_caller]
pub fn check(witness: &Witness, wanted: &[Wanted<'_>]) {
    let spells = witness.spells();
    let matches = spells.len() == wanted.len()
        && spells
            .iter()
            .zip(wanted)
            .all(|(spell, wanted)| spell.answer.as_ref().is_ok_and(wanted));
    assert!(matches, "{}", witness.told());
    println!("{}", witness.told());
}
