//! Many watchers of one object: each has a connection of its own, and sees every change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bench::kube::{Call, Connection, Server};
use bench::latency::Report;
use bench::start;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use tokio::sync::Barrier;
use tokio::time::{interval, timeout};

use super::seed::WATCHED;

/// Changes come at a steady pace, so that latency is not queueing.
const PACE: Duration = Duration::from_millis(100);
/// For the last change to reach the last watcher.
const PATIENCE: Duration = Duration::from_secs(60);

/// # Errors
/// A watcher was refused or ended, or did not see a change in time.
pub async fn run(server: &Server, watchers: usize, changes: usize) -> Result<Report> {
    let ready = Arc::new(Barrier::new(watchers + 1));
    let mut watching = Vec::new();
    for _ in 0..watchers {
        let connection = server.connect().await?;
        watching.push(tokio::spawn(watch(connection, ready.clone(), changes)));
    }
    // Before any of them fails there is nobody else to release the barrier.
    timeout(PATIENCE, ready.wait()).await.context("the watchers did not all start")?;
    start::signal()?;
    let started = Instant::now();
    let sent = change(server, changes).await?;
    let mut samples = Vec::new();
    for running in watching {
        let seen = timeout(PATIENCE, running).await.context("a watcher waits for a change")???;
        samples.extend(seen.into_iter().zip(&sent).map(|(seen, sent)| seen.duration_since(*sent)));
    }
    Ok(Report::of(samples, started.elapsed()))
}

/// Changes the object at a steady pace; returns when each change was sent.
async fn change(server: &Server, changes: usize) -> Result<Vec<Instant>> {
    let mut connection = server.connect().await?;
    let path = format!("{WATCHED}/watched");
    let mut pace = interval(PACE);
    let mut sent = Vec::new();
    for number in 0..changes {
        pace.tick().await;
        let body = Bytes::from(format!("{{\"data\":{{\"number\":\"{number}-{}\"}}}}", std::process::id()));
        let call = Call { method: Method::PATCH, path: &path, content_type: "application/merge-patch+json", body };
        sent.push(Instant::now());
        connection.exchange(call).await?;
    }
    Ok(sent)
}

/// Returns when each change was seen. An event is a line; the first is the object as it was.
async fn watch(mut connection: Connection, ready: Arc<Barrier>, changes: usize) -> Result<Vec<Instant>> {
    let path = format!("{WATCHED}?watch=1&fieldSelector=metadata.name%3Dwatched");
    let mut body = connection.open(Call::get(&path)).await?.into_body();
    let mut lines = 0;
    let mut seen = Vec::new();
    while seen.len() < changes {
        let frame = body.frame().await.context("the watch ended")??;
        let Some(chunk) = frame.data_ref() else { continue };
        for _ in chunk.iter().filter(|byte| **byte == b'\n') {
            lines += 1;
            if lines == 1 {
                ready.wait().await;
            } else {
                seen.push(Instant::now());
            }
        }
    }
    Ok(seen)
}
