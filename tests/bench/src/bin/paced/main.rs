//! `paced ADDRESS HOST`: requests at a fixed rate, whatever becomes of them, each answer checked whole. A connection is
//! kept for the next request; every tenth request takes a new one. It says `ready` after the first answer, goes on until a
//! line comes on its standard input, and prints one line of JSON.

mod exchange;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bench::latency::Report;
use clap::Parser;
use exchange::{Connector, Stream, exchange};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};

/// A connection is not kept for every request: new ones have to be accepted, too.
const FRESH_EVERY: u64 = 10;
/// Failures that are told in full.
const TOLD: usize = 10;
/// What is still under way at the end is waited for that long.
const LAST: Duration = Duration::from_secs(90);

#[derive(Parser)]
struct Arguments {
    address: SocketAddr,
    host: String,
    /// Requests a second
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// Over TLS, whatever the certificate
    #[arg(long)]
    tls: bool,
    /// Every tenth request is a POST with a body, which must not be sent twice: its failures are told apart
    #[arg(long)]
    posts: bool,
    /// The answer has to name the path that was asked for
    #[arg(long)]
    echo: bool,
}

/// What it came to.
#[derive(Serialize)]
struct Outcome {
    #[serde(flatten)]
    report: Report,
    /// Of `errors`, those of POSTs.
    posts_failed: usize,
    /// The first failures, with the time in milliseconds since the start.
    failures: Vec<String>,
    /// Different certificates that were shown.
    certificates: usize,
}

/// Shared by the tasks of one thread.
struct Course {
    arguments: Arguments,
    connector: Connector,
    started: Instant,
    idle: RefCell<Vec<Stream>>,
    tally: RefCell<Tally>,
}

#[derive(Default)]
struct Tally {
    samples: Vec<Duration>,
    errors: usize,
    posts_failed: usize,
    failures: Vec<String>,
    certificates: BTreeSet<Vec<u8>>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = LocalSet::new().block_on(&runtime, run(arguments))?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

/// Comes when a line has come on standard input, or its end.
fn stop_signal() -> oneshot::Receiver<()> {
    let (told, stop) = oneshot::channel();
    std::thread::spawn(move || {
        let read = std::io::stdin().read_line(&mut String::new());
        // Nobody waits any more when the requests have ended by themselves.
        drop(read.map(|_| told.send(())));
    });
    stop
}

async fn run(arguments: Arguments) -> Result<Outcome> {
    let connector = Connector::new(arguments.address, &arguments.host, arguments.tls)?;
    let interval = Duration::from_secs(1) / u32::try_from(arguments.rate).context("--rate")?;
    let course = Rc::new(Course {
        arguments,
        connector,
        started: Instant::now(),
        idle: RefCell::default(),
        tally: RefCell::default(),
    });
    course.clone().request(0, Instant::now()).await;
    if let Some(failure) = course.tally.borrow().failures.first() {
        anyhow::bail!("the first request failed: {failure}");
    }
    println!("ready");
    std::io::stdout().flush()?;
    let mut told = stop_signal();
    let started = Instant::now();
    let mut under_way = JoinSet::new();
    for number in 1.. {
        let due = started + interval * number;
        tokio::select! {
            ended = &mut told => {
                ended.context("standard input")?;
                break;
            }
            () = tokio::time::sleep_until(due.into()) => {}
        }
        under_way.spawn_local(course.clone().request(u64::from(number), due));
        while under_way.try_join_next().is_some() {}
    }
    let all = async { while under_way.join_next().await.is_some() {} };
    let ended = tokio::time::timeout(LAST, all).await.is_ok();
    let tally = course.tally.take();
    let mut failures = tally.failures;
    let hanging = if ended { 0 } else { under_way.len() };
    if hanging > 0 {
        failures.push(format!("{hanging} requests were not answered within {LAST:?} after the end"));
    }
    let report = Report { errors: tally.errors + hanging, ..Report::of(tally.samples, started.elapsed()) };
    Ok(Outcome { report, posts_failed: tally.posts_failed, failures, certificates: tally.certificates.len() })
}

impl Course {
    async fn request(self: Rc<Self>, number: u64, due: Instant) {
        let is_post = self.arguments.posts && number % FRESH_EVERY == 5;
        let asked = exchange::Asked { host: self.arguments.host.clone(), number, is_post, echo: self.arguments.echo };
        match self.answered(&asked).await {
            Ok(()) => self.tally.borrow_mut().samples.push(due.elapsed()),
            Err(error) => {
                let at = due.duration_since(self.started).as_millis();
                let mut tally = self.tally.borrow_mut();
                tally.errors += 1;
                tally.posts_failed += usize::from(is_post);
                if tally.failures.len() < TOLD {
                    let verb = if is_post { "POST" } else { "GET" };
                    tally.failures.push(format!("{at} ms, {verb} after {} ms: {error:#}", due.elapsed().as_millis()));
                }
            }
        }
    }

    async fn answered(&self, asked: &exchange::Asked) -> Result<()> {
        let kept = || std::iter::from_fn(|| self.idle.borrow_mut().pop()).find_map(exchange::alive);
        let fresh = asked.number.is_multiple_of(FRESH_EVERY);
        let mut stream = match if fresh { None } else { kept() } {
            Some(stream) => stream,
            None => {
                let (stream, certificate) = self.connector.connect().await.context("connect")?;
                self.tally.borrow_mut().certificates.extend(certificate);
                stream
            }
        };
        let stays = exchange(&mut stream, asked).await?;
        if stays && !fresh {
            self.idle.borrow_mut().push(stream);
        }
        Ok(())
    }
}
