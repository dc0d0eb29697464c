//! The user that a certificate's subject names: CN is the user, every O a group.
//!
//! Reads the subject only; whether the certificate is to be believed is decided elsewhere.

use crate::user::{CREDENTIAL_ID, UserInfo};
use ring::digest::{SHA256, digest};
use std::fmt::Write as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{Oid, asn1_rs::oid};
use x509_parser::x509::AttributeTypeAndValue;

/// Longer names are refused; X.520 allows 64 characters, Kubernetes' own reach some hundred.
const MAX_NAME_BYTES: usize = 1024;
/// The attribute that carries a user's uid.
///
/// Source: k8s.io/apiserver `pkg/authentication/request/x509`.
const UID_OID: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);

/// The user in a certificate's subject; `None` when it has no common name.
///
/// Of several common names the last counts, as in Go.
///
/// # Errors
/// Why the subject cannot be read as an identity.
pub(super) fn user(certificate: &X509Certificate<'_>) -> Result<Option<UserInfo>, String> {
    let subject = certificate.subject();
    let mut name = "";
    for attribute in subject.iter_common_name() {
        name = text(attribute, "common name")?;
    }
    if name.is_empty() {
        return Ok(None);
    }
    let mut user = UserInfo::new(check_name(name)?, [""; 0]);
    for attribute in subject.iter_organization() {
        user.groups.push(check_name(text(attribute, "organization")?)?.to_owned());
    }
    let mut uids = subject.iter_by_oid(&UID_OID);
    if let Some(attribute) = uids.next() {
        user.uid = check_name(text(attribute, "uid")?)?.to_owned();
        if uids.next().is_some() {
            return Err("more than one uid".to_owned());
        }
    }
    let id = format!("X509SHA256={}", hex(digest(&SHA256, certificate.as_ref()).as_ref()));
    user.extra.insert(CREDENTIAL_ID.to_owned(), vec![id]);
    Ok(Some(user.authenticated()))
}

/// `name`, if it can be a user or group.
///
/// # Errors
/// Why it cannot.
pub(super) fn check_name(name: &str) -> Result<&str, &'static str> {
    if name.is_empty() {
        Err("it is empty")
    } else if name.len() > MAX_NAME_BYTES {
        Err("it is longer than 1024 bytes")
    } else if name.chars().any(char::is_control) {
        Err("it holds control characters")
    } else {
        Ok(name)
    }
}

fn text<'a>(attribute: &'a AttributeTypeAndValue<'_>, what: &str) -> Result<&'a str, String> {
    attribute.as_str().map_err(|_| format!("the {what} is no text"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}
