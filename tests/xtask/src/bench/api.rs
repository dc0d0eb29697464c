//! `bench api`: reads, watches, writes and memory, of kube-apiserver with etcd, and of fedgate:
//! the same load program, client certificates, HTTP/2, stores that sync to the same disk.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::cpu;
use super::ground::{Ground, program};
use super::load::{Load, Report};
use super::table::Table;

#[derive(clap::Args)]
pub struct Options {
    /// Objects in the list, 2 kB each
    #[arg(long, default_value_t = 10_000)]
    objects: usize,
    /// Watchers of one object; a tenth of them is measured too
    #[arg(long, default_value_t = 1_000)]
    watchers: usize,
    /// Objects at the end, for their memory; 0 leaves that out
    #[arg(long, default_value_t = 100_000)]
    many: usize,
    /// Changes that every watcher sees
    #[arg(long, default_value_t = 50)]
    changes: usize,
    /// Seconds of each other measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Measure kube-apiserver only
    #[arg(long)]
    peers_only: bool,
}

const MEMBER: &str = "east";

/// A server under load: the processes whose CPU counts, and the way in.
struct Server {
    name: &'static str,
    pids: Vec<u32>,
    kubeconfig: PathBuf,
}

struct Figures {
    report: Report,
    /// Server CPU for each thing done, less what the server uses when nobody asks.
    cpu_micros: f64,
    resident: u64,
}

struct Measurement {
    name: &'static str,
    /// Connections of the load program, and its verb with arguments.
    connections: usize,
    verb: Vec<String>,
    /// Objects in the list afterwards, where that is worth a look at the memory.
    leaves: Option<usize>,
}

pub fn run(options: &Options, no_build: bool) -> Result<()> {
    let mut ground = Ground::prepare("api", 1, no_build)?;
    let mut servers = vec![Ok(kubernetes(&ground))];
    if !options.peers_only {
        servers.push(fedgate(&mut ground));
    }
    let mut memory = Table::new(&["memory with", "server", "MB"]);
    remember(&mut memory, "no objects", &servers);
    let mut table =
        Table::new(&["what", "server", "per second", "p50 ms", "p99 ms", "CPU µs each", "ratio", "memory MB"]);
    for measurement in measurements(options) {
        let mut first = None;
        for server in &servers {
            let figures = match server {
                Ok(server) => {
                    measure(&ground, server, &measurement, options.seconds).map(|figures| (server.name, figures))
                }
                Err(error) => Err(anyhow::anyhow!("{error:#}")),
            };
            match figures {
                Ok((name, figures)) => {
                    let first = *first.get_or_insert(figures.cpu_micros);
                    table.row(cells(measurement.name, name, &figures, first));
                }
                Err(error) => table.failed(vec![measurement.name.to_owned()], &error),
            }
        }
        if let Some(objects) = measurement.leaves {
            remember(&mut memory, &format!("{objects} objects"), &servers);
        }
    }
    let Options { objects, watchers, .. } = options;
    println!("TLS with client certificates, HTTP/2, objects of 2 kB; {objects} in the list, {watchers} watchers");
    print!("{}", table.render());
    print!("{}", memory.render());
    Ok(())
}

/// What each server holds now.
fn remember(memory: &mut Table, when: &str, servers: &[Result<Server>]) {
    for server in servers.iter().flatten() {
        match cpu::resident(&server.pids) {
            Ok(bytes) => {
                memory.row(vec![when.to_owned(), server.name.to_owned(), format!("{:.0}", bytes as f64 / 1e6)]);
            }
            Err(error) => memory.failed(vec![when.to_owned(), server.name.to_owned()], &error),
        }
    }
}

fn measurements(options: &Options) -> Vec<Measurement> {
    let Options { objects, watchers, changes, many, .. } = options;
    let of = |name, connections, verb: &str| Measurement {
        name,
        connections,
        verb: verb.split(' ').map(str::to_owned).collect(),
        leaves: None,
    };
    let mut all = vec![
        Measurement { leaves: Some(*objects), ..of("create, empty store", 16, &format!("seed {objects}")) },
        of("GET", 16, "get"),
        of("LIST", 2, "list"),
        of("LIST, pages of 500", 2, "pages"),
        of("create", 16, "create"),
        of("update", 16, "update"),
        of("merge patch", 16, "patch"),
        of("apply", 16, "apply"),
        of("WATCH event, a tenth", 1, &format!("watch {} {changes}", watchers / 10)),
        of("WATCH event", 1, &format!("watch {watchers} {changes}")),
    ];
    if many > objects {
        let grow = of("create, many", 16, &format!("grow {objects} {many}"));
        all.push(Measurement { leaves: Some(*many), ..grow });
    }
    all
}

fn measure(ground: &Ground, server: &Server, measurement: &Measurement, seconds: u64) -> Result<Figures> {
    let mut apiload = ground.members.command(&program("apiload").to_string_lossy(), ["--kubeconfig"]);
    apiload.arg(&server.kubeconfig).args(["--connections", &measurement.connections.to_string()]);
    apiload.args(["--seconds", &seconds.to_string()]).args(&measurement.verb);
    let mut load = Load::connect(&mut apiload, &ground.dir.join("apiload.log"))?;
    let idle = idle_share(&server.pids)?;
    let before = cpu::used(&server.pids)?;
    let report: Report = load.run()?;
    let used = cpu::used(&server.pids)?.saturating_sub(before).as_secs_f64();
    ensure!(report.done > 0, "nothing was done");
    let own = (used - idle * report.seconds).max(0.0);
    Ok(Figures { cpu_micros: own * 1e6 / report.done as f64, resident: cpu::resident(&server.pids)?, report })
}

/// The share of a core that a server uses when nobody asks: controllers, leases, timers.
fn idle_share(pids: &[u32]) -> Result<f64> {
    const LOOK: Duration = Duration::from_secs(2);
    let before = cpu::used(pids)?;
    thread::sleep(LOOK);
    Ok(cpu::used(pids)?.saturating_sub(before).as_secs_f64() / LOOK.as_secs_f64())
}

fn cells(what: &str, name: &str, figures: &Figures, first: f64) -> Vec<String> {
    let Figures { report, cpu_micros, resident } = figures;
    vec![
        what.to_owned(),
        name.to_owned(),
        format!("{:.0}", report.done as f64 / report.seconds),
        format!("{:.2}", report.p50_ms),
        format!("{:.2}", report.p99_ms),
        format!("{cpu_micros:.1}"),
        format!("{:.1} ×", first / cpu_micros),
        format!("{:.0}", *resident as f64 / 1e6),
    ]
}

fn kubernetes(ground: &Ground) -> Server {
    Server {
        name: "kube-apiserver + etcd",
        pids: ["kube-apiserver", "etcd"].map(|part| ground.members.pid(MEMBER, part)).to_vec(),
        kubeconfig: ground.members.kubeconfig(MEMBER).to_path_buf(),
    }
}

/// The hub alone: no member is joined, so nothing is placed.
fn fedgate(ground: &mut Ground) -> Result<Server> {
    ground.hub.start(&ground.members)?;
    let pid = ground.hub.pid().context("the hub does not run")?;
    Ok(Server { name: "fedgate", pids: vec![pid], kubeconfig: ground.hub.kubeconfig() })
}
