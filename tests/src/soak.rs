//! The filter under load for long, while its policy changes again and again: nothing fails, and memory stays.
//!
//! Two servers' sidecars, one with the HTTP filter and one with the network filter, behind the clients' sidecars; requests
//! by HTTP/1.1 and HTTP/2 and connections by TCP, of peers that are allowed, refused or now this and now that, some of them
//! with hostile bytes. Policies come by extension discovery, as Istio brings them; some of them are refused.

mod memory;
mod policies;
mod traffic;

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use crate::block::Block;
use crate::envoy::Envoy;
use crate::names::{BATCH, CATALOG, FRONTEND, SERVICE_PORT, STRANGER};
use crate::pki::Root;
use crate::roles::client::{Clients, Destination, Pod, Service};
use crate::roles::tcp::TcpStand;
use crate::sender::Protocol;
use crate::stand::Stand;
use crate::world::node;
use memory::Sample;
use traffic::{Answers, Caller};

/// What each sidecar may grow, in bytes, after the first quarter of a run.
///
/// Seen in 11 minutes, over 400 policies and 400,000 answers after the first quarter: 0.25 MiB with the HTTP filter, 0.5 MiB
/// with the network filter, all of it Envoy's own heap getting settled. Half a minute alone may still see a step of 2 MiB,
/// as tcmalloc and V8 take memory by. A filter that loses as little as a policy of 4 KiB at each of a thousand
/// reconfigurations in each of three VMs grows by 12 MB, one that loses 16 bytes at each of a million requests by 16 MB.
pub const MAY_GROW: u64 = 8 << 20;

/// How much is asked of it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// It ends when so many requests were answered, with connections counted among them,
    pub requests: u64,
    /// and so many policies were delivered to each sidecar;
    pub policies: u64,
    /// or after this time, whatever was reached.
    pub at_most: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    answers: Answers,
    taken: u64,
    refused: u64,
    samples: Vec<Sample>,
}

/// Everything that runs.
struct World {
    http: Stand,
    tcp: TcpStand,
    _clients: Envoy,
    callers: Vec<Caller>,
    _block: Block,
}

/// Runs it.
pub async fn run(plan: Plan) -> Result<Report> {
    let world = World::start().await?;
    let begun = Instant::now();
    let traffic = traffic::begin(&world.callers, &world.tcp);
    let mut samples = vec![Sample::take(begun, 0, 0, &world.http, &world.tcp).await?];
    let (mut taken, mut refused) = (0, 0);
    loop {
        let answered = traffic.answers().sum();
        if (answered >= plan.requests && taken >= plan.policies) || begun.elapsed() > plan.at_most {
            break;
        }
        // Evenly among the requests, but no faster than the sidecars take policies on.
        let due = u128::from(answered) * u128::from(plan.policies);
        if u128::from(taken) * u128::from(plan.requests) <= due {
            // Number 0 is what they began with, and no change.
            let number = taken + refused + 1;
            if policies::is_wrong(number) {
                policies::deliver_wrong(number, &world.http, &world.tcp).await?;
                refused += 1;
            } else {
                policies::deliver(number, &world.http, &world.tcp).await?;
                taken += 1;
            }
        } else {
            sleep(Duration::from_millis(2)).await;
        }
        let last = samples.last().map_or(0, |sample| sample.seconds);
        if begun.elapsed().as_secs() >= last + (plan.at_most.as_secs() / 40).max(2) {
            samples.push(Sample::take(begun, answered, taken, &world.http, &world.tcp).await?);
        }
    }
    let answers = traffic.end().await;
    samples.push(Sample::take(begun, answers.sum(), taken, &world.http, &world.tcp).await?);
    for (what, envoy) in [
        ("HTTP", &world.http.sidecar.envoy),
        ("TCP", &world.tcp.envoy),
    ] {
        let failures = envoy
            .stat("wasmcustom.crossmesh_host_failures_total")
            .await?;
        ensure!(
            failures == 0,
            "{what}: {failures} calls to Envoy failed:\n{}",
            envoy.log_tail(20)
        );
        let trapped = envoy
            .log()
            .lines()
            .filter(|line| line.contains("Function: proxy_"))
            .count();
        ensure!(
            trapped == 0,
            "{what}: the filter trapped:\n{}",
            envoy.log_tail(20)
        );
        for metric in policies::BY_RULE {
            let rules = policies::told_apart(envoy, metric).await?;
            ensure!(
                rules.len() <= usize::from(policies::NAMED_RULES),
                "{what}: {metric} tells {} rules apart, and may {}: {rules:?}",
                rules.len(),
                policies::NAMED_RULES
            );
        }
    }
    Ok(Report {
        answers,
        taken,
        refused,
        samples,
    })
}

impl Report {
    /// Whether nothing failed and nothing grew.
    ///
    /// # Errors
    /// What did.
    pub fn check(&self) -> Result<()> {
        let failed = &self.answers.failed;
        ensure!(
            failed.is_empty(),
            "{} requests or connections came to something else than their verdict, the first: {}",
            failed.len(),
            failed.first().map(String::as_str).unwrap_or_default()
        );
        let first = self.samples.get(self.samples.len() / 4);
        let (first, last) = first.zip(self.samples.last()).context("no samples")?;
        for ((what, before), (_, after)) in first.resident().into_iter().zip(last.resident()) {
            let grown = after.saturating_sub(before);
            ensure!(
                grown <= MAY_GROW,
                "the sidecar of {what} grew by {grown} bytes after the first quarter, and may by {MAY_GROW}\n{self}"
            );
        }
        Ok(())
    }

    /// How many requests and connections were answered; how many policies were taken, and refused.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.answers.sum(), self.taken, self.refused)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", memory::HEAD)?;
        for sample in &self.samples {
            writeln!(f, "{sample}")?;
        }
        write!(
            f,
            "{} answers: {}\n{} policies taken by each sidecar, {} refused",
            self.answers.sum(),
            self.answers,
            self.taken,
            self.refused
        )
    }
}

impl World {
    async fn start() -> Result<Self> {
        let http = Stand::start_discovering(&policies::http(0)).await?;
        let tcp = TcpStand::start(&policies::tcp(0), &[FRONTEND, BATCH]).await?;
        let block = Block::claim()?;
        let listen = SocketAddr::new(block.at(20), SERVICE_PORT);
        let mut pods = Vec::new();
        let mut callers = Vec::new();
        for (at, id) in (51..).zip([FRONTEND, BATCH, STRANGER]) {
            let identity = http.pki.sign(Root::East, &format!("soak-{at}"), &[id])?;
            let address = block.at(at);
            pods.push(Pod { address, identity });
            for protocol in Protocol::ALL {
                callers.push(Caller {
                    from: address,
                    to: listen,
                    protocol,
                    verdict: policies::verdict(id),
                });
            }
        }
        let clients = Clients {
            node: node("east", "web", "clients"),
            admin: block.at(3),
            pods,
            destinations: vec![Destination {
                listen,
                services: vec![Service {
                    name: CATALOG,
                    endpoint: http.sidecar.address,
                    spiffe_id: "spiffe://bar.com/ns/shop/sa/catalog",
                }],
            }],
        };
        let clients = clients.start(&http.folder().join("clients")).await?;
        Ok(Self {
            http,
            tcp,
            _clients: clients,
            callers,
            _block: block,
        })
    }
}
