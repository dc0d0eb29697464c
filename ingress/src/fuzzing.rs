//! The door for fuzz targets: what reads bytes from outside, under the names that it has here, and nothing else.
//!
//! There under the feature `fuzzing` alone, which `tests/fuzz` asks for and no other crate may.

pub use crate::filter::rewritten;
pub use crate::peer::Peer;
pub use crate::refusal::Refusal;
pub use crate::route::normal_path;

/// The PROXY protocol.
pub mod announce {
    pub use crate::announce::{Ends, Fault, Header, MOST, read, write};
    pub use crate::route::Announce;
}

/// What a connection begins with.
pub mod sniff {
    pub use crate::sniff::hello::{Hello, hello};
    pub use crate::sniff::{PREFACE, Spoken, spoken};
}

/// The second reader of requests.
pub mod guard {
    pub use crate::proxy::guard::{Guard, State};
}

/// The general way's rules of heads.
pub mod head {
    pub use crate::proxy::head::{inspect, is_forwarding, is_hop_by_hop, rewrite_request, rewrite_response};
}

/// The short way.
pub mod express {
    pub use crate::express::{answer, ask, chunk, chunks, trailers};
}
