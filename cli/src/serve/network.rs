//! The network that the hub takes Service addresses from, for the two who must agree on it.

use std::net::Ipv4Addr;

use federation_api::ServiceRange;
use placement::render::IpRange;

/// Nothing is routed there: the addresses are for clients that want one.
const SERVICES: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 12);

/// The range as the API hands it out.
pub(super) fn handed_out() -> ServiceRange {
    let (network, prefix) = SERVICES;
    ServiceRange::new(network, prefix).expect("the constant has addresses")
}

/// The range as placement reads it: what the hub gave out never travels.
pub(super) fn never_travels() -> IpRange {
    let (network, prefix) = SERVICES;
    IpRange::parse(&format!("{network}/{prefix}")).expect("the constant is a range")
}
