//! The admin interface over HTTP: life, readiness, metrics, and the table of names.

mod connections;
mod doors;
mod table;

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use prost::Message as _;

pub use doors::Doors;
pub use table::table;

use crate::{
    catalog::SyncState, metrics::SharedMetrics, readiness::Readiness, sources::Published,
    upstream::Upstream,
};

/// What the admin interface shows.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Whether traffic is wanted.
    pub readiness: Readiness,
    /// The index in use.
    pub index: Published,
    /// Who is asked for other names.
    pub upstream: Arc<Upstream>,
    /// What is counted.
    pub metrics: SharedMetrics,
}

impl Admin {
    fn routes(self) -> Router {
        Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/v1/table", get(v1_table))
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
    for server in admin.upstream.loops() {
        let _ = writeln!(
            text,
            "upstream {server}: a forwarding loop: it sends our questions back to us"
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
    let table = table(&admin.index.load());
    (
        [(CONTENT_TYPE, crossmesh_proto::CONTENT_TYPE)],
        table.encode_to_vec(),
    )
        .into_response()
}
