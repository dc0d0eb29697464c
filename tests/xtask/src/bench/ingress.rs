//! `bench ingress`: the same requests to the same pods of a real member, through one proxy after the other.

mod calls;
mod product;
mod report;
mod rows;
mod table;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::report::Scores;
use self::rows::{FLOOR, Loading, Row, TOGETHER};
use super::cpu;
use super::figures::{Run, Score};
use super::ground::{Ground, Running, program};
use super::peers::{self, Contestant, PEERS, Site};
use super::site::{self, HOST, SECURE_HOST};
use super::wrk;
use crate::e2e::shop::SOON;
use crate::e2e::wait::until;
use crate::invoke;

#[derive(clap::Args)]
pub struct Options {
    /// Only these rows (default: all)
    #[arg(long, value_enum, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Open connections
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Seconds a round
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds, in which every proxy has its turn; the tables show medians
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Size of a small body
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Hosts and paths of the row that has many
    #[arg(long, default_value_t = 5000)]
    routes: usize,
    /// Measure the peers only
    #[arg(long)]
    peers_only: bool,
}

const OURS: &str = "fedgate";
const MEMBER: &str = "east";
/// The port on which every pod of the member answers with the same bytes.
const ORIGIN_PORT: u16 = 8081;
const WARM_UP: Duration = Duration::from_secs(1);
/// A log that has grown that long is begun anew between two measurements.
const LOG_BYTES: u64 = 64 << 20;

pub fn run(options: &Options, no_build: bool) -> Result<()> {
    let started = Instant::now();
    let wanted = |row: &Row| options.rows.is_empty() || options.rows.contains(row);
    if wanted(&Row::Table) {
        print!("{}", table::run()?);
    }
    let together: Vec<Row> = TOGETHER.into_iter().filter(wanted).collect();
    if together.is_empty() && !wanted(&Row::Routes) {
        return Ok(());
    }
    let mut ground = Ground::prepare("ingress", 1, no_build)?;
    let _origin = start_origin(&ground, options.bytes)?;
    let backends = product::pods(&ground)?;
    let mut site = site::make(&ground.dir, backends, Vec::new())?;
    let ours = match options.peers_only {
        true => None,
        false => Some(product::start(&mut ground, &site)),
    };
    if !together.is_empty() {
        contest(&ground, &site, &together, ours.as_ref(), options)?;
    }
    if wanted(&Row::Routes) {
        site.routes = site::routes(options.routes);
        if matches!(ours, Some(Ok(_))) {
            product::add_routes(&ground, &site)?;
        }
        contest(&ground, &site, &[Row::Routes], ours.as_ref(), options)?;
    }
    println!("\n{:.0} s in all", started.elapsed().as_secs_f64());
    Ok(())
}

