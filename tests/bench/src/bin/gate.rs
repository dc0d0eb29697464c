//! `gate LISTEN ENDPOINT…`: the data plane alone, every host and path to these endpoints. For profiles: no hub, no store.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use federation_types::endpoint::group;
use federation_types::label;
use ingress::snapshot::{IngressClass, IngressObject, Named, ServiceObject, Snapshot};
use ingress::{BuildOptions, IngressConfig, Listen, build};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

fn main() -> Result<()> {
    let mut addresses = std::env::args().skip(1).map(|text| text.parse::<SocketAddr>());
    let listen = addresses.next().context("gate LISTEN ENDPOINT…")??;
    let endpoints = addresses.collect::<Result<Vec<_>, _>>()?;
    let options = BuildOptions { allow_loopback: true, ..BuildOptions::default() };
    let table = build(&snapshot(&endpoints), None, &options);
    let config = IngressConfig { http: vec![Listen::Address(listen)], ..IngressConfig::default() };
    let shutdown = CancellationToken::new();
    let running = ingress::start(config, Arc::new(ArcSwap::from_pointee(table)), shutdown.clone())?;
    println!("{}", running.http[0]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::signal::ctrl_c().await?;
        shutdown.cancel();
        running.join().await;
        anyhow::Ok(())
    })
}

fn snapshot(endpoints: &[SocketAddr]) -> Snapshot {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let ingress = json!({
        "metadata": {"namespace": "n", "name": "i", "creationTimestamp": "1"},
        "spec": {"ingressClassName": "fedgate", "rules": [
            {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}},
        ]},
    });
    let service = json!({"metadata": {"namespace": "n", "name": "web"}, "spec": {"ports": [{"port": 80}]}});
    let slice = |(number, address): (usize, &SocketAddr)| {
        let name = format!("c{number}");
        json!({
            "metadata": {"namespace": "n", "name": format!("web-1.{name}"), "labels": {
                "kubernetes.io/service-name": "web", label::CLUSTER: name, label::HUB: "uid",
            }},
            "addressType": "IPv4",
            "ports": [{"port": address.port()}],
            "endpoints": [{"addresses": [address.ip().to_string()]}],
        })
    };
    let slices: Vec<Value> = endpoints.iter().enumerate().map(slice).collect();
    let class = json!({"metadata": {"name": "fedgate"}, "spec": {"controller": label::INGRESS_CONTROLLER}});
    Snapshot {
        ingresses: vec![Arc::new(IngressObject::read(&ingress))],
        classes: vec![IngressClass::read(&class)],
        services: [(Named::new("n", "web"), Arc::new(ServiceObject::read(&service)))].into(),
        clusters: group(&slices),
        ..Snapshot::default()
    }
}
