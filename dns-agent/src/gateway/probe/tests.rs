use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig, pki_types::PrivateKeyDer, server::ResolvesServerCertUsingSni,
        sign::CertifiedKey,
    },
};

use super::*;

const NAME: &str = "outbound_.80_._.catalog.shop.svc.cluster.local";
/// Long enough for a machine under load; only what stays silent waits for so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// What listens behind an address.
#[derive(Clone, Copy)]
enum Behind {
    /// A sidecar that goes by NAME.
    Sidecar,
    /// A load balancer whose gateways are gone: it accepts, and closes.
    Nobody,
    /// Something that does not speak TLS.
    Chatter,
    /// Something that accepts and says nothing.
    Silence,
    /// Nothing that even takes the first segment of a connection.
    Hole,
}

async fn check(behind: Behind, server_name: Option<&str>, expected: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _waiting = matches!(behind, Behind::Hole).then(|| fill(&listener));
    let mut running = JoinSet::new();
    running.spawn(async move {
        if matches!(behind, Behind::Hole) {
            std::future::pending::<()>().await;
        }
        let (mut stream, _) = listener.accept().await.unwrap();
        match behind {
            Behind::Hole => {}
            Behind::Sidecar => {
                let _ = sidecar().accept(stream).await;
            }
            Behind::Nobody => {}
            Behind::Chatter => {
                let _ = stream.write_all(b"220 mail.example.com ESMTP\r\n").await;
            }
            Behind::Silence => {
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
    });
    let patience = if matches!(behind, Behind::Silence | Behind::Hole) {
        Duration::from_millis(100)
    } else {
        PATIENCE
    };
    assert_eq!(reached(address, server_name, patience).await, expected);
}

/// As many connections as may wait to be accepted: the kernel takes no more, and says nothing to whoever wants one.
fn fill(listener: &TcpListener) -> Vec<std::net::TcpStream> {
    // The shortest queue (listen(2)).
    socket2::SockRef::from(listener).listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let one = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50));
    std::iter::from_fn(|| one().ok()).collect()
}

/// It asks for a certificate that we do not have, as sidecars do: we are gone before that matters.
fn sidecar() -> TlsAcceptor {
    let key = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let secret = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let secret = ring::sign::any_supported_type(&secret).unwrap();
    let mut names = ResolvesServerCertUsingSni::new();
    let certified = CertifiedKey::new(vec![key.cert.der().clone()], secret);
    names.add(NAME, certified).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(names));
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn without_a_name_a_connection_is_enough() {
    check(Behind::Sidecar, None, true).await;
    check(Behind::Nobody, None, true).await;
    check(Behind::Hole, None, false).await;
}

#[tokio::test]
async fn with_a_name_its_owner_must_show_a_certificate() {
    check(Behind::Sidecar, Some(NAME), true).await;
    check(
        Behind::Sidecar,
        Some("outbound_.80_._.cart.shop.svc.cluster.local"),
        false,
    )
    .await;
    check(Behind::Nobody, Some(NAME), false).await;
    check(Behind::Chatter, Some(NAME), false).await;
    check(Behind::Silence, Some(NAME), false).await;
    check(Behind::Hole, Some(NAME), false).await;
}

#[test]
fn names_are_those_that_tls_can_ask_for() {
    assert!(is_server_name(NAME));
    assert!(!is_server_name("192.0.2.1"));
    assert!(!is_server_name("a b.example.com"));
    assert!(!is_server_name(""));
}
