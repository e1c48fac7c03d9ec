//! A gateway that can stop serving in each way that looks alive to a part of the network.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use socket2::SockRef;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring::{default_provider, sign::any_supported_type},
        pki_types::PrivateKeyDer,
        server::ResolvesServerCertUsingSni,
        sign::CertifiedKey,
    },
};

/// Who is behind the gateway.
pub(crate) const SNI: &str = "outbound_.8080_._.catalog.shop.svc.cluster.local";

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    listener: Arc<TcpListener>,
    running: JoinSet<()>,
    waiting: Vec<std::net::TcpStream>,
}

impl Gateway {
    /// One that serves.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut gateway = Self {
            address: listener.local_addr().unwrap(),
            listener: Arc::new(listener),
            running: JoinSet::new(),
            waiting: Vec::new(),
        };
        gateway.serve();
        gateway
    }

    /// From now on it takes connections and TLS for [`SNI`].
    pub(crate) fn serve(&mut self) {
        self.waiting.clear();
        SockRef::from(&*self.listener).listen(1024).unwrap();
        self.take(Some(acceptor()));
    }

    /// From now on it takes connections and says nothing on them, as a process that hangs.
    pub(crate) fn be_mute(&mut self) {
        self.take(None);
    }

    /// From now on nothing answers what begins a connection, as behind a firewall that drops it: the queue of those that wait to
    /// be accepted is full.
    pub(crate) fn be_a_hole(&mut self) {
        self.running = JoinSet::new();
        SockRef::from(&*self.listener).listen(0).unwrap();
        let patience = Duration::from_millis(50);
        let one = || std::net::TcpStream::connect_timeout(&self.address, patience).ok();
        self.waiting = std::iter::from_fn(one).collect();
    }

    fn take(&mut self, tls: Option<TlsAcceptor>) {
        let listener = Arc::clone(&self.listener);
        self.running = JoinSet::new();
        self.running.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let tls = tls.clone();
                open.spawn(async move {
                    match tls {
                        Some(tls) => drop(tls.accept(stream).await),
                        None => {
                            let _held = stream;
                            std::future::pending::<()>().await;
                        }
                    }
                });
            }
        });
    }
}

fn acceptor() -> TlsAcceptor {
    let key = rcgen::generate_simple_self_signed([SNI.to_owned()]).unwrap();
    let secret = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let secret = any_supported_type(&secret).unwrap();
    let certified = CertifiedKey::new(vec![key.cert.der().clone()], secret);
    let mut names = ResolvesServerCertUsingSni::new();
    names.add(SNI, certified).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(names));
    TlsAcceptor::from(Arc::new(config))
}
