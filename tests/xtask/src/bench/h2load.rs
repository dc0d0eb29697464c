//! h2load as the load: HTTP/2 over TLS. What one request took stands in its log, a line each.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::figures::Figures;
use super::site::SECURE_HOST;
use crate::e2e::members::Members;
use crate::invoke;

/// Requests under way on each connection: what a browser or a gRPC client has.
const STREAMS: &str = "10";

pub struct Load {
    pub connections: u32,
    pub length: Duration,
}

/// # Errors
/// h2load is not there, spoke no HTTP/2, or no request was answered.
pub fn run(members: &Members, address: &str, dir: &Path, load: &Load) -> Result<Figures> {
    let log = dir.join("h2load.log");
    if log.exists() {
        fs::remove_file(&log)?;
    }
    let (_, port) = address.rsplit_once(':').context("an address has a port")?;
    let mut h2load = members.command("h2load", ["--threads", "1", "--max-concurrent-streams", STREAMS, "--clients"]);
    h2load.arg(load.connections.to_string()).arg("--duration").arg(format!("{}s", load.length.as_secs().max(1)));
    h2load.arg("--log-file").arg(&log).args(["--connect-to", address]);
    let said = invoke::read(h2load.arg(format!("https://{SECURE_HOST}:{port}/")))?;
    if !said.contains("Application protocol: h2") {
        bail!("no HTTP/2: {said}");
    }
    let (total, errors) = counts(&said).with_context(|| format!("h2load said: {said}"))?;
    let figures = read(&fs::read_to_string(&log)?, load.length)?;
    if figures.done == 0 || total == 0 {
        bail!("no request was answered: {said}");
    }
    Ok(Figures { errors, ..figures })
}

/// `requests: 10 total, 10 started, 10 done, 9 succeeded, 1 failed, 0 errored, 0 timeout` → 10 done, 1 that did not succeed.
fn counts(said: &str) -> Result<(u64, u64)> {
    let line = said.lines().find_map(|line| line.strip_prefix("requests: ")).context("no line of requests")?;
    let field = |name: &str| {
        let part = line.split(", ").find_map(|part| part.strip_suffix(name)).with_context(|| format!("no{name}"))?;
        part.trim().parse::<u64>().with_context(|| format!("{part}{name}"))
    };
    let done = field(" done")?;
    Ok((done, done - field(" succeeded")?.min(done)))
}

/// Lines of start (µs since 1970), status and duration (µs).
fn read(log: &str, length: Duration) -> Result<Figures> {
    let mut micros = Vec::new();
    for line in log.lines() {
        let mut fields = line.split('\t');
        let (status, took) = (fields.nth(1), fields.next());
        let (Some(status), Some(took)) = (status, took) else { bail!("h2load logged {line:?}") };
        // Requests under way when the time is up have no status.
        if status == "200" {
            micros.push(took.trim().parse::<f64>().with_context(|| format!("h2load logged {line:?}"))?);
        }
    }
    micros.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let index = (micros.len() as f64 * share).ceil() as usize;
        micros.get(index.saturating_sub(1)).map_or(f64::NAN, |micros| micros / 1000.0)
    };
    Ok(Figures {
        done: micros.len() as u64,
        per_second: micros.len() as f64 / length.as_secs_f64(),
        p50: quantile(0.5),
        p99: quantile(0.99),
        p999: quantile(0.999),
        errors: 0,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{counts, read};

    #[test]
    fn the_log_and_the_summary_are_read() {
        let log: String = (1..=100).map(|n| format!("1700000000{n}\t200\t{}\n", n * 1000)).collect();
        let figures = read(&(log + "17\t-1\t5\n"), Duration::from_secs(2)).expect("a log");
        assert_eq!((figures.done, figures.per_second, figures.p50, figures.p99), (100, 50.0, 50.0, 99.0));
        let line = "requests: 10 total, 10 started, 10 done, 9 succeeded, 1 failed, 0 errored, 0 timeout\n";
        assert_eq!(counts(line).expect("a summary"), (10, 1));
        assert!(counts("finished").is_err() && read("x", Duration::from_secs(1)).is_err());
    }
}
