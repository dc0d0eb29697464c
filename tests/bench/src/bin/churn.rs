//! `churn`: edits of Ingresses at a fixed rate, each another path and other annotations, while one more Ingress is edited
//! and asked through the gateway: how long until it goes by its new path, and no more by the old one. It prints one
//! line of JSON; the times are from the acknowledged write to the first right answer.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bench::kube::{Call, Connection, Server};
use bench::latency::Report;
use clap::Parser;
use hyper::Method;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
const PROBE: &str = "probe";
/// Paths of each Ingress that stands.
const ROUTES_OF_ONE: u32 = 100;
/// Between two looks at the probe.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// A change that has not arrived by then never will.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);
const TOLD: usize = 10;

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The gateway's HTTP address
    #[arg(long)]
    gateway: SocketAddr,
    /// Edits a second
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Ingresses that are edited, one after the other
    #[arg(long, default_value_t = 200)]
    ingresses: u32,
    /// Routes that stand besides those, many in each Ingress
    #[arg(long, default_value_t = 5000)]
    routes: u32,
    /// Edits under way at once
    #[arg(long, default_value_t = 32)]
    writers: u32,
}

#[derive(Serialize)]
struct Outcome {
    /// Of the probe.
    #[serde(flatten)]
    report: Report,
    edits: usize,
    failures: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arc::new(Arguments::parse());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(run(arguments))?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

async fn run(arguments: Arc<Arguments>) -> Result<Outcome> {
    let server = Server::from_kubeconfig(&arguments.kubeconfig)?;
    let mut first = server.connect().await?;
    for number in 0..arguments.ingresses {
        let name = format!("churn-{number}");
        create(&mut first, &name, spec(&name, 0)).await?;
    }
    for number in 0..arguments.routes.div_ceil(ROUTES_OF_ONE) {
        let name = format!("standing-{number}");
        create(&mut first, &name, standing(&name)).await?;
    }
    create(&mut first, PROBE, spec(PROBE, 0)).await?;
    let mut open = Vec::new();
    for _ in 0..arguments.writers {
        open.push(server.connect().await?);
    }
    let started = Instant::now();
    let writers: Vec<_> = (0..)
        .zip(open)
        .map(|(number, connection)| tokio::spawn(write(arguments.clone(), connection, number, started)))
        .collect();
    let probe = tokio::spawn(probe(arguments.clone(), first, started));
    let (mut edits, mut failures) = (0, Vec::new());
    for writer in writers {
        let (done, failed) = writer.await?;
        edits += done;
        failures.extend(failed.map(|error| format!("edit: {error:#}")));
    }
    let (samples, failed) = probe.await?;
    failures.extend(failed.map(|error| format!("probe {}: {error:#}", samples.len() + 1)));
    let errors = failures.len();
    failures.truncate(TOLD);
    Ok(Outcome { report: Report { errors, ..Report::of(samples, started.elapsed()) }, edits, failures })
}

fn spec(name: &str, edit: u32) -> Value {
    let path = if name == PROBE { format!("/v{edit}") } else { format!("/edit{edit}/(a|b{edit})") };
    let kind = if name == PROBE { "Prefix" } else { "ImplementationSpecific" };
    rule(name, &[path], kind)
}

/// One of the many that nobody edits.
fn standing(name: &str) -> Value {
    let paths: Vec<_> = (0..ROUTES_OF_ONE).map(|number| format!("/standing/{number}")).collect();
    rule(name, &paths, "Prefix")
}

fn rule(name: &str, paths: &[String], kind: &str) -> Value {
    let backend = json!({"service": {"name": "web", "port": {"name": "http"}}});
    let path = |path: &String| json!({"path": path, "pathType": kind, "backend": backend});
    let paths: Vec<_> = paths.iter().map(path).collect();
    json!({"ingressClassName": "fedgate", "rules": [{"host": format!("{name}.example"), "http": {"paths": paths}}]})
}

/// Every third has no annotation: the keys of the others go again.
fn annotations(edit: u32) -> Value {
    let (pattern, rate) = ("nginx.ingress.kubernetes.io/use-regex", "nginx.ingress.kubernetes.io/limit-rps");
    match edit % 3 {
        0 => json!({pattern: "true", rate: null}),
        1 => json!({pattern: null, rate: format!("{}", edit % 100 + 1)}),
        _ => json!({pattern: null, rate: null}),
    }
}

/// Creates an Ingress, or takes the one of an earlier run.
async fn create(connection: &mut Connection, name: &str, spec: Value) -> Result<()> {
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name}, "spec": spec,
    });
    let path = format!("{INGRESSES}/{name}?fieldManager=churn&force=true");
    let body = serde_json::to_vec(&object)?.into();
    let call = Call { method: Method::PATCH, path: &path, content_type: "application/apply-patch+yaml", body };
    connection.exchange(call).await.map(|_| ())
}

