//! The server's own certificate authorities and what they sign: the serving certificate, the administrator's, and the one
//! that aggregated API servers know the hub by.
//!
//! The authorities live in `DIR/pki`; certificates are issued anew at every start, so nothing has to be renewed by hand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use auth::x509::{CertificateAuthority, IssuedCertificate, ServingCertificate, ServingNames};
use federation_api::controller::bootstrap::FRONT_PROXY;
use jiff::Timestamp;

use crate::failure::Failure;

/// A start's certificates live this long; a server that runs longer issues new ones.
pub const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// The administrator's user name; its rights come from the group.
pub const ADMIN: &str = "fedgate-admin";

/// What a TLS server and its administrator need.
pub struct Identity {
    pub authority: CertificateAuthority,
    pub serving: Arc<ServingCertificate>,
    pub admin: IssuedCertificate,
    /// Whoever holds a certificate of this authority may say to aggregated API servers who somebody is.
    pub front_proxy_authority: CertificateAuthority,
    pub front_proxy: IssuedCertificate,
}

impl Identity {
    /// Opens or makes the authority in `dir`/pki and issues this start's certificates for `names` and the loopback ones.
    ///
    /// # Errors
    /// FG-CLI-002 where the directory cannot be used.
    pub fn open(dir: &Path, names: &[String]) -> Result<Self, Failure> {
        let pki = dir.join("pki");
        let failed = |cause: &dyn std::fmt::Display| Failure::local(format!("cannot set up {}", pki.display()), cause);
        std::fs::create_dir_all(&pki).map_err(|e| failed(&e))?;
        let now = Timestamp::now();
        let authority = CertificateAuthority::open(&pki, "ca", now).map_err(|e| failed(&e))?;
        let issued = authority.issue_serving(&serving_names(names), LIFETIME, now).map_err(|e| failed(&e))?;
        let serving =
            ServingCertificate::from_pem(&issued.certificate_pem, issued.key_pem.expose()).map_err(|e| failed(&e))?;
        let admin = authority.issue_client(ADMIN, &[auth::PRIVILEGED_GROUP], LIFETIME, now).map_err(|e| failed(&e))?;
        let front_proxy_authority = CertificateAuthority::open(&pki, "front-proxy-ca", now).map_err(|e| failed(&e))?;
        let front_proxy =
            front_proxy_authority.issue_client(FRONT_PROXY, &[], LIFETIME, now).map_err(|e| failed(&e))?;
        Ok(Self { authority, serving: Arc::new(serving), admin, front_proxy_authority, front_proxy })
    }
}

fn serving_names(more: &[String]) -> ServingNames {
    let mut names = ServingNames {
        dns: ["localhost", "fedgate", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
            .map(str::to_owned)
            .to_vec(),
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
    };
    for name in more {
        match name.parse() {
            Ok(address) => names.addresses.push(address),
            Err(_) => names.dns.push(name.clone()),
        }
    }
    names
}
