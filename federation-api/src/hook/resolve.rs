//! Where a destination is: a name of the network, or the endpoints of a Service.
//!
//! A Service's own address is no place here, members' pods behind it are: their slices are mirrored. What a member has
//! of its own under the same name is not believed, and no endpoint is on this machine or its link.

use std::net::SocketAddr;
use std::sync::Arc;

use federation_types::label;
use member_cluster::IDENTITY_NAMESPACE;
use member_cluster::address::check_ip;
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
        let found = look_up(host, to.port).await?;
        return allowed(server, found).ok_or_else(|| format!("no endpoints available for service {name:?}"));
    }
    let ports = service.pointer("/spec/ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let port = ports.iter().find(|port| port.get("port").and_then(Value::as_u64) == Some(to.port.into()));
    let Some(port) = port else { return Err(format!("no service port {} found for service {name:?}", to.port)) };
    let port_name = port.get("name").and_then(Value::as_str).unwrap_or("");
    let slices = slices(server, namespace, name);
    let found = slices.iter().flat_map(|entry| ready(&entry.value(), port_name)).collect();
    let mut found = allowed(server, found).ok_or_else(|| format!("no endpoints available for service {name:?}"))?;
    // Nobody is asked first by everybody.
    found.shuffle(&mut rand::rng());
    Ok(found)
}

/// The slices of a Service: the hub's own, and mirrored ones of what this hub has put into a member.
pub(crate) fn slices(server: &Server, namespace: &str, name: &str) -> Vec<Arc<Entry>> {
    let hub = server.cache.resource("core/namespaces").get(IDENTITY_NAMESPACE);
    let hub = hub.and_then(|namespace| namespace.text(&["metadata", "uid"]));
    let believed = |entry: &&Arc<Entry>| {
        let said = |name: &str| entry.text(&["metadata", "labels", name]);
        said(OF_SERVICE).as_deref() == Some(name)
            && (said(label::CLUSTER).is_none() || hub.is_some() && said(label::HUB) == hub)
    };
    let slices = server.cache.resource("discovery.k8s.io/endpointslices").snapshot();
    slices.range(&Scope::Namespace(namespace.to_owned()), "").filter(believed).cloned().collect()
}

/// The addresses that endpoints may have; none where there are no such.
fn allowed(server: &Server, mut found: Vec<SocketAddr>) -> Option<Vec<SocketAddr>> {
    found.retain(|address| check_ip(address.ip(), server.hooks.policy).is_ok());
    (!found.is_empty()).then_some(found)
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
