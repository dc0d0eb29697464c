//! `apiload`: GET, LIST, create and WATCH load for any Kubernetes API server, ConfigMaps of 2 kB.
//! It says `ready` once connected, starts when a line comes on its standard input, and prints one
//! line of JSON; the CPU of the server is measured from outside, between these.

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
    /// Create new objects
    Create,
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
        Verb::Get => load.run(Arc::new(|_| seed::read_one())).await,
        Verb::List => load.run(Arc::new(|_| seed::list_all())).await,
        Verb::Create => load.run(Arc::new(|number| seed::create(seed::CREATED, number))).await,
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

pub type MakeCall = dyn Fn(usize) -> Call<'static> + Send + Sync;

impl Load {
    /// # Errors
    /// Any call failed.
    pub async fn run(self, make: Arc<MakeCall>) -> Result<Report> {
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
    make: Arc<MakeCall>,
    numbers: Arc<AtomicUsize>,
    (until, limit): (Instant, usize),
) -> Result<Vec<Duration>> {
    let mut samples = Vec::new();
    while Instant::now() < until {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        if number >= limit {
            break;
        }
        let call = make(number);
        let started = Instant::now();
        connection.exchange(call).await?;
        samples.push(started.elapsed());
    }
    Ok(samples)
}
