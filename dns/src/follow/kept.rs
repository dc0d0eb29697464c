//! The last inputs on disk, as the Kubernetes objects they came from, reduced to what a zone needs.

use std::path::Path;

use federation_types::endpoint::{self, Endpoint, Port, Slice};
use federation_types::{label, text};
use hub_client::persist;
use serde_json::{Value, json};
use tracing::warn;

use super::Inputs;
use crate::zone::Service;

/// Reads what was kept; none if there is nothing or it cannot be read, which is logged and not fatal.
pub(super) fn load(path: &Path) -> Option<Inputs> {
    match persist::load(path) {
        Ok(kept) => kept.as_ref().map(read),
        Err(error) => {
            warn!(%error, "the last DNS snapshot cannot be used");
            None
        }
    }
}

pub(super) fn save(path: &Path, inputs: &Inputs) -> Result<(), String> {
    persist::save(path, &write(inputs)).map_err(|error| error.to_string())
}

fn read(kept: &Value) -> Inputs {
    let services = text::list_at(kept, &["services"]).filter_map(Service::read);
    Inputs {
        services: services.map(|service| ((service.namespace.clone(), service.name.clone()), service.into())).collect(),
        // No markers are kept: nothing is complete until the hub says so again.
        clusters: endpoint::group(text::list_at(kept, &["endpointSlices"])),
    }
}

fn write(inputs: &Inputs) -> Value {
    let services: Vec<_> = inputs.services.values().map(|service| write_service(service)).collect();
    let slices: Vec<_> = inputs.clusters.values().flat_map(|seen| &seen.slices).filter_map(write_slice).collect();
    json!({"services": services, "endpointSlices": slices})
}

fn write_service(service: &Service) -> Value {
    let spec = if service.headless { json!({"clusterIP": "None"}) } else { json!({}) };
    json!({"metadata": {"namespace": service.namespace, "name": service.name}, "spec": spec})
}

/// A slice as the mirror shows it, with the endpoints that a zone tells.
fn write_slice(slice: &Slice) -> Option<Value> {
    let endpoints: Vec<_> = slice.endpoints.iter().filter(|endpoint| endpoint.ready).map(write_endpoint).collect();
    let labels = json!({
        label::CLUSTER: slice.cluster.as_str(),
        label::HUB: "kept",
        "kubernetes.io/service-name": slice.service,
    });
    (!endpoints.is_empty()).then(|| {
        json!({
            "metadata": {"namespace": slice.namespace, "labels": labels},
            "addressType": "IPv4",
            "ports": slice.ports.iter().map(write_port).collect::<Vec<_>>(),
            "endpoints": endpoints,
        })
    })
}

fn write_port(port: &Port) -> Value {
    json!({"name": port.name, "port": port.number, "protocol": port.protocol})
}

fn write_endpoint(endpoint: &Endpoint) -> Value {
    json!({"addresses": endpoint.addresses, "conditions": {"ready": true}, "hostname": endpoint.hostname})
}
