//! fedgate as a contestant, its whole way: Deployment, Service, Secret and Ingresses at the hub, pods in a real member.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use super::super::ground::Ground;
use super::super::peers::Site;
use super::super::site::{HOST, SECURE_HOST};
use super::{MEMBER, ORIGIN_PORT};
use crate::e2e::shop::items;
use crate::invoke;

const EVERYWHERE: &str = "fedgate.dev/clusters: '*'";
const BACKEND: &str = "backend: {service: {name: web, port: {name: http}}}";

/// Pods that the peers forward to, made directly in the member; as ADDRESS:PORT.
///
/// # Errors
/// The member did not run them.
pub fn pods(ground: &Ground) -> Result<Vec<String>> {
    let manifest = ground.dir.join("direct.yaml");
    fs::write(&manifest, deployment("direct", ""))?;
    let kubectl = |line: &str| invoke::read(&mut ground.members.kubectl(MEMBER, line.split_whitespace()));
    kubectl("create namespace bench-direct")?;
    kubectl(&format!("apply -n bench-direct -f {}", manifest.display()))?;
    kubectl("rollout status -n bench-direct deployment/direct --timeout=60s")?;
    let pods: Value = serde_json::from_str(&kubectl("get pods -n bench-direct -o json")?)?;
    items(&pods)?
        .iter()
        .map(|pod| {
            let address = pod["status"]["podIP"].as_str().context("a Ready pod has an address")?;
            Ok(format!("{address}:{ORIGIN_PORT}"))
        })
        .collect()
}

fn deployment(name: &str, annotations: &str) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}, annotations: {{{annotations}}}}}, spec: \
         {{replicas: 2, selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, \
         spec: {{containers: [{{name: {name}, image: 'registry.example/{name}:1', \
         ports: [{{name: http, containerPort: {ORIGIN_PORT}}}]}}]}}}}}}}}\n"
    )
}

fn ingress(name: &str, host: &str, paths: &[String], rest: &str) -> String {
    let paths: Vec<String> =
        paths.iter().map(|path| format!("{{path: {path}, pathType: Prefix, {BACKEND}}}")).collect();
    format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: {name}}}, spec: \
         {{ingressClassName: fedgate, rules: [{{host: {host}, http: {{paths: [{}]}}}}]{rest}}}}}\n",
        paths.join(", ")
    )
}

/// Starts the hub and puts what is served into it; returns its process.
///
/// # Errors
/// It did not start or refused something.
pub fn start(ground: &mut Ground, site: &Site) -> Result<u32> {
    let log = access_log(ground).display().to_string();
    let words = ["--ingress-access-log", &log, "--ingress-access-log-format", "combined"];
    ground.hub.tell(words.map(str::to_owned));
    ground.start_hub()?;
    let service = format!(
        "---\n{{apiVersion: v1, kind: Service, metadata: {{name: web, annotations: {{{EVERYWHERE}}}}}, spec: \
         {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: http}}]}}}}\n"
    );
    let root = ["/".to_owned()];
    let tls = format!(", tls: [{{hosts: [{SECURE_HOST}], secretName: web}}]");
    let manifest = ground.dir.join("fedgate.yaml");
    let all = deployment("web", EVERYWHERE) + &service + &ingress("web", HOST, &root, "");
    fs::write(&manifest, all + &ingress("secure", SECURE_HOST, &root, &tls))?;
    let (certificate, key) = (site.certificate.display(), site.key.display());
    hub(ground, &format!("create secret tls web --cert={certificate} --key={key}"))?;
    hub(ground, &format!("apply -f {}", manifest.display()))?;
    ground.hub.pid().context("the hub does not run")
}

/// A line a request, in the words of nginx.
pub fn access_log(ground: &Ground) -> PathBuf {
    ground.dir.join("fedgate-access.log")
}

/// Adds the many routes, an Ingress a host.
///
/// # Errors
/// The hub refused one.
pub fn add_routes(ground: &Ground, site: &Site) -> Result<()> {
    let mut all = String::new();
    for (number, (host, paths)) in site.routes.iter().enumerate() {
        write!(all, "{}", ingress(&format!("many-{number}"), host, paths, "")).expect("a String takes everything");
    }
    let manifest = ground.dir.join("routes.yaml");
    fs::write(&manifest, all)?;
    hub(ground, &format!("create -f {}", manifest.display()))
}

fn hub(ground: &Ground, line: &str) -> Result<()> {
    invoke::read(&mut ground.hub.kubectl(&ground.members, line.split_whitespace())).map(|_| ())
}
