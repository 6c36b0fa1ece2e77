//! The flags of TLS for what connects to a server, by the names that redis-cli has for them.

use std::path::PathBuf;

use clap::Args;

/// The heading that the help has them under.
const HEADING: &str = "TLS";

/// `--tls` and what belongs to it.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// Speak TLS; so does a URI of rediss://
    #[arg(long, help_heading = HEADING)]
    pub tls: bool,

    /// Trust these CA certificates, PEM [default: those of the system]
    #[arg(long, help_heading = HEADING, value_name = "FILE")]
    pub cacert: Option<PathBuf>,

    /// Show this certificate to the server, PEM
    #[arg(long, help_heading = HEADING, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,

    /// The certificate's private key, PEM
    #[arg(long, help_heading = HEADING, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,

    /// Trust any server: whoever is on the way can read and change everything
    #[arg(long, help_heading = HEADING, conflicts_with = "cacert")]
    pub insecure: bool,

    /// The name to find in the server's certificate [default: the host]
    #[arg(long, help_heading = HEADING, value_name = "NAME")]
    pub sni: Option<String>,
}

impl TlsArgs {
    /// Whether there is a flag that means nothing without TLS.
    pub fn any(&self) -> bool {
        self.insecure || [&self.cacert, &self.cert, &self.key].iter().any(|f| f.is_some()) || self.sni.is_some()
    }
}
