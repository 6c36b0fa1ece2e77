//! TLS to a server: whom to trust, whom to be, and the handshake.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::pem;

/// What a client wants of TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The CA certificates to trust, PEM; `None`: those of the system.
    pub ca_cert: Option<PathBuf>,
    /// The client's own certificate, PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// Trust any server.
    pub insecure: bool,
    /// The name to ask for and to find in the certificate; `None`: the host that is connected to.
    pub sni: Option<String>,
}

/// TLS, ready for use: the files are read.
#[derive(Clone)]
pub struct Tls {
    options: TlsOptions,
    config: Arc<ClientConfig>,
}

impl fmt::Debug for Tls {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.options == other.options
    }
}

impl Eq for Tls {}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One cannot be read, or what is in it cannot be used.
    pub fn new(options: TlsOptions) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .context("the TLS library has no protocol version")?;
        let builder = if options.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnyone(provider)))
        } else {
            builder.with_root_certificates(options.ca_cert.as_deref().map_or_else(system_roots, pem::roots)?)
        };
        let config = match (&options.cert, &options.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key_file)) => {
                let key = pem::private_key(key_file)?;
                builder
                    .with_client_auth_cert(pem::certificates(cert)?, key)
                    .with_context(|| pem::do_not_fit(cert, key_file))?
            }
            _ => bail!("--cert and --key belong together"),
        };
        Ok(Self { options, config: Arc::new(config) })
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// The server is not who it should be, does not want this client, or does not speak TLS.
    pub async fn connect(&self, stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
        let name = self.options.sni.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is no name of a server")))?;
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }
}

/// The CAs that the system trusts.
fn system_roots() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let why = found.errors.into_iter().next().map(anyhow::Error::from);
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = why.unwrap_or_else(|| anyhow!("the system has none"));
        return Err(why.context("there are no CA certificates to trust; give one with --cacert"));
    }
    Ok(roots)
}

/// Says in words what a failed handshake means, and what to do about it.
pub fn explain(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            "the server's certificate is signed by no CA that is trusted; give the CA's with --cacert".to_owned()
        }
        Some(rustls::Error::InvalidMessage(_)) => "the server does not speak TLS there".to_owned(),
        Some(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired)) => {
            "the server wants a certificate of the client; give one with --cert and --key".to_owned()
        }
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    }
}

/// Takes any certificate; signatures are verified all the same, so that the connection is at least to one party.
#[derive(Debug)]
struct TrustAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
