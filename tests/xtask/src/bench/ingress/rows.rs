//! The rows of `bench ingress`: what is sent, and which bars it is held against.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::figures::{Figures, Printed, Run, Score};
use super::super::ground::{Ground, program};
use super::super::site::{HOST, SECURE_HOST};
use super::super::{h2load, wrk};
use crate::invoke;

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Row {
    /// HTTP/1.1 keep-alive, small bodies
    Small,
    /// HTTP/1.1 keep-alive, bodies of 100 kB
    Big,
    /// a new TLS 1.3 connection a request, no tickets
    TlsFull,
    /// a new TLS 1.3 connection a request, resumed by ticket
    TlsResumed,
    /// HTTP/2 over TLS
    H2,
    /// short messages there and back over open WebSockets
    Websocket,
    /// as small, over thousands of hosts and paths
    Routes,
    /// compile and lookup of ten thousand routes, without a network
    Table,
}

/// The rows under load that share one set of proxies; `Routes` has its own.
pub const TOGETHER: [Row; 6] = [Row::Small, Row::Big, Row::TlsFull, Row::TlsResumed, Row::H2, Row::Websocket];

/// What must hold for fedgate, in medians.
#[derive(Clone, Copy)]
pub enum Bar {
    /// CPU a request at most this many times the other's.
    Cpu(&'static str, f64),
    P99(&'static str),
    PerSecond(&'static str),
}

pub const FLOOR: &str = "bare forwarder";

/// What a load needs to know besides where to.
pub struct Loading<'a> {
    pub ground: &'a Ground,
    pub connections: u32,
    pub length: Duration,
    pub certificate: PathBuf,
    /// wrk's scripts, by row.
    pub small: PathBuf,
    pub big: PathBuf,
    pub routes: PathBuf,
}

impl Loading<'_> {
    /// The same for another time.
    pub fn lasting(&self, length: Duration) -> Self {
        let (certificate, small) = (self.certificate.clone(), self.small.clone());
        Self { length, certificate, small, big: self.big.clone(), routes: self.routes.clone(), ..*self }
    }
}

impl Row {
    pub fn is_secure(self) -> bool {
        matches!(self, Self::TlsFull | Self::TlsResumed | Self::H2)
    }

    pub fn bars(self) -> &'static [Bar] {
        const PROXY: &[Bar] = &[Bar::Cpu("nginx", 1.0), Bar::Cpu(FLOOR, 1.3), Bar::P99("nginx")];
        match self {
            Self::Small | Self::Routes => PROXY,
            Self::Table => &[],
            _ => &[Bar::PerSecond("nginx"), Bar::PerSecond("HAProxy")],
        }
    }

    pub fn title(self, bytes: usize, connections: u32) -> String {
        match self {
            Self::Small => format!("HTTP/1.1 keep-alive, {connections} connections, {bytes} byte bodies"),
            Self::Big => format!("HTTP/1.1 keep-alive, {connections} connections, 100 kB bodies"),
            Self::TlsFull => "TLS 1.3, ECDSA P-256, a full handshake a request, 16 at a time".to_owned(),
            Self::TlsResumed => {
                "TLS 1.3, ECDSA P-256, a handshake resumed by ticket a request, 16 at a time".to_owned()
            }
            Self::H2 => format!("HTTP/2 over TLS, {connections} connections of 10 streams, {bytes} byte bodies"),
            Self::Websocket => format!("WebSocket, {connections} of them, messages of 32 bytes there and back"),
            Self::Routes => format!("HTTP/1.1 keep-alive, {connections} connections, {bytes} byte bodies, many routes"),
            Self::Table => "the route table by itself".to_owned(),
        }
    }

