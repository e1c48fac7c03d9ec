//! Two certificate authorities that trust each other's bundle, and the workloads' certificates.
//!
//! As in Istio, the validation context is the flat list of both roots: whoever holds either key can sign any trust
//! domain. The odd certificates of the tests exist because of that.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::names::{EAST_TRUST_DOMAIN, WEST_TRUST_DOMAIN};

/// Which authority signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// The east's, of foo.com.
    East,
    /// The west's, of bar.com.
    West,
}

/// Both authorities, and the folder where certificates are written as PEM.
#[derive(Debug)]
pub struct Pki {
    folder: PathBuf,
    bundle: PathBuf,
    east: Authority,
    west: Authority,
}

#[derive(Debug)]
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A workload's certificate and key, as PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Both roots.
    pub bundle: PathBuf,
}

impl Pki {
    /// Makes both roots and writes their common bundle into `folder`.
    pub fn create(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let east = authority(EAST_TRUST_DOMAIN)?;
        let west = authority(WEST_TRUST_DOMAIN)?;
        let bundle = format!("{}{}", east.pem, west.pem);
        let bundle = write(folder, "roots.pem", &bundle)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            bundle,
            east,
            west,
        })
    }

    /// A workload's certificate with these URI SANs: one in an honest certificate, none or two in an odd one. `name` is
    /// the files' name.
    pub fn sign(&self, root: Root, name: &str, uri_sans: &[&str]) -> Result<Identity> {
        self.sign_with_dns(root, name, uri_sans, &[])
    }

    /// The same, with these DNS SANs behind.
    pub fn sign_with_dns(
        &self,
        root: Root,
        name: &str,
        uri_sans: &[&str],
        dns_sans: &[&str],
    ) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        if uri_sans.is_empty() {
            // Envoy presents no certificate with neither.
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        for uri in uri_sans {
            let uri = (*uri)
                .try_into()
                .with_context(|| format!("a URI SAN is ASCII, not {uri:?}"))?;
            params.subject_alt_names.push(SanType::URI(uri));
        }
        for dns in dns_sans {
            let dns = (*dns)
                .try_into()
                .with_context(|| format!("a DNS SAN is ASCII, not {dns:?}"))?;
            params.subject_alt_names.push(SanType::DnsName(dns));
        }
        let key = KeyPair::generate()?;
        let certificate = params
            .signed_by(&key, &self.authority(root).issuer)
            .with_context(|| format!("signing {name}"))?;
        Ok(Identity {
            certificate: write(&self.folder, &format!("{name}.pem"), &certificate.pem())?,
            key: write(&self.folder, &format!("{name}.key"), &key.serialize_pem())?,
            bundle: self.bundle.clone(),
        })
    }

    /// Both roots, as PEM.
    pub fn bundle(&self) -> Result<String> {
        let path = &self.bundle;
        fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
    }

    /// Writes into `folder` what Istio's control plane takes for the CA that it is: this one's certificate and key, and both roots.
    pub fn write_authority(&self, root: Root, folder: &Path) -> Result<()> {
        let authority = self.authority(root);
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        write(folder, "ca-cert.pem", &authority.pem)?;
        write(folder, "cert-chain.pem", &authority.pem)?;
        write(
            folder,
            "ca-key.pem",
            &authority.issuer.key().serialize_pem(),
        )?;
        write(folder, "root-cert.pem", &self.bundle()?)?;
        Ok(())
    }

    fn authority(&self, root: Root) -> &Authority {
        match root {
            Root::East => &self.east,
            Root::West => &self.west,
        }
    }
}

fn authority(trust_domain: &str) -> Result<Authority> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{trust_domain} root"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let pem = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    Ok(Authority { issuer, pem })
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
