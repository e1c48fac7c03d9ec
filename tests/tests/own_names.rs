//! Nothing that a client sends passes as the filter's own: in several lines, in other spellings, behind the body.
#![cfg(test)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossmesh_e2e::background::Background;
use crossmesh_e2e::envoy::Setup;
use crossmesh_e2e::names::{CATALOG, SERVICE_PORT};
use crossmesh_e2e::plugin::Plugin;
use crossmesh_e2e::roles::alone::Site;
use crossmesh_e2e::roles::{cluster, hcm, plain_listener, router};
use crossmesh_e2e::world::node;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const POLICY: &str = r#"{"schema": "crossmesh/v1", "meshes": [{"id": "west", "trustDomains": ["bar.com"]}],
    "defaults": {"plaintext": "ALLOW"}, "telemetry": {"headers": true}}"#;

/// An application that keeps what reaches it, byte by byte, and answers each request.
async fn keep(listener: std::net::TcpListener, heard: Arc<Mutex<String>>) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut buffer = [0; 4096];
        while let Ok(size @ 1..) = stream.read(&mut buffer).await {
            let text = buffer[..size].escape_ascii().to_string();
            let ended = {
                let mut heard = heard.lock().unwrap();
                *heard += &text;
                heard.ends_with(r"x-last: 1\r\n\r\n")
            };
            if ended {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).await?;
            }
        }
    }
}

#[tokio::test]
async fn neither_headers_nor_trailers_of_a_client_pass_as_the_filters_own() {
    let site = Site::claim().unwrap();
    let listener = std::net::TcpListener::bind((site.ip(), 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut application = cluster("application", listener.local_addr().unwrap());
    // Without both of these Envoy drops the trailers of HTTP/1.1 by itself; those of HTTP/2 it always passes on.
    let trailers = json!({"enable_trailers": true});
    application["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http_protocol_options": trailers},
        },
    });
    let heard = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&heard);
    let _application = Background::run("application", move || keep(listener, kept)).unwrap();
    let filter = Plugin::Given(POLICY.to_owned()).http_filter().unwrap();
    let route = json!({"route": {"cluster": "application"}});
    let mut http = hcm("SANITIZE", route, &[filter, router()], &site.access_log);
    http["typed_config"]["http_protocol_options"] = trailers;
    let setup = Setup {
        node: node("west", "shop", "catalog"),
        listeners: vec![plain_listener(site.at(SERVICE_PORT), &[http])],
        clusters: vec![application],
    };
    let envoy = site.start("catalog", &setup).await.unwrap();

    let request = format!(
        "POST /v1 HTTP/1.1\r\nhost: {CATALOG}\r\ntransfer-encoding: chunked\r\n\
         x-crossmesh-source-mesh: forged\r\nX-Crossmesh-Source-Mesh: forged\r\n\
         x_crossmesh_destination_mesh: forged\r\nx-crossmesh-other: forged\r\nx-crossmesh: stays\r\n\r\n\
         4\r\nbody\r\n0\r\n\
         x-crossmesh-source-mesh: forged\r\nx_crossmesh_source_mesh: forged\r\nx-last: 1\r\n\r\n"
    );
    let mut stream = TcpStream::connect(site.at(SERVICE_PORT)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 15];
    let answered = stream.read_exact(&mut answer);
    timeout(Duration::from_secs(20), answered)
        .await
        .unwrap_or_else(|_| panic!("no answer; heard {}", heard.lock().unwrap()))
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK", "{}", envoy.log_tail(20));
    let heard = heard.lock().unwrap().clone();
    assert!(!heard.contains("forged"), "{heard}");
    for own in [
        "x-crossmesh-source-mesh: plaintext",
        "x-crossmesh-destination-mesh: west",
        "x-crossmesh: stays",
        "x-last: 1",
    ] {
        assert_eq!(heard.matches(own).count(), 1, "{own} in {heard}");
    }
}
