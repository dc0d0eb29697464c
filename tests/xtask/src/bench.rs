//! Measurements, side by side with the peers in one run on one machine: figures and ratios, no bars.

mod api;
mod cpu;
mod figures;
mod ground;
mod h2load;
mod ingress;
mod load;
mod peers;
mod propagation;
mod site;
mod table;
mod wrk;

use anyhow::Result;

pub use self::ground::program;
pub use self::load::{Load as StartedLoad, Report};

#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
    /// Use the release binaries that are there, do not build them
    #[arg(long, global = true)]
    no_build: bool,
}

#[derive(clap::Subcommand)]
enum What {
    /// Requests through the ingress: fedgate, nginx, HAProxy, Traefik, Envoy and a bare forwarder
    Ingress(ingress::Options),
    /// Reads, watches, writes and memory: fedgate and kube-apiserver with etcd
    Api(api::Options),
    /// From apply at the hub to the members: fedgate and a bare writer of the same objects
    Propagation(propagation::Options),
}

/// # Errors
/// What all contestants need cannot be built or started; one contestant's failure is a row of the table.
pub fn run(options: &Options) -> Result<()> {
    match &options.what {
        What::Ingress(ingress) => ingress::run(ingress, options.no_build),
        What::Api(api) => api::run(api, options.no_build),
        What::Propagation(propagation) => propagation::run(propagation, options.no_build),
    }
}
