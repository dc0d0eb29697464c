//! Who may come, by address: what is denied goes first, then only what is allowed passes.

use std::net::IpAddr;

use http::StatusCode;

use super::Stop;
use crate::refusal::Refusal;
use crate::route::policy::Access;

const FORBIDDEN: Refusal =
    Refusal { status: StatusCode::FORBIDDEN, reason: "the address of the client is not allowed", close: false };

/// Whether an address may not come.
pub fn refuses(access: &Access, remote: IpAddr) -> bool {
    let denied = access.denied.iter().any(|network| network.holds(remote));
    let allowed = access.allowed.as_ref().is_none_or(|networks| networks.iter().any(|network| network.holds(remote)));
    denied || !allowed
}

/// # Errors
/// 403.
pub(super) fn check(access: &Access, remote: IpAddr) -> Result<(), Stop> {
    if refuses(access, remote) { Err(FORBIDDEN.into()) } else { Ok(()) }
}
