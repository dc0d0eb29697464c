//! Where a destination is: a name of the network, or the endpoints of a Service.
//!
//! A Service's own address is no place here, members' pods behind it are: their slices are mirrored.

use std::net::SocketAddr;
use std::sync::Arc;

use rand::seq::SliceRandom as _;
use serde_json::Value;

use super::Destination;
use crate::cache::{Entry, Scope};
use crate::server::Server;

const OF_SERVICE: &str = "kubernetes.io/service-name";

/// The addresses to try, in this order.
///
/// # Errors
/// Upstream's text where there are none.
pub(super) async fn addresses(server: &Server, to: &Destination) -> Result<Vec<SocketAddr>, String> {
    let Some((namespace, name)) = &to.service else { return look_up(&to.host, to.port).await };
    let services = server.cache.resource("core/services");
    let Some(service) = services.get(&format!("{namespace}/{name}")) else {
        return Err(format!("service {name:?} not found"));
    };
    let service = service.value();
    if service.pointer("/spec/type").and_then(Value::as_str) == Some("ExternalName") {
        let host = service.pointer("/spec/externalName").and_then(Value::as_str).unwrap_or("");
        return look_up(host, to.port).await;
    }
    let ports = service.pointer("/spec/ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let port = ports.iter().find(|port| port.get("port").and_then(Value::as_u64) == Some(to.port.into()));
    let Some(port) = port else { return Err(format!("no service port {} found for service {name:?}", to.port)) };
    let port_name = port.get("name").and_then(Value::as_str).unwrap_or("");
    let slices = server.cache.resource("discovery.k8s.io/endpointslices").snapshot();
    let within = Scope::Namespace(namespace.clone());
    let own = |entry: &&Arc<Entry>| entry.text(&["metadata", "labels", OF_SERVICE]).as_deref() == Some(name);
    let mut found: Vec<SocketAddr> =
        slices.range(&within, "").filter(own).flat_map(|entry| ready(&entry.value(), port_name)).collect();
    // Nobody is asked first by everybody.
    found.shuffle(&mut rand::rng());
    if found.is_empty() { Err(format!("no endpoints available for service {name:?}")) } else { Ok(found) }
}

/// The ready addresses of a slice, with its port of that name.
fn ready(slice: &Value, port_name: &str) -> Vec<SocketAddr> {
    let list = |of: &Value, field: &str| of.get(field).and_then(Value::as_array).cloned().unwrap_or_else(Vec::new);
    let named = |port: &Value| port.get("name").and_then(Value::as_str).unwrap_or("") == port_name;
    let port = list(slice, "ports").into_iter().find(named);
    let port = port.and_then(|port| port.get("port")?.as_u64()).and_then(|port| u16::try_from(port).ok());
    let Some(port) = port else { return Vec::new() };
    let is_ready = |endpoint: &Value| endpoint.pointer("/conditions/ready") != Some(&Value::Bool(false));
    let endpoints = list(slice, "endpoints").into_iter().filter(is_ready);
    let addresses = endpoints.flat_map(|endpoint| list(&endpoint, "addresses"));
    addresses.filter_map(|address| Some(SocketAddr::new(address.as_str()?.parse().ok()?, port))).collect()
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    match tokio::net::lookup_host((host, port)).await {
        Ok(found) => Ok(found.collect()),
        Err(error) => Err(format!("dial tcp: lookup {host}: {error}")),
    }
}
