//! The route table by itself: ten thousand routes in two shapes, by the crate's own bench program in release mode.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::super::table::Table;
use super::rows::Row;
use crate::invoke;

const SHAPES: [(&str, usize, usize); 2] = [("100 hosts × 100 paths", 100, 100), ("10,000 hosts", 10_000, 1)];
const LOOKUP_NANOS: f64 = 1000.0;
const COMPILE_MILLIS: f64 = 200.0;
const RESIDENT_BYTES: f64 = 100e6;

#[derive(Deserialize)]
struct Said {
    compile_ms: f64,
    lookup_ns: f64,
    resident_bytes: f64,
}

/// # Errors
/// It does not compile, or fails.
pub fn run() -> Result<String> {
    let mut table = Table::new(&["route table", "lookup ns", "compile ms", "RSS MB"]);
    let mut verdicts = String::new();
    for (name, hosts, paths) in SHAPES {
        let mut bench = invoke::cargo();
        bench.args(["bench", "--locked", "--quiet", "--package", "ingress", "--bench", "routes", "--"]);
        let said = invoke::read(bench.args([hosts.to_string(), paths.to_string()]))?;
        let said: Said = serde_json::from_str(&said).with_context(|| format!("the bench said: {said}"))?;
        let cells = [said.lookup_ns, said.compile_ms, said.resident_bytes / 1e6];
        table.row([name.to_owned()].into_iter().chain(cells.map(|figure| format!("{figure:.1}"))).collect());
        let bars = [
            ("lookup < 1 µs", said.lookup_ns < LOOKUP_NANOS),
            ("compile < 200 ms", said.compile_ms < COMPILE_MILLIS),
            ("RSS < 100 MB", said.resident_bytes < RESIDENT_BYTES),
        ];
        for (bar, holds) in bars {
            let verdict = if holds { "holds" } else { "no" };
            writeln!(verdicts, "bar, {name}: {bar}: {verdict}").expect("a String takes everything");
        }
    }
    Ok(format!("\n{}, 10,000 routes\n{}{verdicts}", Row::Table.title(0, 0), table.render()))
}