    /// Puts one proxy under load.
    ///
    /// # Errors
    /// The load program failed, or nothing was answered.
    pub fn load(self, loading: &Loading<'_>, address: &str) -> Result<Figures> {
        let Loading { ground, connections, length, .. } = *loading;
        let wrk = wrk::Load { connections, length };
        let figures = match self {
            Self::Small => wrk::run(&ground.members, address, &loading.small, &wrk)?,
            Self::Big => wrk::run(&ground.members, address, &loading.big, &wrk)?,
            Self::Routes => wrk::run(&ground.members, address, &loading.routes, &wrk)?,
            Self::H2 => h2load::run(&ground.members, address, &ground.dir, &h2load::Load { connections, length })?,
            Self::TlsFull | Self::TlsResumed => {
                let certificate = loading.certificate.display().to_string();
                let mut words = vec![address, SECURE_HOST, &certificate];
                words.extend((self == Self::TlsResumed).then_some("--resume"));
                ours(loading, "tlsload", &words)?
            }
            Self::Websocket => {
                let connections = connections.to_string();
                ours(loading, "wsload", &[address, HOST, "/w", "--connections", &connections])?
            }
            Self::Table => anyhow::bail!("nothing is sent in this row"),
        };
        ensure!(figures.done > 0, "nothing was answered, {} errors", figures.errors);
        Ok(figures)
    }
}

/// A load program of tests/bench.
fn ours(loading: &Loading<'_>, name: &str, words: &[&str]) -> Result<Figures> {
    let mut command = loading.ground.members.command(&program(name).to_string_lossy(), words);
    let said = invoke::read(command.arg("--millis").arg(loading.length.as_millis().to_string()))?;
    let printed: Printed = serde_json::from_str(&said).with_context(|| format!("{name} said: {said}"))?;
    Ok(printed.into())
}

impl Bar {
    /// `CPU ≤ 1.3 × bare forwarder: holds (1.21 ×)`.
    pub fn verdict<'s>(self, ours: &Score, peer: impl Fn(&str) -> Option<&'s Score>) -> String {
        let (name, limit, what, of): (_, _, _, fn(&Run) -> f64) = match self {
            Self::Cpu(name, limit) => (name, limit, "CPU ≤", |run| run.cpu_micros),
            Self::P99(name) => (name, 1.0, "p99 ≤", |run| run.figures.p99),
            Self::PerSecond(name) => (name, 1.0, "requests/s ≥", |run| run.figures.per_second),
        };
        let factor = if limit == 1.0 { String::new() } else { format!("{limit} × ") };
        let bar = format!("bar: {what} {factor}{name}");
        let theirs = peer(name).and_then(|score| score.median(of));
        let (Some(theirs), Some(ours)) = (theirs, ours.median(of)) else { return format!("{bar}: not measured") };
        let ratio = ours / theirs;
        let holds = if matches!(self, Self::PerSecond(_)) { ratio >= limit } else { ratio <= limit };
        format!("{bar}: {} ({ratio:.2} ×)", if holds { "holds" } else { "no" })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::figures::{Figures, Run, Score};
    use super::Bar;

    fn score(cpu_micros: f64, per_second: f64) -> Score {
        let figures = Figures { done: 1, per_second, p50: 1.0, p99: 2.0, p999: 3.0, errors: 0 };
        Score { runs: vec![Run { figures, cpu_micros, resident_bytes: 0 }], calls: None }
    }

    #[test]
    fn bars_compare_medians() {
        let (ours, nginx) = (score(12.0, 900.0), score(10.0, 1000.0));
        let peer = |name: &str| (name == "nginx").then_some(&nginx);
        let cases = [
            (Bar::Cpu("nginx", 1.0), "bar: CPU ≤ nginx: no (1.20 ×)"),
            (Bar::Cpu("nginx", 1.3), "bar: CPU ≤ 1.3 × nginx: holds (1.20 ×)"),
            (Bar::P99("nginx"), "bar: p99 ≤ nginx: holds (1.00 ×)"),
            (Bar::PerSecond("nginx"), "bar: requests/s ≥ nginx: no (0.90 ×)"),
            (Bar::PerSecond("HAProxy"), "bar: requests/s ≥ HAProxy: not measured"),
        ];
        for (bar, said) in cases {
            assert_eq!(bar.verdict(&ours, peer), said);
        }
    }
}
