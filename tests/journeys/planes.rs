//! A data plane in a process of its own: it serves whether the hub is there or not, also after a start.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use fedgate::config::{Role, ServeConfig, ServeFlags};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::hub::HubProcess;
use testkit::wait::{SOON, holds};
use testkit::{Federation, FederationConfig, eventually, same, web};

use crate::shop;

/// What `fedgate serve --role ingress` is told; endpoints are on this machine's loopback.
fn ingress_alone(data_dir: &Path, hub: &Path) -> ServeConfig {
    let any = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let flags = ServeFlags {
        data_dir: Some(data_dir.to_owned()),
        role: vec![Role::Ingress],
        hub_kubeconfig: Some(hub.to_owned()),
        ingress_addr: any,
        ingress_tls_addr: any,
        admin_addr: any,
        ingress_workers: Some(1),
        ingress_access_log: Some(data_dir.join("access.log").to_string_lossy().into_owned()),
        ..ServeFlags::default()
    };
    let mut config = flags.resolve(Ipv4Addr::LOCALHOST).expect("the flags make sense");
    config.playground = true;
    config
}

async fn answers(plane: &HubProcess, host: &str) -> Result<(), String> {
    same("code", web::get(&plane.server().addresses().ingress, host, "/").await?.code, 200)
}

async fn is_ready(plane: &HubProcess) -> Result<(), String> {
    same("readyz", web::get(&plane.server().addresses().admin, "admin", "/readyz").await?.code, 200)
}

/// Ingress: 73
#[tokio::test]
async fn an_ingress_of_its_own_outlives_the_hub_and_starts_without_it() {
    let mut federation = Federation::start(FederationConfig { demo: true, ..FederationConfig::default() }).await;
    eventually("the demo runs", SOON, async || shop::rolled_out(federation.hub(), "web", 6).await).await;
    let home = TempDir::with_prefix("fedgate-").expect("a temporary directory");
    let config = ingress_alone(home.path(), &federation.kubeconfig());
    let plane = HubProcess::start(config.clone()).await.expect("the ingress starts alone");
    assert!(plane.server().addresses().api.is_empty(), "it serves no API");
    eventually("it answers", SOON, async || answers(&plane, "web.localhost").await).await;
    eventually("it is ready", SOON, async || is_ready(&plane).await).await;

    federation.stop_hub().await;
    for _ in 0..100 {
        answers(&plane, "web.localhost").await.expect("the last routes are served without the hub");
    }
    plane.drain().await;
    let plane = HubProcess::start(config).await.expect("the ingress starts without the hub");
    eventually("the last routes are served", SOON, async || answers(&plane, "web.localhost").await).await;
    is_ready(&plane).await.expect("who serves is ready");
    let nobody = web::get(&plane.server().addresses().ingress, "nobody.localhost", "/").await.expect("asked");
    assert_eq!(nobody.code, 404);

    federation.start_hub().await;
    federation.hub().apply(&ingress("late", "late.localhost")).await;
    eventually("the hub is followed again", SOON, async || answers(&plane, "late.localhost").await).await;
    let log = home.path().join("access.log");
    eventually("requests are logged", SOON, async || {
        let text = std::fs::read_to_string(&log).map_err(|e| e.to_string())?;
        holds(text.contains(r#""host":"late.localhost""#), || format!("{} bytes", text.len()))
    })
    .await;
    plane.drain().await;
    federation.stop().await;
}

fn ingress(name: &str, host: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"namespace": "default", "name": name},
        "spec": {"ingressClassName": "fedgate", "rules": [{"host": host, "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}},
        ]}}]},
    })
}
