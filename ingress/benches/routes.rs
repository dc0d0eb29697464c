//! `routes HOSTS PATHS`: that many hosts with that many paths each, compiled and looked up in this process.
//! It prints one line of JSON; who runs it decides what is enough.

use std::env;
use std::fs;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use federation_types::endpoint::group;
use federation_types::label;
use ingress::snapshot::{IngressClass, IngressObject, ServiceObject};
use ingress::{BuildOptions, RouteTable, Snapshot, build};
use serde_json::{Value, json};

/// Services of an ordinary cluster; every route leads to one of them.
const SERVICES: usize = 100;
const ENDPOINTS: usize = 3;
const BUILDS: usize = 5;
const LOOKUPS: usize = 2_000_000;
const PAGE_BYTES: usize = 4096;

fn main() {
    // `cargo bench` adds words of its own.
    let numbers: Vec<usize> = env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [hosts, paths] = numbers[..] else { panic!("usage: routes HOSTS PATHS") };
    let snapshot = snapshot(hosts, paths);
    let options = BuildOptions::default();
    let mut table = build(&snapshot, None, &options);
    let mut millis = Vec::new();
    for _ in 0..BUILDS {
        let began = Instant::now();
        let next = build(&snapshot, Some(&table), &options);
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
        table = next;
    }
    millis.sort_by(f64::total_cmp);
    let resident = resident();
    let nanos = lookups(&table, hosts, paths);
    let compile = millis[BUILDS / 2];
    println!("{}", json!({"compile_ms": compile, "lookup_ns": nanos, "resident_bytes": resident}));
    drop(black_box(snapshot));
}

/// Nanoseconds a lookup, over all routes, in an order that no cache line foresees.
fn lookups(table: &RouteTable, hosts: usize, paths: usize) -> f64 {
    const STRIDE: usize = 7919;
    let all: Vec<(String, String)> =
        (0..hosts * paths).map(|number| (host(number / paths), format!("{}/item", path(number % paths)))).collect();
    for (host, path) in &all {
        assert!(table.find(host, path).is_some(), "{host}{path} has no route");
    }
    let mut at = 0;
    let began = Instant::now();
    for _ in 0..LOOKUPS {
        at = (at + STRIDE) % all.len();
        let (host, path) = &all[at];
        black_box(table.find(host, path));
    }
    began.elapsed().as_secs_f64() * 1e9 / LOOKUPS as f64
}

fn host(number: usize) -> String {
    format!("shop-{number}.example.com")
}

fn path(number: usize) -> String {
    format!("/api/v1/part-{number}")
}

/// An Ingress a host; the objects as they were read, as the gateway keeps them.
fn snapshot(hosts: usize, paths: usize) -> Snapshot {
    let ingress = |number: usize| {
        let backend = |at: usize| {
            let name = format!("svc-{}", (number * paths + at) % SERVICES);
            json!({"service": {"name": name, "port": {"number": 80}}})
        };
        let paths: Vec<Value> =
            (0..paths).map(|at| json!({"path": path(at), "pathType": "Prefix", "backend": backend(at)})).collect();
        Arc::new(IngressObject::read(&json!({
            "metadata": {"namespace": "n", "name": format!("i{number}"), "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"ingressClassName": "fedgate", "rules": [{"host": host(number), "http": {"paths": paths}}]},
        })))
    };
    let services = (0..SERVICES).map(|number| {
        let metadata = json!({"namespace": "n", "name": format!("svc-{number}")});
        let read = ServiceObject::read(&json!({"metadata": metadata, "spec": {"ports": [{"port": 80}]}}));
        (read.key.clone(), Arc::new(read))
    });
    let slices: Vec<Value> = (0..SERVICES).map(slice).collect();
    Snapshot {
        ingresses: (0..hosts).map(ingress).collect(),
        classes: vec![IngressClass {
            uid: String::new(),
            name: "fedgate".into(),
            controller: label::INGRESS_CONTROLLER.into(),
            default: false,
            parameters: None,
        }],
        services: services.collect(),
        clusters: group(&slices),
        ..Snapshot::default()
    }
}

fn slice(number: usize) -> Value {
    let endpoints: Vec<Value> = (0..ENDPOINTS)
        .map(|at| {
            let address = SocketAddr::from(([10, 1, u8::try_from(number).expect("below 256"), 1 + at as u8], 8080));
            json!({"addresses": [address.ip().to_string()]})
        })
        .collect();
    json!({
        "metadata": {"namespace": "n", "name": format!("svc-{number}-1.east"), "labels": {
            "kubernetes.io/service-name": format!("svc-{number}"), label::CLUSTER: "east", label::HUB: "uid",
        }},
        "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": endpoints,
    })
}

fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("proc_pid_statm(5)");
    pages * PAGE_BYTES
}
