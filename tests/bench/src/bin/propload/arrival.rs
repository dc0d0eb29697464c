//! When each object has arrived in every member, seen through one watch a member.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bench::kube::{Call, Server};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

/// Without any arrival for this long, the rest will not come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Sightings that wait to be counted.
const QUEUE: usize = 10_000;

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
}

pub struct Arrivals {
    seen: Receiver<Result<(usize, Instant)>>,
    members: usize,
    objects: usize,
}

/// # Errors
/// A member refuses the watch.
pub async fn watch_all(members: &[Server], namespace: &str, objects: usize) -> Result<Arrivals> {
    let (report, seen) = channel(QUEUE);
    for member in members {
        let mut connection = member.connect().await?;
        let path = format!("/api/v1/namespaces/{namespace}/configmaps?watch=1");
        let body = connection.open(Call::get(&path)).await?.into_body();
        let report = report.clone();
        tokio::spawn(async move {
            // The connection ends with its last owner.
            let _open = connection;
            if let Err(error) = read(body, &report).await {
                // Nobody listens any more once all have arrived.
                drop(report.send(Err(error)).await);
            }
        });
    }
    Ok(Arrivals { seen, members: members.len(), objects })
}

async fn read(mut body: Incoming, report: &Sender<Result<(usize, Instant)>>) -> Result<()> {
    let mut pending = Vec::new();
    loop {
        let frame = body.frame().await.context("the watch ended")??;
        let at = Instant::now();
        pending.extend_from_slice(frame.data_ref().map_or(&[][..], |chunk| &chunk[..]));
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let event: Event = serde_json::from_slice(&line).context("a watch event")?;
            if event.kind == "ERROR" {
                bail!("the watch failed: {}", String::from_utf8_lossy(&line));
            }
            let number = event.object.metadata.name.strip_prefix("p-").map(str::parse);
            if let (Some(number), "ADDED") = (number, &*event.kind) {
                report.send(Ok((number?, at))).await?;
            }
        }
    }
}

impl Arrivals {
    /// When each object had reached the last member.
    ///
    /// # Errors
    /// A watch failed, or arrivals ceased before all had come.
    pub async fn all(&mut self) -> Result<Vec<Instant>> {
        let mut last: Vec<Option<Instant>> = vec![None; self.objects];
        let total = self.objects * self.members;
        for count in 0..total {
            let seen = timeout(PATIENCE, self.seen.recv()).await;
            let seen = seen.with_context(|| format!("{count} of {total} arrived, then none for {PATIENCE:?}"))?;
            let (number, at) = seen.context("all watches ended")??;
            let slot = last.get_mut(number).with_context(|| format!("p-{number} is not ours"))?;
            *slot = Some(slot.map_or(at, |earlier| earlier.max(at)));
        }
        last.into_iter().collect::<Option<Vec<_>>>().context("an object was seen twice in one member")
    }
}
