//! Keys and certificates in PEM files, as the server and its clients read them.

use std::path::Path;

use anyhow::{Context, Result, bail};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// All certificates of a file.
///
/// # Errors
/// It cannot be read, or there is none in it.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<_, _>>)
        .with_context(|| format!("cannot read certificates from {}", file.display()))?;
    if found.is_empty() {
        bail!("there is no certificate in {}", file.display());
    }
    Ok(found)
}

/// The CAs whose certificates a file has.
///
/// # Errors
/// As [`certificates`], or one of them is no CA's.
pub(crate) fn roots(file: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).with_context(|| format!("{} is no CA's certificate", file.display()))?;
    }
    Ok(roots)
}

/// The private key of a file.
///
/// # Errors
/// It cannot be read, or there is none in it.
pub(crate) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(file).with_context(|| format!("cannot read a private key from {}", file.display()))
}

/// What is wrong where the TLS library takes a certificate and a key, but not together.
pub(crate) fn do_not_fit(certificate: &Path, key: &Path) -> String {
    format!("the certificate in {} and the key in {} do not fit", certificate.display(), key.display())
}
