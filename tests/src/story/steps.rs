//! The steps, in their order.

use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::commands::{by_name, counters, dig_answer, explanation};
use super::stage::{Stage, Step};
use crate::access_log::AccessLog;
use crate::agent::Catalog;
use crate::command::Command;
use crate::dns::Client;
use crate::names::{BATCH, CATALOG, FRONTEND, REVIEWS, STRANGER};
use crate::world::World;

/// The rule that allows, in the policy of the story.
const RULE: &str = "catalog-readers";

/// How long the agent may take to notice a changed catalog before that counts as never.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tells all of them.
pub(super) async fn all(world: &World, stage: &mut Stage) -> Result<()> {
    names(world, stage).await?;
    allowed(world, stage).await?;
    refused(world, stage).await?;
    failover(world, stage).await?;
    telemetry(world, stage).await
}

async fn names(world: &World, stage: &mut Stage) -> Result<()> {
    let local = world.addresses.reviews_cluster_ip();
    let question = dig_answer(world, REVIEWS)?;
    answer(
        stage,
        "A service of the local cluster: its name answers its ClusterIP.",
        question,
        local,
    )
    .await?;
    let gateway = world.addresses.gateway();
    let question = dig_answer(world, CATALOG)?;
    answer(
        stage,
        "A service that only mesh west has: its name answers west's gateway.",
        question,
        gateway,
    )
    .await
}

