//! Measurements, side by side with the peers in one run on one machine.

use anyhow::{Result, bail};

#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Requests through the ingress: fedgate, nginx, HAProxy, Traefik, Envoy and a bare forwarder
    Ingress,
}

/// # Errors
/// A peer cannot be started or measured.
pub fn run(options: &Options) -> Result<()> {
    match options.what {
        What::Ingress => bail!("bench ingress is not built yet"),
    }
}
