//! The objects of the load, and the calls on them.

use std::process;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Result;
use bench::kube::Call;
use bench::latency::Report;
use bytes::Bytes;
use hyper::Method;

use super::{Load, calls};

pub const LISTED: &str = "/api/v1/namespaces/bench-list/configmaps";
pub const CREATED: &str = "/api/v1/namespaces/bench-create/configmaps";
pub const WATCHED: &str = "/api/v1/namespaces/bench-watch/configmaps";
const READ: &str = "/api/v1/namespaces/bench-list/configmaps/c-0-0";

static PATHS: LazyLock<Vec<String>> =
    LazyLock::new(|| (0..TARGETS).map(|number| format!("{CREATED}/{}", target(number))).collect());
static APPLY_PATHS: LazyLock<Vec<String>> =
    LazyLock::new(|| PATHS.iter().map(|path| format!("{path}?fieldManager=bench&force=true")).collect());

/// With names and metadata an object is about 2 kB of JSON.
const PAYLOAD_BYTES: usize = 1_800;
/// Objects that updates, patches and applies go round.
const TARGETS: usize = 256;
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
    for number in 0..TARGETS {
        connection.exchange(post(CREATED, config_map(&target(number)))).await?;
    }
    let load = Load { length: SEED_WITHIN, limit: objects.saturating_sub(1), ..load };
    load.run(calls(|number| create(LISTED, number))).await
}

/// Adds objects to the list.
///
/// # Errors
/// An object could not be created.
pub async fn grow(load: Load, objects: usize) -> Result<Report> {
    let load = Load { length: SEED_WITHIN, limit: objects, ..load };
    load.run(calls(|number| create(LISTED, number))).await
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

/// Every round writes another payload, so that no write is a no-op.
pub fn update(number: usize) -> Call<'static> {
    let body = round_map(number);
    Call { method: Method::PUT, path: target_path(number), content_type: "application/json", body }
}

pub fn patch(number: usize) -> Call<'static> {
    let body = Bytes::from(format!("{{\"data\":{{\"round\":\"{}-{number}\"}}}}", process::id()));
    Call { method: Method::PATCH, path: target_path(number), content_type: "application/merge-patch+json", body }
}

pub fn apply(number: usize) -> Call<'static> {
    Call {
        method: Method::PATCH,
        path: &APPLY_PATHS[number % TARGETS],
        content_type: "application/apply-patch+yaml",
        body: round_map(number),
    }
}

fn target(number: usize) -> String {
    format!("t-{}", number % TARGETS)
}

fn target_path(number: usize) -> &'static str {
    &PATHS[number % TARGETS]
}

fn round_map(number: usize) -> Bytes {
    let body = config_map(&target(number));
    let round = format!("\"data\":{{\"round\":\"{}-{number}\",", process::id());
    Bytes::from(body.replacen("\"data\":{", &round, 1))
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
