//! The admin interface over HTTP: life, readiness, metrics, the table of names, why a name is answered as it is, and how
//! the agent is set up.

mod connections;
mod doors;
mod explain;
mod gateways;
mod status;
mod table;

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};

pub use doors::Doors;
pub use explain::{Known, explanation};
pub use table::table;

use crate::{
    catalog::SyncState,
    gateway::{SharedLifetimes, SharedReport},
    metrics::SharedMetrics,
    name::Name,
    readiness::Readiness,
    sources::Published,
    upstream::Upstream,
    wire::rtype,
};

/// What the admin interface shows.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Whether traffic is wanted.
    pub readiness: Readiness,
    /// The index in use.
    pub index: Published,
    /// What is counted.
    pub metrics: SharedMetrics,
    /// Who is asked for other names.
    pub upstream: Arc<Upstream>,
    /// What the last probes and look-ups of gateways found.
    pub gateways: SharedReport,
    /// For how long gateways' addresses are good.
    pub lifetimes: SharedLifetimes,
    /// Where queries are answered.
    pub listen: Arc<[SocketAddr]>,
    /// The file that the general servers are from.
    pub resolv_conf: Option<PathBuf>,
}

impl Admin {
    fn routes(self) -> Router {
        Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/v1/table", get(v1_table))
            .route("/v1/explain/{rtype}/{name}", get(v1_explain))
            .route("/v1/status", get(v1_status))
            .with_state(self)
    }
}

async fn livez() -> &'static str {
    "alive\n"
}

/// One line for the verdict, one for everything that is pending, one for every cluster that is not in sync.
async fn readyz(State(admin): State<Admin>) -> Response {
    let ready = admin.readiness.is_ready();
    let mut text = String::from(match (ready, admin.readiness.is_stopping()) {
        (true, _) => "ready\n",
        (false, true) => "stopping\n",
        (false, false) => "not ready\n",
    });
    for name in admin.readiness.pending() {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "pending: {name}");
    }
    let index = admin.index.load();
    for cluster in index.clusters() {
        let _ = write!(text, "catalog {}: {}", cluster.id, cluster.state.as_str());
        if let Some(problem) = &cluster.problem {
            let _ = write!(text, ": {problem}");
        }
        let age = cluster.read_at.and_then(|at| at.elapsed().ok());
        if let (SyncState::Stale, Some(age)) = (cluster.state, age) {
            let _ = write!(text, " (as it was {} s ago)", age.as_secs());
        }
        text.push('\n');
    }
    for discovery in index.discoveries() {
        if let Some(problem) = &discovery.problem {
            let _ = writeln!(text, "{}: {problem}", discovery.name);
        }
    }
    for lead in admin.upstream.leads().iter().filter(|lead| lead.back) {
        let (server, names) = (lead.server, lead.names.join(", "));
        let _ = write!(
            text,
            "upstream {server}: a forwarding loop: it sends our questions back to us (names: {names}"
        );
        if !lead.itself {
            let _ = write!(text, "; by way of the agent {}", lead.agent);
        }
        text.push_str(")\n");
    }
    for (server, names) in admin.upstream.partial_loops() {
        let _ = writeln!(
            text,
            "upstream {server}: sends some of our questions back to us, which then wait until they take another way (names: {})",
            names.join(", ")
        );
    }
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, text).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, OPEN_METRICS)], admin.metrics.text()).into_response()
}

async fn v1_table(State(admin): State<Admin>) -> Response {
    protobuf(&table(&admin.index.load()))
}

async fn v1_explain(
    State(admin): State<Admin>,
    Path((rtype, name)): Path<(String, String)>,
) -> Response {
    let question = rtype::parse(&rtype)
        .ok_or_else(|| format!("{rtype:?} is no type; give one such as A, SRV or TYPE64"))
        .and_then(|rtype| {
            let parsed = Name::parse(&name);
            let parsed = parsed.map_err(|error| format!("{name:?} is no name: {error}"))?;
            Ok((parsed, rtype))
        });
    match question {
        Ok((name, rtype)) => {
            let (index, report) = (admin.index.load(), admin.gateways.load());
            let known = Known {
                index: &index,
                upstream: &admin.upstream,
                report: &report,
                lifetimes: &admin.lifetimes.load(),
            };
            let told = explanation(known, &name, rtype);
            protobuf(&told)
        }
        Err(problem) => (StatusCode::BAD_REQUEST, format!("{problem}\n")).into_response(),
    }
}

async fn v1_status(State(admin): State<Admin>) -> Response {
    protobuf(&status::status(&admin))
}

fn protobuf(message: &impl prost::Message) -> Response {
    (
        [(CONTENT_TYPE, crossmesh_proto::CONTENT_TYPE)],
        message.encode_to_vec(),
    )
        .into_response()
}
