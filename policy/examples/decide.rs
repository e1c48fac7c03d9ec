//! How long the engine takes by itself: reads a policy, decides one request and the connection that it would come on again
//! and again, prints medians as JSON.
//!
//! `cargo run --release --package crossmesh-policy --example decide -- POLICY REQUEST`, a file and a JSON text such as
//! `{"principal": "spiffe://foo.com/ns/web/sa/frontend", "path": "/v1/items", "headers": {"x-a": "b"}}`; `cargo xtask bench
//! filter` does, beside what the same policy costs in Envoy.

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crossmesh_policy::{HttpRequest, Node, Peer, Program, Protocol, Request};
use serde::Deserialize;

/// How long anything is measured, at least once.
const TIME: Duration = Duration::from_millis(200);
/// How many decisions are timed together: one alone takes no longer than looking at the watch.
const TOGETHER: u32 = 1_000;

/// What is asked; of a connection, what a connection has of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    principal: String,
    host: Option<String>,
    method: String,
    path: Option<String>,
    port: Option<u16>,
    sni: Option<String>,
    source_ip: Option<IpAddr>,
    headers: BTreeMap<String, String>,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            principal: "spiffe://foo.com/ns/web/sa/frontend".to_owned(),
            host: None,
            method: "GET".to_owned(),
            path: None,
            port: None,
            sni: None,
            source_ip: None,
            headers: BTreeMap::new(),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [policy, asked] = arguments.as_slice() else {
        return Err("the arguments are: POLICY REQUEST".into());
    };
    let asked: Asked = serde_json::from_str(asked)?;
    let bytes = std::fs::read(policy).map_err(|error| format!("{policy}: {error}"))?;
    let node = Node {
        namespace: Some("shop".to_owned()),
        ..Node::default()
    };

    let spec = crossmesh_policy::parse(&bytes)?;
    let program = Program::compile(&spec)?;
    let bound = program.bind(&node)?;
    let source = bound.identify(&Peer::Certificate {
        uri_sans: &[asked.principal.as_bytes()],
    });
    let lines = asked.headers.iter();
    let headers: Vec<_> = lines
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    let request = Request {
        source_ip: asked.source_ip,
        port: asked.port,
        sni: asked.sni.as_deref().map(str::as_bytes),
        protocol: Protocol::Http(HttpRequest {
            host: asked.host.as_deref().map(str::as_bytes),
            method: Some(asked.method.as_bytes()),
            path: asked.path.as_deref().map(str::as_bytes),
            headers: &headers,
        }),
    };
    let decision = bound.decide(&source, &request);
    let decision = format!("{} {}", decision.verdict.as_str(), decision.decided_by);
    let connection = bound.decide_connection(&source, &request);
    let connection = connection.map_or("left to HTTP".to_owned(), |decision| {
        format!("{} {}", decision.verdict.as_str(), decision.decided_by)
    });

    let parse = median(|| crossmesh_policy::parse(&bytes));
    let compile = median(|| Program::compile(&spec));
    let bind = median(|| program.bind(&node));
    let decide = median(|| {
        for _ in 0..TOGETHER {
            black_box(bound.decide(black_box(&source), black_box(&request)));
        }
    });
    let decide_connection = median(|| {
        for _ in 0..TOGETHER {
            black_box(bound.decide_connection(black_box(&source), black_box(&request)));
        }
    });
    let figures = serde_json::json!({
        "parse_us": parse * 1e6,
        "compile_us": compile * 1e6,
        "bind_us": bind * 1e6,
        "decide_ns": decide * 1e9 / f64::from(TOGETHER),
        "connection_ns": decide_connection * 1e9 / f64::from(TOGETHER),
        "decision": decision,
        "connection": connection,
    });
    println!("{figures}");
    Ok(())
}

/// The median duration in seconds. What is made is dropped outside of it.
fn median<T>(mut measured: impl FnMut() -> T) -> f64 {
    let end = Instant::now() + TIME;
    let mut durations = Vec::new();
    while durations.is_empty() || Instant::now() < end {
        let begun = Instant::now();
        let made = black_box(measured());
        durations.push(begun.elapsed());
        drop(made);
    }
    durations.sort_unstable();
    durations
        .get(durations.len() / 2)
        .map_or(f64::NAN, Duration::as_secs_f64)
}
