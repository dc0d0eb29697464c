//! The peers' configuration files.

pub mod envoy;
pub mod haproxy;
pub mod nginx;
pub mod traefik;

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

/// Workers of each peer.
pub fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Each line with its end.
fn lines<L: Display>(lines: impl IntoIterator<Item = L>) -> String {
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}
