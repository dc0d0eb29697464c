//! wrk as the load: one run, and its printed figures.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::e2e::members::Members;
use crate::invoke;

pub const HOST: &str = "bench.example";

pub struct Load {
    pub connections: u32,
    pub length: Duration,
}

/// One run's figures; latencies in milliseconds.
pub struct Figures {
    pub requests: u64,
    pub per_second: f64,
    pub p50: f64,
    pub p99: f64,
}

/// # Errors
/// wrk is not there, or a request failed: figures of failing requests mean nothing.
pub fn run(members: &Members, address: &str, load: &Load) -> Result<Figures> {
    let mut wrk = members.command("wrk", ["--threads", "1", "--latency", "--timeout", "5s", "--connections"]);
    wrk.arg(load.connections.to_string()).arg("--duration").arg(format!("{}s", load.length.as_secs()));
    wrk.args(["--header", &format!("Host: {HOST}")]).arg(format!("http://{address}/"));
    let said = invoke::read(&mut wrk)?;
    parse(&said).with_context(|| format!("wrk said: {said}"))
}

fn parse(said: &str) -> Result<Figures> {
    for line in said.lines() {
        if line.contains("Socket errors") || line.contains("Non-2xx") {
            bail!(line.trim().to_owned());
        }
    }
    let field = |start: &str| {
        let line = said.lines().map(str::trim).find(|line| line.starts_with(start));
        let line = line.with_context(|| format!("no line {start}"))?;
        line[start.len()..].split_whitespace().next().with_context(|| format!("nothing after {start}"))
    };
    let requests = said.lines().find_map(|line| line.trim().split_once(" requests in ")).context("no request count")?;
    Ok(Figures {
        requests: requests.0.parse()?,
        per_second: field("Requests/sec:")?.parse()?,
        p50: milliseconds(field("50%")?)?,
        p99: milliseconds(field("99%")?)?,
    })
}

/// `"368.00us"`, `"1.30ms"`, `"2.00s"` → milliseconds.
fn milliseconds(text: &str) -> Result<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)];
    for (unit, factor) in units {
        if let Some(number) = text.strip_suffix(unit) {
            return Ok(number.parse::<f64>().with_context(|| format!("duration {text}"))? * factor);
        }
    }
    bail!("{text} is no duration")
}

#[cfg(test)]
mod tests {
    use super::parse;

    const SAID: &str = "Running 3s test @ http://127.0.0.1:18080/\n  1 threads and 32 connections\n  \
        Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency   400.12us  259.06us   4.92ms   80.59%\n  \
        Latency Distribution\n     50%  368.00us\n     75%  484.00us\n     99%    1.30ms\n  \
        209088 requests in 3.00s, 38.68MB read\nRequests/sec:  69681.76\nTransfer/sec:     12.89MB\n";

    #[test]
    fn figures_are_read() {
        let figures = parse(SAID).expect("wrk's output");
        assert_eq!(figures.requests, 209_088);
        assert!((figures.per_second - 69681.76).abs() < 0.001);
        assert!((figures.p50 - 0.368).abs() < 1e-9 && (figures.p99 - 1.3).abs() < 1e-9);
    }

    #[test]
    fn failed_requests_are_no_figures() {
        assert!(parse(&format!("{SAID}  Non-2xx or 3xx responses: 12\n")).is_err());
        assert!(parse("Running").is_err());
    }
}