async fn edit(connection: &mut Connection, name: &str, edit: u32) -> Result<()> {
    let mut object = json!({"spec": spec(name, edit)});
    if name != PROBE {
        object["metadata"] = json!({"annotations": annotations(edit)});
    }
    let (path, body) = (format!("{INGRESSES}/{name}"), serde_json::to_vec(&object)?.into());
    let call = Call { method: Method::PATCH, path: &path, content_type: "application/merge-patch+json", body };
    connection.exchange(call).await.map(|_| ())
}

/// Every so many-th edit, each when it is due or as soon as the one before is done.
async fn write(
    arguments: Arc<Arguments>,
    mut connection: Connection,
    writer: u32,
    started: Instant,
) -> (usize, Option<anyhow::Error>) {
    let interval = Duration::from_secs(1) / arguments.rate;
    let mut done = 0;
    let all = arguments.rate * arguments.seconds;
    for number in (writer..all).step_by(arguments.writers as usize) {
        tokio::time::sleep_until((started + interval * number).into()).await;
        // Behind its time the hub is: what it has not done by the end is not done.
        if started.elapsed() >= Duration::from_secs(arguments.seconds.into()) {
            break;
        }
        let name = format!("churn-{}", number % arguments.ingresses);
        if let Err(error) = edit(&mut connection, &name, number).await {
            return (done, Some(error));
        }
        done += 1;
    }
    (done, None)
}

async fn probe(
    arguments: Arc<Arguments>,
    mut hub: Connection,
    started: Instant,
) -> (Vec<Duration>, Option<anyhow::Error>) {
    let mut samples = Vec::new();
    for number in 1.. {
        if started.elapsed() >= Duration::from_secs(arguments.seconds.into()) {
            break;
        }
        match arrival(&arguments, &mut hub, number).await {
            Ok(took) => samples.push(took),
            Err(error) => return (samples, Some(error)),
        }
    }
    (samples, None)
}

async fn arrival(arguments: &Arguments, hub: &mut Connection, number: u32) -> Result<Duration> {
    let mut gateway = TcpStream::connect(arguments.gateway).await?;
    gateway.set_nodelay(true)?;
    edit(hub, PROBE, number).await?;
    let acknowledged = Instant::now();
    while status(&mut gateway, &format!("/v{number}")).await? != 200 {
        if acknowledged.elapsed() > ARRIVES_WITHIN {
            bail!("not there within {ARRIVES_WITHIN:?}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let took = acknowledged.elapsed();
    let old = status(&mut gateway, &format!("/v{}", number - 1)).await?;
    ensure!(old == 404, "the path of the edit before is answered with {old}");
    Ok(took)
}

async fn status(gateway: &mut TcpStream, path: &str) -> Result<u16> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {PROBE}.example\r\n\r\n");
    gateway.write_all(head.as_bytes()).await?;
    let mut come = Vec::new();
    while !come.ends_with(b"\r\n\r\n") {
        come.push(gateway.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&come).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).context("no length")?;
    let mut body = vec![0; length.trim().parse().context("the length")?];
    gateway.read_exact(&mut body).await?;
    head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).context("no status")
}
