//! Certificates: our own authority, what it issues, and who a client certificate speaks for.
//!
//! The TLS handshake only asks for a certificate and checks that the client holds its key; whether the chain is good is
//! decided for each request, so that a certificate that expires on an open connection stops working.

mod authority;
mod identity;
mod possession;
mod serving;
mod verify;

pub use authority::{CertificateAuthority, IssuedCertificate, ServingNames};
pub use possession::AnyClientCertificate;
pub use serving::{ServingCertificate, server_config};
pub use verify::{ClientCertificate, ClientCertificates};

use std::path::PathBuf;

/// Why a certificate or key cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum X509Error {
    #[error("certificate cannot be issued")]
    Issue(#[from] rcgen::Error),
    #[error("{0} cannot be read")]
    Read(PathBuf, #[source] std::io::Error),
    #[error("{0} cannot be written")]
    Write(PathBuf, #[source] std::io::Error),
    #[error("{0} exists without {1}: restore the missing file, or remove both to start with a new authority")]
    HalfPresent(PathBuf, PathBuf),
    #[error("{0} is no valid name for a certificate: {1}")]
    Name(String, &'static str),
    #[error("a client certificate carries at most {max} groups, {found} were asked for", max = authority::MAX_GROUPS)]
    TooManyGroups { found: usize },
    #[error("malformed PEM: {0}")]
    Pem(String),
    #[error("no certificate in the PEM text")]
    NoCertificate,
    #[error("malformed certificate: {0}")]
    Malformed(String),
    #[error("the lifetime ends after the year 9999")]
    Lifetime,
    #[error("TLS")]
    Tls(#[from] rustls::Error),
}

#[cfg(test)]
mod tests;
