//! Our own certificate authority: ECDSA P-256, kept in two files, issuing serving and client certificates.
//!
//! Must not know who asks for a certificate; whoever holds the authority may issue any identity.

use super::X509Error;
use crate::credential::Secret;
use crate::persist;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use time::OffsetDateTime;

/// How many groups a client certificate can name.
///
/// The encoder keeps one value an attribute type; a second organization is written under the same identifier by its
/// number. More would need an encoder of our own, and components use tokens.
pub(super) const MAX_GROUPS: usize = 2;
/// Certificates are valid from a little before they are issued, for members whose clocks are behind.
const SKEW: Duration = Duration::from_secs(300);
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);
/// X.520 organizationName.
const ORGANIZATION_OID: &[u64] = &[2, 5, 4, 10];

/// A certificate and key that sign other certificates.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    certificate: CertificateDer<'static>,
}

/// A new certificate with its private key.
#[derive(Clone, Debug)]
pub struct IssuedCertificate {
    pub certificate_pem: String,
    pub key_pem: Secret,
    pub not_after: Timestamp,
}

/// The names that a serving certificate is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServingNames {
    pub dns: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

impl CertificateAuthority {
    /// Makes a new authority, kept nowhere.
    ///
    /// # Errors
    /// [`X509Error::Issue`] when the random source fails.
    pub fn generate(common_name: &str, now: Timestamp) -> Result<Self, X509Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(common_name, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        set_lifetime(&mut params, now, AUTHORITY_LIFETIME)?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Reads an authority from PEM.
    ///
    /// # Errors
    /// [`X509Error`] when either text is malformed.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, X509Error> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|error| X509Error::Pem(error.to_string()))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, KeyPair::from_pem(key_pem)?)?;
        Ok(Self { issuer, certificate_pem: certificate_pem.to_owned(), certificate })
    }

    /// Reads `NAME.crt` and `NAME.key` in `dir`, or makes them when neither exists.
    ///
    /// The key stands under another name until its certificate does, so that a crash in between is told from a loss:
    /// a certificate beside such a key is completed, such a key alone is made anew.
    ///
    /// # Errors
    /// [`X509Error::HalfPresent`] when only one exists: a new authority would cut off everybody who trusts the old one.
    pub fn open(dir: &Path, name: &str, now: Timestamp) -> Result<Self, X509Error> {
        let certificate_path = dir.join(format!("{name}.crt"));
        let key_path = dir.join(format!("{name}.key"));
        let early_path = dir.join(format!("{name}.key.early"));
        match (persist::read(&certificate_path)?, persist::read(&key_path)?) {
            (Some(certificate), Some(key)) => Self::from_pem(&certificate, &key),
            (Some(certificate), None) => {
                let Some(key) = persist::read(&early_path)? else {
                    return Err(X509Error::HalfPresent(certificate_path, key_path));
                };
                persist::rename(&early_path, &key_path)?;
                Self::from_pem(&certificate, &key)
            }
            (None, Some(_)) => Err(X509Error::HalfPresent(key_path, certificate_path)),
            (None, None) => {
                let authority = Self::generate(name, now)?;
                let key = authority.issuer.key().serialize_pem();
                persist::write(&early_path, key.as_bytes())?;
                persist::write(&certificate_path, authority.certificate_pem.as_bytes())?;
                persist::rename(&early_path, &key_path)?;
                Ok(authority)
            }
        }
    }

    /// The certificate to trust, as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The certificate to trust, as DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Issues a certificate for a TLS server.
    ///
    /// # Errors
    /// [`X509Error::Name`] for a DNS name that is not ASCII; [`X509Error::Issue`] when the random source fails.
    pub fn issue_serving(
        &self,
        names: &ServingNames,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<IssuedCertificate, X509Error> {
        let common_name = names.dns.first().map_or("fedgate", String::as_str);
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(common_name, &[])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in &names.dns {
            let name = name
                .as_str()
                .try_into()
                .map_err(|_| X509Error::Name(name.clone(), "a DNS name in a certificate is ASCII"))?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params.subject_alt_names.extend(names.addresses.iter().copied().map(SanType::IpAddress));
        self.issue(params, lifetime, now)
    }

    /// Issues a client certificate for `user` in `groups`.
    ///
    /// # Errors
    /// [`X509Error::Name`] when a name is empty, too long or holds control characters;
    /// [`X509Error::TooManyGroups`] above two groups.
    pub fn issue_client(
        &self,
        user: &str,
        groups: &[&str],
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<IssuedCertificate, X509Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(user, groups)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, lifetime, now)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<IssuedCertificate, X509Error> {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let not_after = set_lifetime(&mut params, now, lifetime)?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(IssuedCertificate {
            certificate_pem: certificate.pem(),
            key_pem: Secret::new(key.serialize_pem()),
            not_after,
        })
    }
}

fn subject(common_name: &str, groups: &[&str]) -> Result<DistinguishedName, X509Error> {
    if groups.len() > MAX_GROUPS {
        return Err(X509Error::TooManyGroups { found: groups.len() });
    }
    let mut name = DistinguishedName::new();
    let kinds = [DnType::OrganizationName, DnType::CustomDnType(ORGANIZATION_OID.to_vec())];
    for (kind, group) in kinds.into_iter().zip(groups) {
        name.push(kind, checked(group)?);
    }
    name.push(DnType::CommonName, checked(common_name)?);
    Ok(name)
}

fn checked(name: &str) -> Result<&str, X509Error> {
    super::identity::check_name(name).map_err(|why| X509Error::Name(name.to_owned(), why))
}

fn set_lifetime(params: &mut CertificateParams, now: Timestamp, lifetime: Duration) -> Result<Timestamp, X509Error> {
    let not_before = now.checked_sub(SKEW).map_err(|_| X509Error::Lifetime)?;
    let not_after = now.checked_add(lifetime).map_err(|_| X509Error::Lifetime)?;
    let date = |at: Timestamp| OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(|_| X509Error::Lifetime);
    params.not_before = date(not_before)?;
    params.not_after = date(not_after)?;
    Ok(not_after)
}
