//! Certificates for tests: an authority of its own, and what it signs.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use std::path::{Path, PathBuf};

/// An authority; its certificate is `NAME.pem` in the folder.
pub struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its certificate.
    pub file: PathBuf,
}

/// A certificate and its key, both PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key, readable by its owner only.
    pub key: PathBuf,
}

/// When a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Valid {
    /// For a long time.
    Now,
    /// Until 2020.
    Expired,
}

impl Authority {
    /// A new one.
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, issuer.pem()).expect("the folder can be written");
        Self { folder: folder.to_owned(), issuer, file }
    }

    /// Signs a certificate for these host names or addresses, the first as common name; files are `NAME.pem` and `NAME.key`.
    pub fn sign(&self, name: &str, hosts: &[&str], valid: Valid) -> Pair {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let common = hosts.first().cloned().unwrap_or_else(|| name.to_owned());
        let mut params = CertificateParams::new(hosts).expect("good names");
        params.distinguished_name.push(rcgen::DnType::CommonName, common);
        if valid == Valid::Expired {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let pair =
            Pair { certificate: self.folder.join(format!("{name}.pem")), key: self.folder.join(format!("{name}.key")) };
        std::fs::write(&pair.certificate, certificate.pem()).expect("the folder can be written");
        std::fs::write(&pair.key, key.serialize_pem()).expect("the folder can be written");
        private(&pair.key);
        pair
    }
}

/// Takes every right from others.
pub fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("it is our own file");
}
