//! `cargo xtask test clients`: real client programs against one endpoint, a script a verb, printed as a table
//! client × verb. The scripts lie under tests/clients and know nothing of this runner but their environment.

mod cell;
mod endpoint;
mod roster;
mod table;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};

use self::cell::{Cell, Ground, Verdict};
use self::endpoint::Endpoint;
use self::roster::Entrant;
use crate::{dist, paths};

/// Two clients at a time meet each other's writes, and a small machine still answers in time.
const JOBS: usize = 2;

#[derive(clap::Args)]
pub struct Options {
    /// Only these clients (kubectl-1.37), or all of a family (kubectl); repeatable
    #[arg(long)]
    only: Vec<String>,
    /// Only these verbs; repeatable
    #[arg(long)]
    verb: Vec<String>,
    /// How many cells run at a time
    #[arg(long, default_value_t = JOBS)]
    jobs: usize,
    /// Use the binary that is there (FEDGATE_BINARY, or the last release build), do not build it
    #[arg(long)]
    no_build: bool,
    /// Run against the server of that kubeconfig instead of one of our own
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { only: Vec::new(), verb: Vec::new(), jobs: JOBS, no_build: false, kubeconfig: None }
    }
}

impl Options {
    /// For the run of every change: today's clients. The older ones take most of the time and seldom differ.
    #[must_use]
    pub fn of_today() -> Self {
        Self { only: roster::of_today().map(str::to_owned).collect(), ..Self::default() }
    }
}

/// The clients that [`Options::of_today`] leaves out.
pub fn left_out() -> impl Iterator<Item = &'static str> {
    roster::ROSTER.iter().map(|entrant| entrant.name).filter(|name| roster::of_today().all(|today| today != *name))
}

/// Cells by outcome; what did not pass carries its reason.
#[derive(Default)]
pub struct Outcome {
    pub passed: usize,
    pub failed: Vec<(String, String)>,
    pub skipped: Vec<(String, String)>,
}

/// # Errors
/// A cell failed, or none could start.
pub fn run(options: &Options) -> Result<()> {
    let outcome = matrix(options)?;
    for (cell, why) in &outcome.skipped {
        println!("skipped {cell}: {why}");
    }
    for (cell, why) in &outcome.failed {
        println!("FAILED  {cell}: {why}");
    }
    println!("{} passed, {} failed, {} skipped", outcome.passed, outcome.failed.len(), outcome.skipped.len());
    ensure!(outcome.failed.is_empty(), "{} failed", outcome.failed.len());
    Ok(())
}

/// Runs every chosen cell and prints the table.
///
/// # Errors
/// The scripts cannot be read, or the endpoint does not start.
pub fn matrix(options: &Options) -> Result<Outcome> {
    let scripts = paths::repository().join("tests/clients");
    let entrants = chosen(options)?;
    let mut cells = Vec::new();
    for entrant in &entrants {
        let verbs = verbs(&scripts.join(entrant.family))?;
        cells.extend(verbs.into_iter().filter(|verb| wanted(options, verb)).map(|verb| Cell::new(entrant, verb)));
    }
    ensure!(!cells.is_empty(), "no cell is of that client and that verb");
    let provisioned = roster::provision(&entrants);
    let folder = paths::target().join("clients");
    let own = match &options.kubeconfig {
        Some(_) => None,
        None => {
            if !options.no_build && std::env::var_os("FEDGATE_BINARY").is_none() {
                dist::build().context("the binary under test")?;
            }
            Some(Endpoint::start(&folder.join("up"))?)
        }
    };
    let kubeconfig = match (&options.kubeconfig, &own) {
        (Some(given), _) => given.clone(),
        (None, Some(endpoint)) => endpoint.kubeconfig(),
        (None, None) => bail!("there is no endpoint to run against"),
    };
    let ground = Ground { scripts, kubeconfig, folder: folder.join("cells"), provisioned };
    let results = all(&ground, cells, options.jobs.max(1));
    if let Some(endpoint) = own {
        endpoint.stop()?;
    }
    print!("\n{}", table::render(&results));
    Ok(sum(&results))
}

/// The clients of the command line, in the roster's order.
fn chosen(options: &Options) -> Result<Vec<&'static Entrant>> {
    let known = |name: &String| roster::ROSTER.iter().any(|entrant| name == entrant.name || name == entrant.family);
    if let Some(stranger) = options.only.iter().find(|name| !known(name)) {
        let names: Vec<_> = roster::ROSTER.iter().map(|entrant| entrant.name).collect();
        bail!("no client {stranger}; there are {}", names.join(", "));
    }
    let all = options.only.is_empty();
    let named = |entrant: &&Entrant| options.only.iter().any(|name| name == entrant.name || name == entrant.family);
    Ok(roster::ROSTER.iter().filter(|entrant| all || named(entrant)).collect())
}

fn wanted(options: &Options, verb: &str) -> bool {
    options.verb.is_empty() || options.verb.iter().any(|name| name == verb)
}

/// A family's verbs: the names of its scripts.
fn verbs(folder: &Path) -> Result<Vec<String>> {
    let mut verbs = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sh")
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
        {
            verbs.push(stem.to_owned());
        }
    }
    verbs.sort();
    Ok(verbs)
}

/// Runs the cells, that many at a time, in their order.
fn all(ground: &Ground, cells: Vec<Cell>, jobs: usize) -> Vec<(Cell, Verdict)> {
    // Guards the cells that nobody has taken yet.
    let waiting = Mutex::new(VecDeque::from(cells));
    // Guards the cells that are done.
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no cell panics").pop_front();
                    let Some(cell) = next else { break };
                    let verdict = cell.run(ground);
                    println!("{:8} {cell} {:.1} s", verdict.word(), verdict.seconds);
                    if let Some(excerpt) = verdict.excerpt() {
                        println!("{excerpt}");
                    }
                    done.lock().expect("no cell panics").push((cell, verdict));
                }
            });
        }
    });
    done.into_inner().expect("no cell panics")
}

fn sum(results: &[(Cell, Verdict)]) -> Outcome {
    let mut outcome = Outcome::default();
    for (cell, verdict) in results {
        match &verdict.kind {
            cell::Kind::Passed => outcome.passed += 1,
            cell::Kind::Failed(why) => outcome.failed.push((cell.to_string(), why.clone())),
            cell::Kind::Skipped(why) => outcome.skipped.push((cell.to_string(), why.clone())),
        }
    }
    outcome.failed.sort();
    outcome.skipped.sort();
    outcome
}
