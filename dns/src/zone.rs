//! The zone: every name that exists, with its records. Immutable; built as a whole, swapped as a whole.
//! Knows names and records; must not know packets.

mod build;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::BuildHasherDefault;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use build::{Service, build};

use crate::name::Name;

/// What is chosen about the zone.
#[derive(Debug, Clone)]
pub struct ZoneOptions {
    /// The zone's name. Default `clusterset.local`.
    pub origin: String,
    /// How long an answer may be kept, in seconds; also how long a "no such name". Default 5, as CoreDNS.
    pub ttl: u32,
    /// Most addresses in one answer. Default 32: what fits a UDP answer in either family.
    pub max_addresses: usize,
    /// Addresses of this name server, for the zone's NS record.
    pub servers: Vec<IpAddr>,
    /// Whether endpoints on loopback are told: only where everything is on one machine.
    pub allow_loopback: bool,
    /// Addresses of our own that no endpoint may have.
    pub own_addresses: Vec<IpAddr>,
}

impl Default for ZoneOptions {
    fn default() -> Self {
        Self {
            origin: "clusterset.local".to_owned(),
            ttl: 5,
            max_addresses: 32,
            servers: Vec::new(),
            allow_loopback: false,
            own_addresses: Vec::new(),
        }
    }
}

/// Names hashed with a fixed key: users choose which names exist, but hardly so that they collide.
type Nodes = HashMap<Name, Node, BuildHasherDefault<DefaultHasher>>;

/// All names below one origin.
#[derive(Debug)]
pub struct Zone {
    pub(crate) origin: Name,
    pub(crate) ttl: u32,
    pub(crate) max_addresses: usize,
    /// Data of the SOA record.
    pub(crate) soa: Box<[u8]>,
    /// False until anything is known: then no absence is told.
    pub(crate) ready: bool,
    /// Some cluster is not heard of at present: an absence may be false.
    pub(crate) stale: bool,
    nodes: Nodes,
}

/// The records of one name; a node without any is an empty non-terminal.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) a: Box<[Ipv4Addr]>,
    pub(crate) aaaa: Box<[Ipv6Addr]>,
    pub(crate) srv: Box<[Srv]>,
    pub(crate) other: Box<[Other]>,
    /// Some of it comes from a cluster that is not heard of at present.
    pub(crate) stale: bool,
    /// There may be endpoints, in a cluster that was never heard of: neither presence nor absence is told.
    pub(crate) unknown: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Srv {
    pub(crate) port: u16,
    pub(crate) target: Name,
}

/// A record kept as its data.
#[derive(Debug)]
pub(crate) struct Other {
    pub(crate) rtype: u16,
    pub(crate) ttl: u32,
    pub(crate) data: Box<[u8]>,
}

impl Zone {
    /// The zone before anything is known: answers SERVFAIL.
    #[must_use]
    pub fn unknown(options: &ZoneOptions) -> Self {
        let mut zone = build(options, [], &federation_types::endpoint::Clusters::new(), 1);
        zone.ready = false;
        zone
    }

    /// How many names have records or names below them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no name at all, which never happens: the origin exists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether the zone knows anything.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    pub(crate) fn node(&self, name: &[u8]) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// Where the zone's own name begins in `name`, if `name` is in the zone.
    pub(crate) fn cut(&self, name: &[u8]) -> Option<usize> {
        let origin = self.origin.wire();
        let at = name.len().checked_sub(origin.len())?;
        if name[at..] != *origin {
            return None;
        }
        // The bytes may match in the middle of a label: walk the labels.
        let mut label = 0;
        while label < at {
            label += 1 + usize::from(name[label]);
        }
        (label == at).then_some(at)
    }
}
