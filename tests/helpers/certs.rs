//! Certificates of a test's own.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A CA, whose certificate lies in a directory.
pub struct Authority {
    dir: PathBuf,
    name: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Who a certificate is for, and until when.
#[derive(Clone, Copy)]
pub enum Kind {
    Server,
    Client,
    ExpiredServer,
    ExpiredClient,
}

impl Authority {
    /// Makes one; its certificate is `NAME.pem` in `dir`.
    pub fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.self_signed(&key).expect("a certificate can be signed");
        write(&dir.join(format!("{name}.pem")), &certificate.pem());
        Self { dir: dir.to_owned(), name: name.to_owned(), issuer: Issuer::new(params, key) }
    }

    /// The path of its certificate.
    pub fn cert(&self) -> String {
        self.dir.join(format!("{}.pem", self.name)).display().to_string()
    }

    /// Signs a certificate: the paths of it and of its key, `NAME.pem` and `NAME.key`.
    pub fn sign(&self, name: &str, kind: Kind) -> (String, String) {
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("they are names");
        let (usage, expired) = match kind {
            Kind::Server => (ExtendedKeyUsagePurpose::ServerAuth, false),
            Kind::Client => (ExtendedKeyUsagePurpose::ClientAuth, false),
            Kind::ExpiredServer => (ExtendedKeyUsagePurpose::ServerAuth, true),
            Kind::ExpiredClient => (ExtendedKeyUsagePurpose::ClientAuth, true),
        };
        params.extended_key_usages = vec![usage];
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        if expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate can be signed");
        let (cert_path, key_path) = (self.dir.join(format!("{name}.pem")), self.dir.join(format!("{name}.key")));
        write(&cert_path, &certificate.pem());
        write(&key_path, &key.serialize_pem());
        (cert_path.display().to_string(), key_path.display().to_string())
    }
}

fn write(path: &Path, content: &str) {
    std::fs::write(path, content).expect("a file can be written");
}
