//! One probe of a gateway's address: what a client does first, and no more than that.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

/// What Istio's sidecars offer to each other. Without it a permissive sidecar would hand the bytes to its application.
const PROTOCOLS: [&[u8]; 2] = [b"istio-peer-exchange", b"istio"];

/// Whether a text can be asked for in TLS (RFC 6066 §3). Istio's names with underscores can.
pub fn is_server_name(text: &str) -> bool {
    matches!(ServerName::try_from(text), Ok(ServerName::DnsName(_)))
}

/// Whether the address can be reached in time: a connection is had or, with a name, whoever has that name behind the
/// gateway shows its certificate. A gateway passes TLS on and has none itself; a load balancer that accepts connections
/// for gateways that are gone passes nothing on.
pub(super) async fn reached(
    address: SocketAddr,
    server_name: Option<&str>,
    patience: Duration,
) -> bool {
    let attempt = async {
        let stream = TcpStream::connect(address).await.ok()?;
        match server_name {
            None => Some(()),
            Some(name) => certificate_comes(stream, name).await,
        }
    };
    matches!(timeout(patience, attempt).await, Ok(Some(())))
}

/// Nothing is told and nothing is believed on this connection, and it ends when the certificate has come: so that anyone
/// may have signed it, and we need none.
async fn certificate_comes(stream: TcpStream, name: &str) -> Option<()> {
    let provider = Arc::new(ring::default_provider());
    let seen = Arc::new(Seen {
        certificate: AtomicBool::new(false),
        provider: Arc::clone(&provider),
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    let name = ServerName::try_from(name.to_owned()).ok()?;
    // The handshake fails by our own doing.
    let _ = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    seen.certificate.load(Ordering::Relaxed).then_some(())
}

/// Why a handshake fails whose certificate has come.
const ENDED: Error = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);

/// Looks for a certificate and ends the handshake.
#[derive(Debug)]
struct Seen {
    certificate: AtomicBool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.certificate.store(true, Ordering::Relaxed);
        Err(ENDED)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(ENDED)
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(ENDED)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
