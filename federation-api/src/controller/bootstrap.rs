//! The objects that a server has from its first start: namespaces, the default policy, its own Service.
//!
//! Written before the first request of anybody else. What people have changed stays: objects are made where they are
//! absent, and of the default policy only what is missing is added.

mod policy;
mod seed;
mod trust;

use std::net::SocketAddr;

use federation_types::Gvr;
use federation_types::text::{name, namespace};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hub_client::error::ApiError;
use hub_client::{At, DeleteOptions, Hub, WriteOptions};
use jiff::Timestamp;
use serde_json::Value;

use super::{api_services, flow_control};

/// Objects written at once, so that they share commits.
const WIDTH: usize = 32;
/// How often an object is looked at anew, when somebody else changes it at the same time.
const ATTEMPTS: usize = 4;

/// The common name of the certificate that is shown to aggregated API servers.
pub const FRONT_PROXY: &str = "front-proxy-client";

/// What a server is to start with.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Whether this is the hub, with a namespace, accounts and an IngressClass of our own, or a plain API server.
    pub hub: bool,
    /// PEM of the authorities that client certificates are verified with; empty for none.
    pub client_ca_pem: String,
    /// PEM of the authority whose certificates tell aggregated API servers that a request comes from here; empty for
    /// none.
    pub front_proxy_ca_pem: String,
    /// Where this server can be reached; loopback addresses are not published.
    pub address: SocketAddr,
    /// The range that Services get their addresses from, as `network/prefix`.
    pub service_cidr: String,
}

/// One object to start with.
#[derive(Clone, Debug)]
struct Seed {
    gvr: Gvr,
    object: Value,
    upkeep: Upkeep,
}

/// What is done about an object that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upkeep {
    /// Left as people made it.
    Leave,
    /// Its `data` says what we say, beside what other servers say.
    Trust,
    /// Its Service ports or endpoints are made ours again: the address may have changed.
    Address,
    /// Mended as a part of the default policy.
    Policy,
    /// Its spec is made ours again, where nobody has said otherwise or may.
    FlowControl,
    /// Its spec is made ours again, where it still says that it is ours.
    ApiService,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
enum Write {
    Create(Value),
    Replace(Value),
    /// A binding refers to another role, which cannot be changed in place.
    Recreate(Value),
}

/// Writes what is absent, and mends what is ours; done when all of it is stored.
///
/// `system` acts as a member of `system:masters`: before this nobody else has any right.
///
/// # Errors
/// The first write that fails; calling again goes on from there.
pub async fn ensure(system: &Hub, config: &Bootstrap) -> Result<(), ApiError> {
    let (namespaces, others): (Vec<Seed>, Vec<Seed>) =
        seed::objects(config).into_iter().partition(|seed| seed.gvr.resource == "namespaces");
    for seeds in [namespaces, others] {
        stream::iter(seeds)
            .map(|seed| async move { settle(system, &seed).await })
            .buffer_unordered(WIDTH)
            .try_collect::<()>()
            .await?;
    }
    api_services::retire(system).await?;
    announce(system).await
}

/// Says that the default range of Services is ready, where nobody has said anything about that.
async fn announce(hub: &Hub) -> Result<(), ApiError> {
    let gvr = Gvr::new("networking.k8s.io/v1", "servicecidrs");
    let stored = hub.get(&gvr, "", seed::SERVICE_CIDR).await?;
    let Some(ready) = stored.and_then(|stored| seed::ready(stored, Timestamp::now())) else { return Ok(()) };
    let how = WriteOptions { subresource: "status", ..WriteOptions::default() };
    match hub.replace(&gvr, &ready, &how).await {
        // Another replica was faster.
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
        written => written.map(|_| ()),
    }
}

async fn settle(hub: &Hub, seed: &Seed) -> Result<(), ApiError> {
    let Seed { gvr, object, .. } = seed;
    let at = At::new(gvr, namespace(object), name(object));
    let mut attempt = 1;
    loop {
        let stored = hub.get(gvr, at.namespace, at.name).await?;
        let written = match plan(stored.as_ref(), seed) {
            None => return Ok(()),
            Some(Write::Create(object)) => hub.create(gvr, at.namespace, &object).await,
            Some(Write::Replace(object)) => hub.replace(gvr, &object, &WriteOptions::default()).await,
            Some(Write::Recreate(object)) => {
                hub.delete(at, &DeleteOptions::default()).await?;
                hub.create(gvr, at.namespace, &object).await
            }
        };
        match written {
            Ok(_) => return Ok(()),
            Err(error)
                if attempt < ATTEMPTS && (error.is_conflict() || error.is_already_exists() || error.is_not_found()) =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn plan(stored: Option<&Value>, seed: &Seed) -> Option<Write> {
    let Seed { object: wanted, upkeep, .. } = seed;
    let Some(stored) = stored else { return Some(Write::Create(wanted.clone())) };
    match upkeep {
        Upkeep::Leave => None,
        Upkeep::Trust => trusted(stored, wanted),
        Upkeep::Address => with_fields(stored, wanted, &["/spec/ports", "/endpoints", "/ports"]),
        Upkeep::Policy => policy::mended(stored, wanted),
        Upkeep::FlowControl => flow_control::revised(stored, wanted).map(Write::Replace),
        Upkeep::ApiService => api_services::revised(stored, wanted).map(Write::Replace),
    }
}

/// The stored object with whom to believe besides.
fn trusted(stored: &Value, wanted: &Value) -> Option<Write> {
    let mut object = stored.clone();
    object["data"] = trust::combined(&stored["data"], &wanted["data"]);
    (object != *stored).then_some(Write::Replace(object))
}

/// The stored object with these fields as they are wanted, where the seed has them.
fn with_fields(stored: &Value, wanted: &Value, fields: &[&str]) -> Option<Write> {
    let mut object = stored.clone();
    for pointer in fields {
        let Some(value) = wanted.pointer(pointer).filter(|value| !seed::includes(stored.pointer(pointer), value))
        else {
            continue;
        };
        let (parent, field) = pointer.rsplit_once('/')?;
        let parent = if parent.is_empty() { &mut object } else { object.pointer_mut(parent)? };
        parent[field] = value.clone();
    }
    (object != *stored).then_some(Write::Replace(object))
}

#[cfg(test)]
mod tests;
