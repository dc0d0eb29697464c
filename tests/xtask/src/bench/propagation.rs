//! `bench propagation`: from an apply at the hub to three real members, beside a bare writer that
//! applies the same objects straight to the same members.

use anyhow::{Context, Result};

use super::cpu;
use super::ground::{Ground, program};
use super::load::{Load, Report};
use super::table::Table;

#[derive(clap::Args)]
pub struct Options {
    /// Objects applied as fast as they are accepted
    #[arg(long, default_value_t = 1_000)]
    objects: usize,
    /// Objects applied one a second
    #[arg(long, default_value_t = 20)]
    paced: usize,
    /// Measure the bare writer only
    #[arg(long)]
    peers_only: bool,
}

const MEMBERS: usize = 3;

/// How many objects come, and how fast.
struct Pace {
    name: &'static str,
    objects: usize,
    /// A second; 0: as fast as they are accepted.
    rate: u32,
}

pub fn run(options: &Options, no_build: bool) -> Result<()> {
    let mut ground = Ground::prepare("propagation", MEMBERS, no_build)?;
    let hub = if options.peers_only { None } else { Some(ground.start_hub()) };
    let paces = [
        Pace { name: "one a second", objects: options.paced, rate: 1 },
        Pace { name: "flat out", objects: options.objects, rate: 0 },
    ];
    let mut table = Table::new(&["pace", "writer", "applies/s", "p50 ms", "p99 ms", "our CPU µs/apply", "our MB"]);
    for (round, pace) in paces.iter().enumerate() {
        let bare = apply(&ground, pace, &format!("bare-{round}"), false);
        enter(&mut table, pace.name, "bare writer", bare.map(|report| (report, None)));
        let through = match &hub {
            Some(Ok(())) => through_hub(&ground, pace, &format!("hub-{round}")),
            Some(Err(error)) => Err(anyhow::anyhow!("{error:#}")),
            None => continue,
        };
        enter(&mut table, pace.name, "fedgate", through);
    }
    println!("ConfigMaps to {MEMBERS} real members; an apply has arrived when the last member's watch shows it");
    print!("{}", table.render());
    Ok(())
}

/// CPU in microseconds an apply, and resident bytes.
type Cost = Option<(f64, u64)>;

fn through_hub(ground: &Ground, pace: &Pace, namespace: &str) -> Result<(Report, Cost)> {
    let hub = [ground.hub.pid().context("the hub does not run")?];
    let before = cpu::used(&hub)?;
    let report = apply(ground, pace, namespace, true)?;
    let used = cpu::used(&hub)?.saturating_sub(before).as_secs_f64();
    let cost = (used * 1e6 / report.done.max(1) as f64, cpu::resident(&hub)?);
    Ok((report, Some(cost)))
}

fn apply(ground: &Ground, pace: &Pace, namespace: &str, by_hub: bool) -> Result<Report> {
    let mut propload = ground.members.command(&program("propload").to_string_lossy(), ["--namespace", namespace]);
    for name in ground.members.names() {
        propload.arg("--member").arg(ground.members.kubeconfig(name));
    }
    if by_hub {
        propload.arg("--hub").arg(ground.hub.kubeconfig());
    }
    propload.args(["--objects", &pace.objects.to_string(), "--rate", &pace.rate.to_string()]);
    Load::connect(&mut propload, &ground.dir.join("propload.log"))?.run()
}

fn enter(table: &mut Table, pace: &str, writer: &str, outcome: Result<(Report, Cost)>) {
    let (report, cost) = match outcome {
        Ok(outcome) => outcome,
        Err(error) => return table.failed(vec![pace.to_owned(), writer.to_owned()], &error),
    };
    let (micros, memory) = cost.map_or_else(
        || ("-".to_owned(), "-".to_owned()),
        |(micros, resident)| (format!("{micros:.0}"), format!("{:.0}", resident as f64 / 1e6)),
    );
    table.row(vec![
        pace.to_owned(),
        writer.to_owned(),
        format!("{:.1}", report.done as f64 / report.seconds),
        format!("{:.1}", report.p50_ms),
        format!("{:.1}", report.p99_ms),
        micros,
        memory,
    ]);
}
