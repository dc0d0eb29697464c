//! The objects of the load, and the calls on them.

use std::process;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bench::kube::Call;
use bench::latency::Report;
use bytes::Bytes;
use hyper::Method;

use super::Load;

const LISTED: &str = "/api/v1/namespaces/bench-list/configmaps";
pub const CREATED: &str = "/api/v1/namespaces/bench-create/configmaps";
pub const WATCHED: &str = "/api/v1/namespaces/bench-watch/configmaps";
const READ: &str = "/api/v1/namespaces/bench-list/configmaps/c-0-0";

/// With names and metadata an object is about 2 kB of JSON.
const PAYLOAD_BYTES: usize = 1_800;
/// Far more than any number of objects takes.
const SEED_WITHIN: Duration = Duration::from_secs(600);

/// # Errors
/// An object could not be created.
pub async fn run(load: Load, objects: usize) -> Result<Report> {
    let mut connection = load.server.connect().await?;
    for name in ["bench-list", "bench-create", "bench-watch"] {
        let body = format!("{{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{{\"name\":\"{name}\"}}}}");
        connection.exchange(post("/api/v1/namespaces", body)).await?;
    }
    connection.exchange(post(WATCHED, config_map("watched"))).await?;
    connection.exchange(post(LISTED, config_map("c-0-0"))).await?;
    let load = Load { length: SEED_WITHIN, limit: objects.saturating_sub(1), ..load };
    load.run(Arc::new(|number| create(LISTED, number))).await
}

pub fn read_one() -> Call<'static> {
    Call::get(READ)
}

pub fn list_all() -> Call<'static> {
    Call::get(LISTED)
}

/// Names carry the process, so that a later run creates others.
pub fn create(path: &'static str, number: usize) -> Call<'static> {
    post(path, config_map(&format!("c-{}-{number}", process::id())))
}

fn post(path: &'static str, body: String) -> Call<'static> {
    Call { method: Method::POST, path, content_type: "application/json", body: Bytes::from(body) }
}

fn config_map(name: &str) -> String {
    let payload = "x".repeat(PAYLOAD_BYTES);
    format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"{name}\"}},\"data\":{{\"payload\":\"{payload}\"}}}}"
    )
}