async fn allowed(world: &World, stage: &mut Stage) -> Result<()> {
    let (a, log) = (&world.addresses, &world.catalog.access_log);
    let before = log.entries()?.len();
    stage
        .step(Step {
            caption: "The frontend calls that name at that address: allowed, and served by mesh west.",
            command: by_name(CATALOG, a.gateway())?.from_pod(a.frontend()).command(),
            shown: reply,
            says: &["200 OK", "catalog v2 of mesh west", "x-crossmesh-source-mesh: east"],
        })
        .await?;
    stage.remark("The sidecar listens on the answered address itself: that stands in for transparent redirection.")?;
    stage.remark("--interface says which pod calls; its sidecar adds the pod's certificate (mutual TLS, end to end).")?;
    let decision = format!(r#""decision":"ALLOW rule:{RULE}""#);
    let says = [
        decision.as_str(),
        r#""source_mesh":"east""#,
        r#""destination_mesh":"west""#,
    ];
    last_line(
        stage,
        "The server's sidecar logged both meshes and the rule that allowed it.",
        log,
        before,
        &says,
    )
    .await?;
    let deciding = format!("ALLOW by rule:{RULE}");
    explain(
        stage,
        "The policy, asked without any proxy, says the same.",
        Some(FRONTEND),
        &deciding,
    )
    .await
}

async fn refused(world: &World, stage: &mut Stage) -> Result<()> {
    let (a, log) = (&world.addresses, &world.catalog.access_log);
    let before = log.entries()?.len();
    stage
        .step(Step {
            caption: "Another service account of the same namespace, same request: refused.",
            command: by_name(CATALOG, a.gateway())?.from_pod(a.batch()).command(),
            shown: reply,
            says: &["403 Forbidden"],
        })
        .await?;
    let says = [BATCH, "crossmesh_denied[default:peerMesh]"];
    last_line(
        stage,
        "The log names what refused it: no rule, but the default for peer meshes.",
        log,
        before,
        &says,
    )
    .await?;
    explain(
        stage,
        "And the policy says why the rule did not help.",
        Some(BATCH),
        "DENY by default:peerMesh",
    )
    .await?;

    let before = log.entries()?.len();
    stage
        .step(Step {
            caption: "Plaintext, straight to the server's pod: refused, for it shows no identity.",
            command: by_name(CATALOG, world.catalog.address.ip())?
                .from_pod(a.frontend())
                .command(),
            shown: reply,
            says: &["403 Forbidden"],
        })
        .await?;
    logged(log, before, "crossmesh_denied[default:plaintext]", stage).await?;

    let before = log.entries()?.len();
    stage
        .step(Step {
            caption: "A certificate that verifies, of a trust domain that no mesh has: refused.",
            command: by_name(CATALOG, a.gateway())?
                .from_pod(a.stranger())
                .command(),
            shown: reply,
            says: &["403 Forbidden"],
        })
        .await?;
    stage.remark(&format!(
        "It is {STRANGER}, signed by east's own root: a root can sign any trust domain."
    ))?;
    logged(
        log,
        before,
        "crossmesh_denied[default:unknownTrustDomain]",
        stage,
    )
    .await
}

async fn failover(world: &World, stage: &mut Stage) -> Result<()> {
    let a = &world.addresses;
    let (local, remote) = (a.reviews_cluster_ip(), a.gateway());
    stage
        .step(Step {
            caption: "reviews is in both meshes; by its local address the local one serves it.",
            command: by_name(REVIEWS, local)?.from_pod(a.frontend()).command(),
            shown: reply,
            says: &["200 OK", "reviews v1 of mesh east"],
        })
        .await?;

    let file = world.agent.local_catalog().path();
    let without = file.with_file_name("east-without-reviews.yaml");
    let empty = Catalog {
        services: vec![],
        ..world.catalogs.0.clone()
    };
    fs::write(&without, empty.to_string())
        .with_context(|| format!("writing {}", without.display()))?;
    fs::copy(file, file.with_file_name("east-with-reviews.yaml"))?;
    let begun = Instant::now();
    stage
        .step(Step {
            caption: "Its local Service is deleted: the catalog of cluster-1 is replaced by one without it.",
            command: Command::of_machine("mv").args([without.display().to_string(), file.display().to_string()]),
            shown: |_| true,
            says: &[],
        })
        .await?;
    let took = until_answered(world, REVIEWS, local, remote, begun).await?;
    stage.remark(&format!(
        "{took} ms after that command began, the name answered the gateway."
    ))?;
    let question = dig_answer(world, REVIEWS)?;
    answer(
        stage,
        "The same name now answers west's gateway.",
        question,
        remote,
    )
    .await?;
    stage
        .step(Step {
            caption: "And the same request by that name is now served by mesh west.",
            command: by_name(REVIEWS, remote)?.from_pod(a.frontend()).command(),
            shown: reply,
            says: &["200 OK", "reviews v2 of mesh west"],
        })
        .await
}

async fn telemetry(world: &World, stage: &mut Stage) -> Result<()> {
    let says = [
        counter("east", "ALLOW"),
        counter("east", "DENY"),
        counter("plaintext", "DENY"),
        counter("unknownTrustDomain", "DENY"),
    ];
    stage
        .step(Step {
            caption: "Every request counted by its pair of meshes, in the sidecar of west's catalog.",
            command: counters(&world.catalog)?,
            shown: |line| line.starts_with("crossmesh_requests_total") && !line.ends_with(" 0"),
            says: &says.each_ref().map(String::as_str),
        })
        .await?;
    let says = [
        r#""source_mesh":"east""#,
        r#""destination_mesh":"west""#,
        "reviews.shop",
        RULE,
    ];
    let caption =
        "And the request that moved to west, in the log of west's reviews, with both meshes.";
    last_line(stage, caption, &world.west_reviews.access_log, 0, &says).await
}

async fn answer(stage: &mut Stage, caption: &str, command: Command, address: IpAddr) -> Result<()> {
    let says = format!("IN\tA\t{address}\n");
    stage
        .step(Step {
            caption,
            command,
            shown: |_| true,
            says: &[&says],
        })
        .await
}

async fn explain(
    stage: &mut Stage,
    caption: &str,
    principal: Option<&str>,
    says: &str,
) -> Result<()> {
    let shown = |line: &str| {
        !["policy ", "not given "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    stage
        .step(Step {
            caption,
            command: explanation(principal)?,
            shown,
            says: &[says],
        })
        .await
}

/// Shows the access log's last line, once it has more than `before`.
async fn last_line(
    stage: &mut Stage,
    caption: &str,
    log: &AccessLog,
    before: usize,
    says: &[&str],
) -> Result<()> {
    log.longer_than(before).await?;
    let command = Command::of_machine("tail")
        .args(["-n", "1"])
        .arg(log.path().display().to_string());
    stage
        .step(Step {
            caption,
            command,
            shown: |_| true,
            says,
        })
        .await
}

/// Checks the response details in the access log's next line, and tells them.
async fn logged(log: &AccessLog, before: usize, details: &str, stage: &Stage) -> Result<()> {
    let entry = log.longer_than(before).await?;
    if entry.details.as_deref() != Some(details) {
        bail!("the access log says {entry:?}, not {details}");
    }
    stage.remark(&format!("The access log says {details}."))
}

/// Asks the agent until `name` answers `after`, and nothing but `before` until then; the milliseconds since `begun`.
async fn until_answered(
    world: &World,
    name: &str,
    before: IpAddr,
    after: IpAddr,
    begun: Instant,
) -> Result<u128> {
    let mut client = Client::of(world.agent.dns()).await?;
    loop {
        let answer = client.ask(name).await?;
        if answer.addresses == [after] {
            return Ok(begun.elapsed().as_millis());
        }
        if answer.addresses != [before] {
            bail!("between its local address and the gateway, {name} answered {answer:?}");
        }
        if begun.elapsed() > PATIENCE {
            bail!("{name} still answers {before}, {PATIENCE:?} after the catalog was replaced");
        }
    }
}

fn counter(source: &str, verdict: &str) -> String {
    format!(
        r#"crossmesh_requests_total{{source_mesh="{source}",destination_mesh="west",verdict="{verdict}"}} 1"#
    )
}

/// Of an HTTP response: the status, what the application or the filter says, and the filter's request headers.
fn reply(line: &str) -> bool {
    [
        "HTTP/",
        "catalog v",
        "reviews v",
        "x-crossmesh-",
        "access denied",
    ]
    .iter()
    .any(|start| line.starts_with(start))
}
