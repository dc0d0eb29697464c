//! `wsload ADDRESS HOST PATH`: WebSockets on which a short masked message goes out when the one before has come back.
//! It prints one line of JSON; one sample a message.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench::latency::Report;
use bench::websocket::{self, KEY};
use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What is said.
const MESSAGE: &[u8] = b"a message of thirty-two letters.";

#[derive(Parser)]
struct Arguments {
    address: SocketAddr,
    host: String,
    path: String,
    /// WebSockets
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long to go on, in milliseconds
    #[arg(long, default_value_t = 3000)]
    millis: u64,
}

fn main() -> Result<()> {
    let arguments = Arc::new(Arguments::parse());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(run(arguments))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn run(arguments: Arc<Arguments>) -> Result<Report> {
    let mut open = Vec::new();
    for _ in 0..arguments.connections {
        open.push(connect(&arguments).await?);
    }
    let started = Instant::now();
    let end = started + Duration::from_millis(arguments.millis);
    let tasks: Vec<_> = open.into_iter().map(|stream| tokio::spawn(talk(stream, end))).collect();
    let (mut samples, mut errors) = (Vec::new(), 0);
    for task in tasks {
        let (theirs, whole) = task.await?;
        samples.extend(theirs);
        errors += usize::from(!whole);
    }
    let elapsed = started.elapsed();
    Ok(Report { errors, ..Report::of(samples, elapsed) })
}

async fn connect(arguments: &Arguments) -> Result<TcpStream> {
    let Arguments { address, host, path, .. } = arguments;
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
    }
    ensure!(answer.starts_with(b"HTTP/1.1 101 "), "answered with {}", String::from_utf8_lossy(&answer));
    Ok(stream)
}

/// How long each message took; false if the WebSocket broke.
async fn talk(mut stream: TcpStream, end: Instant) -> (Vec<Duration>, bool) {
    let (said, expected) = (websocket::masked(MESSAGE), websocket::plain(MESSAGE));
    let (mut samples, mut heard) = (Vec::new(), vec![0; expected.len()]);
    while Instant::now() < end {
        let began = Instant::now();
        let sent = stream.write_all(&said).await.is_ok();
        if !sent || stream.read_exact(&mut heard).await.is_err() || heard != expected {
            return (samples, false);
        }
        samples.push(began.elapsed());
    }
    (samples, true)
}
