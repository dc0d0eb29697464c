//! `tlsload ADDRESS NAME CERTIFICATE`: a new TLS 1.3 connection for every request, with or without a ticket of an earlier
//! one. It prints one line of JSON; what is not answered with 200, and what should have resumed and did not, is an error.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::latency::Report;
use bench::pinned;
use clap::Parser;
use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[derive(Parser)]
struct Arguments {
    address: SocketAddr,
    /// Asked for by SNI and by Host
    name: String,
    /// The certificate that is expected, as PEM
    certificate: PathBuf,
    /// Connections at a time
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// How long to go on, in milliseconds
    #[arg(long, default_value_t = 3000)]
    millis: u64,
    /// Come back with the tickets of earlier connections
    #[arg(long)]
    resume: bool,
}

/// Of one task.
#[derive(Default)]
struct Tally {
    samples: Vec<Duration>,
    errors: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(run(Arc::new(arguments)))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn run(arguments: Arc<Arguments>) -> Result<Report> {
    let started = Instant::now();
    let end = started + Duration::from_millis(arguments.millis);
    let tasks: Vec<_> = (0..arguments.connections).map(|_| tokio::spawn(come_back(arguments.clone(), end))).collect();
    let mut all = Tally::default();
    for task in tasks {
        let tally = task.await??;
        all.samples.extend(tally.samples);
        all.errors += tally.errors;
    }
    let elapsed = started.elapsed();
    Ok(Report { errors: all.errors, ..Report::of(all.samples, elapsed) })
}

async fn come_back(arguments: Arc<Arguments>, end: Instant) -> Result<Tally> {
    let mut tls = pinned::client(&arguments.certificate)?;
    tls.resumption = match arguments.resume {
        true => Resumption::in_memory_sessions(8),
        false => Resumption::disabled(),
    };
    let tls = Arc::new(tls);
    if arguments.resume {
        ask(&arguments, &tls).await.context("the connection that brings the first ticket")?;
    }
    let mut tally = Tally::default();
    while Instant::now() < end {
        let began = Instant::now();
        match ask(&arguments, &tls).await {
            Ok(kind) if (kind == HandshakeKind::Resumed) == arguments.resume => tally.samples.push(began.elapsed()),
            Ok(_) => tally.errors += 1,
            Err(error) => {
                if tally.errors == 0 {
                    eprintln!("{error:#}");
                }
                tally.errors += 1;
                // Nobody there fails at once: no busy loop.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    Ok(tally)
}

async fn ask(arguments: &Arguments, tls: &Arc<ClientConfig>) -> Result<HandshakeKind> {
    let stream = TcpStream::connect(arguments.address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(arguments.name.clone())?;
    let mut stream = TlsConnector::from(tls.clone()).connect(name, stream).await?;
    let head = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", arguments.name);
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::with_capacity(1024);
    stream.read_to_end(&mut answer).await?;
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "answered with {}", String::from_utf8_lossy(&answer));
    stream.get_ref().1.handshake_kind().context("a handshake that is over has a kind")
}