/// Starts every peer, measures the rows and prints them.
fn contest(ground: &Ground, site: &Site, rows: &[Row], ours: Option<&Result<u32>>, options: &Options) -> Result<()> {
    let mut entries: Vec<(&'static str, Result<Entry>)> = Vec::new();
    entries.push((FLOOR, peers::forwarder(ground, site).map(Entry::Peer)));
    if let Some(ours) = ours {
        entries.push((OURS, hub(ground, ours)));
    }
    for peer in PEERS {
        entries.push((peer.name, peer.start(ground, site).map(Entry::Peer)));
    }
    for (_, entry) in &mut entries {
        if let Ok(started) = entry
            && let Err(error) = started.answers(ground, site)
        {
            *entry = Err(error);
        }
    }
    let loading = Loading {
        ground,
        connections: options.connections,
        length: Duration::from_secs(options.seconds),
        certificate: site.certificate.clone(),
        small: wrk::one(&ground.dir, "small", HOST, "/")?,
        big: wrk::one(&ground.dir, "big", HOST, "/b")?,
        routes: wrk::spread(&ground.dir, "routes", &site.routes)?,
    };
    let mut scores: Vec<(Row, Scores)> = rows.iter().map(|row| (*row, blank(*row, &entries))).collect();
    for round in 0..options.rounds {
        for (row, scores) in &mut scores {
            for ((_, entry), (_, score)) in entries.iter().zip(scores) {
                if let (Ok(entry), Some(Ok(so_far))) = (entry, &mut *score)
                    && let Err(error) = measure(*row, &loading, entry, so_far, round == 0)
                {
                    *score = Some(Err(error));
                }
            }
        }
    }
    for (row, scores) in &scores {
        print!("{}", report::render(*row, scores, options));
    }
    Ok(())
}

/// A score for each who can do the row.
fn blank(row: Row, entries: &[(&'static str, Result<Entry>)]) -> Scores {
    let score = |entry: &Result<Entry>| match entry {
        Ok(entry) => entry.address(row).map(|_| Ok(Score::default())),
        Err(error) => Some(Err(anyhow::anyhow!("{error:#}"))),
    };
    entries.iter().map(|(name, entry)| (*name, score(entry))).collect()
}

/// A proxy that can be put under load.
enum Entry {
    Peer(Contestant),
    Hub { pid: u32, http: String, https: String, log: PathBuf },
}

fn hub(ground: &Ground, started: &Result<u32>) -> Result<Entry> {
    let pid = *started.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let endpoints = ground.hub.endpoints()?;
    Ok(Entry::Hub { pid, http: endpoints.ingress, https: endpoints.ingress_tls, log: product::access_log(ground) })
}

impl Entry {
    fn pid(&self) -> u32 {
        match self {
            Self::Peer(contestant) => contestant.running.pid(),
            Self::Hub { pid, .. } => *pid,
        }
    }

    /// Where the row's requests go; nothing if it does not speak that.
    fn address(&self, row: Row) -> Option<&str> {
        match (self, row.is_secure()) {
            (Self::Peer(contestant), false) => Some(&contestant.http),
            (Self::Peer(contestant), true) => contestant.https.as_deref(),
            (Self::Hub { http, .. }, false) => Some(http),
            (Self::Hub { https, .. }, true) => Some(https),
        }
    }

    fn log(&self) -> &PathBuf {
        match self {
            Self::Peer(contestant) => &contestant.log,
            Self::Hub { log, .. } => log,
        }
    }

    /// Waits until every name that is served is answered for: the last route comes last.
    fn answers(&mut self, ground: &Ground, site: &Site) -> Result<()> {
        let last = site.routes.last().and_then(|(host, paths)| Some((host.clone(), format!("{}/x", paths.last()?))));
        let asked = [Some((HOST.to_owned(), "/".to_owned())), last];
        for (host, path) in asked.into_iter().flatten() {
            let url = format!("http://{}{path}", self.address(Row::Small).context("everybody speaks HTTP")?);
            self.answers_at(ground, &url, &host)?;
        }
        if let Some(secure) = self.address(Row::H2) {
            let url = format!("https://{secure}/");
            self.answers_at(ground, &url, SECURE_HOST)?;
        }
        self.is_quiet()
    }

    /// What it had to do with its configuration is done: none of it is counted as the cost of requests.
    fn is_quiet(&self) -> Result<()> {
        const WINDOW: Duration = Duration::from_millis(500);
        until("quiet", SOON, || {
            let before = cpu::used(&[self.pid()])?;
            std::thread::sleep(WINDOW);
            let used = cpu::used(&[self.pid()])?.saturating_sub(before);
            ensure!(used * 10 <= WINDOW, "it uses {used:?} in {WINDOW:?} without a request");
            Ok(())
        })
    }

    fn answers_at(&mut self, ground: &Ground, url: &str, host: &str) -> Result<()> {
        until(&format!("an answer for {host}"), SOON, || {
            if let Self::Peer(contestant) = self
                && let Some(status) = contestant.running.ended()?
            {
                bail!("it ended: {status}; its log is below {}", ground.dir.display());
            }
            let mut curl = ground.members.command("curl", ["--silent", "--show-error", "--fail", "--max-time", "2"]);
            curl.args(["--insecure", "--header", &format!("Host: {host}")]);
            invoke::read(curl.arg(url)).map(|_| ())
        })
    }
}

fn measure(row: Row, loading: &Loading<'_>, entry: &Entry, score: &mut Score, first: bool) -> Result<()> {
    let address = entry.address(row).context("it does not speak that")?;
    begin_anew(entry.log())?;
    if first {
        row.load(&loading.lasting(WARM_UP), address)?;
    }
    let before = cpu::used(&[entry.pid()])?;
    let figures = row.load(loading, address)?;
    let used = cpu::used(&[entry.pid()])?.saturating_sub(before);
    let cpu_micros = used.as_secs_f64() * 1e6 / figures.done as f64;
    score.runs.push(Run { figures, cpu_micros, resident_bytes: cpu::resident(&[entry.pid()])? });
    if first && matches!(entry, Entry::Hub { .. }) {
        let (calls, traced) =
            calls::count(loading.ground, entry.pid(), || row.load(&loading.lasting(WARM_UP), address))?;
        score.calls = Some(calls / traced.done as f64);
    }
    Ok(())
}

/// Logs are written as in production, and not kept.
fn begin_anew(log: &PathBuf) -> Result<()> {
    if log.exists() && fs::metadata(log)?.len() > LOG_BYTES {
        fs::OpenOptions::new().write(true).open(log)?.set_len(0)?;
    }
    Ok(())
}

fn start_origin(ground: &Ground, bytes: usize) -> Result<Running> {
    let listen = format!("0.0.0.0:{ORIGIN_PORT}");
    let mut origin =
        ground.members.command_in(MEMBER, &program("origin").to_string_lossy(), [listen, bytes.to_string()]);
    Running::start(peers::logged(&mut origin, &ground.dir.join("origin.log"))?)
}
