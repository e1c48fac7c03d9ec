//! A cluster's certificate authority, its API server's certificate, and the key that signs its accounts' tokens.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// A name in every API server's certificate, by which it can be reached at any address.
pub const SERVER_NAME: &str = "kubernetes.default.svc";

/// The files, all PEM.
#[derive(Clone, Debug)]
pub struct Authority {
    /// The authority's certificate, as text.
    pub bundle: String,
    /// The API server's certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The private key that signs service accounts' tokens.
    pub accounts_key: PathBuf,
    /// Its public key.
    pub accounts_public_key: PathBuf,
}

impl Authority {
    /// Makes them in `folder` for an API server at `address`.
    pub fn create(folder: &Path, address: IpAddr) -> Result<Self> {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            Ok::<_, anyhow::Error>(path)
        };
        let mut authority = CertificateParams::default();
        authority
            .distinguished_name
            .push(DnType::CommonName, "kubernetes-ca");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority_key = KeyPair::generate()?;
        let bundle = authority.self_signed(&authority_key)?.pem();

        let mut server = CertificateParams::new([SERVER_NAME.to_owned()])?;
        server.subject_alt_names.push(SanType::IpAddress(address));
        server
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate()?;
        let certificate = server.signed_by(&server_key, &Issuer::new(authority, authority_key))?;

        let accounts = KeyPair::generate()?;
        Ok(Self {
            certificate: write("apiserver.crt", &certificate.pem())?,
            key: write("apiserver.key", &server_key.serialize_pem())?,
            accounts_key: write("accounts.key", &accounts.serialize_pem())?,
            accounts_public_key: write("accounts.pub", &accounts.public_key_pem())?,
            bundle,
        })
    }
}
