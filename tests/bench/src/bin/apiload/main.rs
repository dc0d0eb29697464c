//! `apiload`: GET, LIST, WATCH, create, update, patch and apply load for any Kubernetes API server, ConfigMaps of 2 kB.
//! It says `ready` once connected, starts when a line comes on its standard input, and prints one
//! line of JSON; the CPU of the server is measured from outside, between these.

mod pages;
mod seed;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use bench::kube::{Call, Connection, Server};
use bench::latency::Report;
use bench::start;
use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// How long to go on, in seconds
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Create the namespaces and that many objects to list
    Seed { objects: usize },
    /// Read one object again and again
    Get,
    /// Read all seeded objects again and again
    List,
    /// Read all seeded objects again and again, in pages of 500
    Pages,
    /// Create new objects
    Create,
    /// Replace objects, without a resourceVersion
    Update,
    /// Change one key of objects by merge patch
    Patch,
    /// Apply objects server-side
    Apply,
    /// Create objects beside the seeded ones, until there are so many in all
    Grow { from: usize, to: usize },
    /// That many watchers see that many changes of one object
    Watch { watchers: usize, changes: usize },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(run(arguments))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn run(arguments: Arguments) -> Result<Report> {
    let server = Server::from_kubeconfig(&arguments.kubeconfig)?;
    let load = Load {
        server,
        connections: arguments.connections,
        length: Duration::from_secs(arguments.seconds),
        limit: usize::MAX,
    };
    match arguments.verb {
        Verb::Seed { objects } => seed::run(load, objects).await,
        Verb::Get => load.run(calls(|_| seed::read_one())).await,
        Verb::List => load.run(calls(|_| seed::list_all())).await,
        Verb::Pages => load.run(Arc::new(|_| pages::walk())).await,
        Verb::Create => load.run(calls(|number| seed::create(seed::CREATED, number))).await,
        Verb::Update => load.run(calls(seed::update)).await,
        Verb::Patch => load.run(calls(seed::patch)).await,
        Verb::Apply => load.run(calls(seed::apply)).await,
        Verb::Grow { from, to } => seed::grow(load, to.saturating_sub(from)).await,
        Verb::Watch { watchers, changes } => watch::run(&load.server, watchers, changes).await,
    }
}

/// A closed loop on each connection until the time or the count is over.
pub struct Load {
    pub server: Server,
    pub connections: usize,
    pub length: Duration,
    pub limit: usize,
}

/// One thing that is done again and again.
pub enum Act {
    Call(Call<'static>),
    /// A whole list, page by page.
    Pages(&'static str),
}

pub type MakeAct = dyn Fn(usize) -> Act + Send + Sync;

/// Acts of one call each; `make` gets the number of the act.
pub fn calls(make: impl Fn(usize) -> Call<'static> + Send + Sync + 'static) -> Arc<MakeAct> {
    Arc::new(move |number| Act::Call(make(number)))
}

impl Load {
    /// # Errors
    /// Any call failed.
    pub async fn run(self, make: Arc<MakeAct>) -> Result<Report> {
        let numbers = Arc::new(AtomicUsize::new(0));
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(self.server.connect().await?);
        }
        start::signal()?;
        let started = Instant::now();
        let mut loops = Vec::new();
        for connection in connections {
            let (make, numbers) = (make.clone(), numbers.clone());
            let until = started + self.length;
            loops.push(tokio::spawn(repeat(connection, make, numbers, (until, self.limit))));
        }
        let mut samples = Vec::new();
        for running in loops {
            samples.append(&mut running.await??);
        }
        Ok(Report::of(samples, started.elapsed()))
    }
}

async fn repeat(
    mut connection: Connection,
    make: Arc<MakeAct>,
    numbers: Arc<AtomicUsize>,
    (until, limit): (Instant, usize),
) -> Result<Vec<Duration>> {
    let mut samples = Vec::new();
    while Instant::now() < until {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        if number >= limit {
            break;
        }
        let act = make(number);
        let started = Instant::now();
        match act {
            Act::Call(call) => {
                connection.exchange(call).await?;
            }
            Act::Pages(path) => pages::read(&mut connection, path).await?,
        }
        samples.push(started.elapsed());
    }
    Ok(samples)
}
