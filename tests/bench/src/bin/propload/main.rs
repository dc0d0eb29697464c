//! `propload`: applies ConfigMaps at a hub, or straight to its members, and sees them arrive in
//! every member through watches of its own. Prints one line of JSON, a sample an object.

mod arrival;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::kube::{Call, Connection, Server};
use bench::latency::Report;
use bench::start;
use bytes::Bytes;
use clap::Parser;
use futures_util::future::try_join_all;
use hyper::Method;
use tokio::time::sleep_until;

#[derive(Parser)]
struct Arguments {
    /// Kubeconfig of a member; once for each
    #[arg(long, required = true)]
    member: Vec<PathBuf>,
    /// Kubeconfig of the hub; without it the objects go straight to the members
    #[arg(long)]
    hub: Option<PathBuf>,
    #[arg(long)]
    namespace: String,
    #[arg(long)]
    objects: usize,
    /// Objects a second; 0: as fast as they are accepted
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// Writers to each server
    #[arg(long, default_value_t = 8)]
    writers: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("{}", serde_json::to_string(&runtime.block_on(run(arguments))?)?);
    Ok(())
}

async fn run(arguments: Arguments) -> Result<Report> {
    let members = arguments.member.iter().map(|path| Server::from_kubeconfig(path)).collect::<Result<Vec<_>>>()?;
    let hub = arguments.hub.as_deref().map(Server::from_kubeconfig).transpose()?;
    let targets = hub.as_ref().map_or_else(|| members.clone(), |hub| vec![hub.clone()]);
    for target in &targets {
        create_namespace(target, &arguments.namespace).await?;
    }
    let mut arrivals = arrival::watch_all(&members, &arguments.namespace, arguments.objects).await?;
    let mut writers = Vec::new();
    for _ in 0..arguments.writers {
        writers.push(try_join_all(targets.iter().map(Server::connect)).await?);
    }
    start::signal()?;
    let started = Instant::now();
    let plan = Arc::new(Plan { placed: hub.is_some(), started, next: AtomicUsize::new(0), arguments });
    let writing: Vec<_> = writers.into_iter().map(|targets| tokio::spawn(write(targets, plan.clone()))).collect();
    let mut sent = vec![None::<Instant>; plan.arguments.objects];
    for running in writing {
        for (number, at) in running.await?? {
            sent[number] = Some(at);
        }
    }
    let arrived = arrivals.all().await?;
    let elapsed = arrived.iter().max().map_or(Duration::ZERO, |last| last.duration_since(started));
    let sent = sent.into_iter().collect::<Option<Vec<_>>>().context("an object was never sent")?;
    let samples = arrived.iter().zip(&sent).map(|(arrived, sent)| arrived.duration_since(*sent)).collect();
    Ok(Report::of(samples, elapsed))
}

struct Plan {
    placed: bool,
    started: Instant,
    next: AtomicUsize,
    arguments: Arguments,
}

/// Takes one object after the other and applies it at every target at once.
async fn write(mut targets: Vec<Connection>, plan: Arc<Plan>) -> Result<Vec<(usize, Instant)>> {
    let mut sent = Vec::new();
    let Arguments { objects, rate, namespace, .. } = &plan.arguments;
    loop {
        let number = plan.next.fetch_add(1, Ordering::Relaxed);
        if number >= *objects {
            return Ok(sent);
        }
        if *rate > 0 {
            let due = Duration::from_secs_f64(number as f64 / f64::from(*rate));
            sleep_until((plan.started + due).into()).await;
        }
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/p-{number}?fieldManager=bench&force=true");
        let body = Bytes::from(config_map(namespace, number, plan.placed));
        sent.push((number, Instant::now()));
        let apply = |target| exchange(target, &path, body.clone());
        try_join_all(targets.iter_mut().map(apply)).await?;
    }
}

async fn exchange(target: &mut Connection, path: &str, body: Bytes) -> Result<usize> {
    target.exchange(Call { method: Method::PATCH, path, content_type: "application/apply-patch+yaml", body }).await
}

async fn create_namespace(server: &Server, name: &str) -> Result<()> {
    let body = format!("{{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{{\"name\":\"{name}\"}}}}");
    let path = "/api/v1/namespaces";
    let call = Call { method: Method::POST, path, content_type: "application/json", body: Bytes::from(body) };
    ensure!(server.connect().await?.exchange(call).await? > 0, "an empty answer to {path}");
    Ok(())
}

fn config_map(namespace: &str, number: usize, placed: bool) -> String {
    let annotations = if placed { "\"fedgate.dev/clusters\":\"*\"" } else { "" };
    format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"p-{number}\",\"namespace\":\"{namespace}\",\
         \"annotations\":{{{annotations}}}}},\"data\":{{\"number\":\"{number}\"}}}}"
    )
}
