//! A table a row of `bench ingress`, and below it which bars hold.

use std::fmt::Write as _;

use anyhow::Result;

use super::super::figures::{Run, Score};
use super::super::table::Table;
use super::rows::Row;
use super::{OURS, Options};

/// What the contestants came to in one row, in their order; nothing for what one cannot do.
pub type Scores = Vec<(&'static str, Option<Result<Score>>)>;

pub fn render(row: Row, scores: &Scores, options: &Options) -> String {
    let mut table = Table::new(&[
        "proxy",
        "per second",
        "CPU µs each",
        "× first",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "RSS MB",
        "errors",
        "syscalls each",
    ]);
    let mut first = None;
    for (name, score) in scores {
        let name = (*name).to_owned();
        match score {
            None => table.row(vec![name, "-".to_owned()]),
            Some(Err(error)) => table.failed(vec![name], error),
            Some(Ok(score)) => table.row(cells(name, score, &mut first)),
        }
    }
    let (rounds, seconds) = (options.rounds, options.seconds);
    let title = row.title(options.bytes, options.connections);
    let mut text = format!("\n{title}; {rounds} rounds of {seconds} s, medians\n{}", table.render());
    let found = |name: &str| {
        let (_, score) = scores.iter().find(|(known, _)| *known == name)?;
        score.as_ref()?.as_ref().ok()
    };
    if let Some(ours) = found(OURS) {
        for bar in row.bars() {
            writeln!(text, "{}", bar.verdict(ours, found)).expect("a String takes everything");
        }
    }
    text
}

fn cells(name: String, score: &Score, first: &mut Option<f64>) -> Vec<String> {
    let figure = |of: fn(&Run) -> f64| score.median(of).unwrap_or(f64::NAN);
    let micros = figure(|run| run.cpu_micros);
    let floor = *first.get_or_insert(micros);
    vec![
        name,
        format!("{:.0}", figure(|run| run.figures.per_second)),
        format!("{micros:.1}"),
        format!("{:.2}", micros / floor),
        format!("{:.2}", figure(|run| run.figures.p50)),
        format!("{:.2}", figure(|run| run.figures.p99)),
        format!("{:.2}", figure(|run| run.figures.p999)),
        format!("{:.0}", figure(|run| run.resident_bytes as f64) / 1e6),
        score.errors().to_string(),
        score.calls.map_or_else(|| "-".to_owned(), |calls| format!("{calls:.2}")),
    ]
}
