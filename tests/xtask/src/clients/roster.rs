//! Who takes part: one line a client. Each client runs the scripts of its family, and finds its programs in
//! environment variables; every client has `KUBECTL` for what its script has to prepare and to look at.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;

use crate::provision::languages;
use crate::provision::wheel::{self, Wheel};

pub struct Entrant {
    /// Unique, and the column's heading.
    pub name: &'static str,
    /// The folder of its scripts under tests/clients.
    pub family: &'static str,
    programs: &'static [Program],
}

/// An environment variable and where its program comes from.
struct Program {
    variable: &'static str,
    source: Source,
}

enum Source {
    /// A program of that name in a wheel.
    Wheel(&'static str, &'static Wheel),
    /// Whatever provisioning makes.
    Made(fn() -> Result<PathBuf>),
}

const fn helm(source: &'static Wheel) -> Program {
    Program { variable: "HELM", source: Source::Wheel("helm", source) }
}

const fn kubectl(source: &'static Wheel) -> Program {
    Program { variable: "KUBECTL", source: Source::Wheel("kubectl", source) }
}

const fn made(variable: &'static str, make: fn() -> Result<PathBuf>) -> Program {
    Program { variable, source: Source::Made(make) }
}

/// What scripts of other clients prepare and look at things with.
const TODAY: Program = kubectl(&wheel::KUBECTL);
const TRAEFIK: Program = Program { variable: "TRAEFIK", source: Source::Wheel("traefik", &wheel::TRAEFIK) };

pub const ROSTER: &[Entrant] = &[
    Entrant { name: "kubectl-1.37", family: "kubectl", programs: &[kubectl(&wheel::KUBECTL)] },
    Entrant { name: "kubectl-1.36", family: "kubectl", programs: &[kubectl(&wheel::KUBECTL_1_36)] },
    Entrant { name: "kubectl-1.35", family: "kubectl", programs: &[kubectl(&wheel::KUBECTL_1_35)] },
    Entrant { name: "kubectl-1.34", family: "kubectl", programs: &[kubectl(&wheel::KUBECTL_1_34)] },
    Entrant { name: "helm-4.3", family: "helm", programs: &[helm(&wheel::HELM), TODAY] },
    Entrant { name: "helm-3.17", family: "helm", programs: &[helm(&wheel::HELM_3), TODAY] },
    Entrant { name: "python-37", family: "python", programs: &[made("PYTHON", languages::python), TODAY] },
    Entrant { name: "node-2", family: "node", programs: &[made("NODE_PROJECT", languages::node), TODAY] },
    Entrant { name: "go-0.37", family: "go", programs: &[made("GO_CLIENTS", languages::go), TODAY] },
    Entrant { name: "kube-rs-5", family: "rust", programs: &[made("RUST_CLIENTS", languages::rust), TODAY] },
    Entrant { name: "traefik-3.7", family: "traefik", programs: &[TRAEFIK, TODAY] },
    Entrant {
        name: "prometheus-3",
        family: "prometheus",
        programs: &[made("PROMETHEUS", languages::prometheus), TODAY],
    },
];

/// Who takes part in every run: the newest of each family that has older ones, and the libraries.
const TODAYS: &[&str] = &["kubectl-1.37", "helm-4.3", "python-37", "node-2", "go-0.37", "kube-rs-5"];

/// Their names, in the roster's order.
pub fn of_today() -> impl Iterator<Item = &'static str> {
    ROSTER.iter().map(|entrant| entrant.name).filter(|name| TODAYS.contains(name))
}

/// A client's environment variables.
pub type Environment = Vec<(&'static str, OsString)>;

/// By client: its environment, or why it is not there.
pub type Provisioned = BTreeMap<&'static str, Result<Environment, String>>;

pub fn provision(entrants: &[&'static Entrant]) -> Provisioned {
    entrants.iter().map(|entrant| (entrant.name, install(entrant).map_err(|error| brief(&error)))).collect()
}

fn install(entrant: &Entrant) -> Result<Environment> {
    let mut environment = Vec::new();
    for program in entrant.programs {
        let path = match &program.source {
            Source::Wheel(name, wheel) => wheel.install(name)?.join(name),
            Source::Made(make) => make()?,
        };
        environment.push((program.variable, path.into_os_string()));
    }
    Ok(environment)
}

/// A registry's last word: it is the one that says why.
fn brief(error: &anyhow::Error) -> String {
    format!("{error:#}").lines().rfind(|line| !line.trim().is_empty()).unwrap_or("not provisioned").to_owned()
}
