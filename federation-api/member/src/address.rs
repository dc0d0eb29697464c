//! Which addresses a member's API server may have.
//!
//! The hub dials what a Cluster object says; addresses of the hub's own machine would turn that into a way inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

/// Which addresses are dialled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Loopback, link-local, unspecified and multicast addresses are refused.
    #[default]
    Public,
    /// Loopback is allowed too: a playground's members run on this machine.
    AllowLoopback,
}

/// Why an address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("spec.server {0:?} is not a URL: want https://HOST[:PORT]")]
    Syntax(String),
    #[error("spec.server {0:?} is not https")]
    NotTls(String),
    #[error("spec.server {0:?} must not hold a user, a query or a fragment")]
    Extra(String),
    #[error("spec.server names {0}, an address of the hub's own machine or link")]
    Local(IpAddr),
}

/// Checks a Cluster's `spec.server` as far as the text tells.
///
/// # Errors
/// [`AddressError`] says what is wrong with it.
pub fn check(server: &str, policy: AddressPolicy) -> Result<Uri, AddressError> {
    let uri: Uri = server.parse().map_err(|_| AddressError::Syntax(server.to_owned()))?;
    let Some(authority) = uri.authority() else { return Err(AddressError::Syntax(server.to_owned())) };
    match uri.scheme_str() {
        Some("https") => {}
        Some(_) => return Err(AddressError::NotTls(server.to_owned())),
        None => return Err(AddressError::Syntax(server.to_owned())),
    }
    if authority.as_str().contains('@') || uri.query().is_some() || server.contains('#') {
        return Err(AddressError::Extra(server.to_owned()));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port_is_odd = authority.as_str().len() > authority.host().len() && authority.port_u16().is_none();
    if host.is_empty() || port_is_odd {
        return Err(AddressError::Syntax(server.to_owned()));
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        check_ip(ip, policy)?;
    }
    if policy == AddressPolicy::Public && (host == "localhost" || host.ends_with(".localhost")) {
        return Err(AddressError::Local(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
    Ok(uri)
}

/// Checks an address that a name resolved to.
///
/// # Errors
/// [`AddressError::Local`] where the policy refuses it.
pub fn check_ip(ip: IpAddr, policy: AddressPolicy) -> Result<(), AddressError> {
    let plain = match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    };
    let loopback = plain.is_loopback();
    let never = plain.is_unspecified()
        || plain.is_multicast()
        || match plain {
            IpAddr::V4(v4) => v4.is_link_local() || v4 == Ipv4Addr::BROADCAST,
            IpAddr::V6(v6) => is_link_local_v6(v6),
        };
    if never || (loopback && policy == AddressPolicy::Public) {
        return Err(AddressError::Local(ip));
    }
    Ok(())
}

fn is_link_local_v6(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::{AddressPolicy, check};

    #[test]
    fn addresses_of_this_machine_and_odd_urls_are_refused() {
        for good in ["https://10.0.0.5:6443", "https://api.example.com", "https://[fd00::1]:6443"] {
            assert!(check(good, AddressPolicy::Public).is_ok(), "{good}");
        }
        for bad in [
            "",
            "10.0.0.5",
            "http://10.0.0.5",
            "https://",
            "https://user:pw@10.0.0.5",
            "https://10.0.0.5/?x=1",
            "https://127.0.0.1:6443",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]",
            "https://localhost:1",
            "https://169.254.169.254",
            "https://0.0.0.0",
            "https://[fe80::1]",
            "ftp://x",
            "https://10.0.0.5:99999",
        ] {
            assert!(check(bad, AddressPolicy::Public).is_err(), "{bad}");
        }
        assert!(check("https://127.0.0.1:6443", AddressPolicy::AllowLoopback).is_ok());
        assert!(check("https://169.254.169.254", AddressPolicy::AllowLoopback).is_err());
    }
}
