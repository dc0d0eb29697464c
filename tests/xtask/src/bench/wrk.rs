//! wrk as the load: a script that chooses requests and prints figures as JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::figures::Figures;
use crate::e2e::members::Members;
use crate::invoke;

/// What wrk's own summary leaves out.
const DONE: &str = r#"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'figures {"requests":%d,"micros":%d,"p50":%.1f,"p99":%.1f,"p999":%.1f,"errors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"#;

/// Times in microseconds.
#[derive(Deserialize)]
struct Said {
    requests: u64,
    micros: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    errors: u64,
}

pub struct Load {
    pub connections: u32,
    pub length: Duration,
}

/// A script that asks for one path of one host.
///
/// # Errors
/// It cannot be written.
pub fn one(dir: &Path, name: &str, host: &str, path: &str) -> Result<PathBuf> {
    script(dir, name, &format!("wrk.path = \"{path}\"\nwrk.headers[\"Host\"] = \"{host}\"\n"))
}

/// A script that asks for something below each of the paths in turn, far apart from one to the next.
///
/// # Errors
/// It cannot be written.
pub fn spread(dir: &Path, name: &str, routes: &[(String, Vec<String>)]) -> Result<PathBuf> {
    /// Without a common divisor with the number of routes.
    const STRIDE: usize = 617;
    let mut text = String::from("local all = {}\ninit = function()\n");
    for (host, paths) in routes {
        for path in paths {
            let call = format!("wrk.format(\"GET\", \"{path}/x\", {{Host = \"{host}\"}})");
            writeln!(text, "  all[#all + 1] = {call}").expect("a String takes everything");
        }
    }
    write!(text, "end\nlocal at = 0\nrequest = function()\n  at = (at + {STRIDE}) % #all\n  return all[at + 1]\nend\n")
        .expect("a String takes everything");
    script(dir, name, &text)
}

fn script(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = dir.join(format!("{name}.lua"));
    fs::write(&file, format!("{text}{DONE}"))?;
    Ok(file)
}

/// # Errors
/// wrk is not there, or no request was answered.
pub fn run(members: &Members, address: &str, script: &Path, load: &Load) -> Result<Figures> {
    let mut wrk = members.command("wrk", ["--threads", "1", "--timeout", "5s", "--connections"]);
    wrk.arg(load.connections.to_string()).arg("--duration").arg(format!("{}s", load.length.as_secs().max(1)));
    let said = invoke::read(wrk.arg("--script").arg(script).arg(format!("http://{address}/")))?;
    parse(&said).with_context(|| format!("wrk said: {said}"))
}

fn parse(said: &str) -> Result<Figures> {
    let line = said.lines().find_map(|line| line.strip_prefix("figures ")).context("no figures")?;
    let said: Said = serde_json::from_str(line)?;
    Ok(Figures {
        done: said.requests,
        per_second: said.requests as f64 * 1e6 / said.micros,
        p50: said.p50 / 1000.0,
        p99: said.p99 / 1000.0,
        p999: said.p999 / 1000.0,
        errors: said.errors,
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn figures_are_read() {
        let said = "Running 3s test @ http://127.0.0.1:18080/\n  1 threads and 32 connections\nfigures \
            {\"requests\":209088,\"micros\":3000000,\"p50\":368.0,\"p99\":1300.5,\"p999\":4000.0,\"errors\":2}\n";
        let figures = parse(said).expect("wrk's output");
        assert_eq!((figures.done, figures.errors), (209_088, 2));
        assert!((figures.per_second - 69_696.0).abs() < 0.001);
        assert!((figures.p50 - 0.368).abs() < 1e-9 && (figures.p999 - 4.0).abs() < 1e-9);
        assert!(parse("Running").is_err());
    }
}
