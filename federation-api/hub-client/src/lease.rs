//! One process of several does a piece of work: the one that holds a Lease of the API.
//!
//! A holder is believed dead when its Lease has not moved for its whole duration by our own clock: clocks of machines are
//! never compared. Knows nothing of the work.

use std::future::Future;
use std::time::Duration;

use federation_types::{Gvr, text};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::caller::{Caller, WriteOptions};
use crate::error::ApiError;

/// How long a holder may be silent.
const DURATION: Duration = Duration::from_secs(15);
/// A holder that could not renew for this long stops, before another may start.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two looks at the Lease.
const PAUSE: Duration = Duration::from_secs(3);
/// Between two tries of an API that did not answer, as it is at a start.
const RETRY: Duration = Duration::from_millis(250);

/// Which Lease, and who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub namespace: String,
    pub name: String,
    /// A process that comes back under the name of the holder goes on at once.
    pub holder: String,
}

/// The Lease as it was last seen, and since when it has not moved.
struct Seen {
    revision: String,
    since: Instant,
}

/// Runs `work` whenever and for as long as `claim` holds, until `stop`; the token that it gets ends with the hold.
pub async fn lead<F>(hub: Caller, claim: Claim, stop: CancellationToken, mut work: impl FnMut(CancellationToken) -> F)
where
    F: Future<Output = ()>,
{
    let mut seen = None;
    while !stop.is_cancelled() {
        if let Err(pause) = attempt(&hub, &claim, &mut seen).await {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => continue,
            }
        }
        tracing::info!(lease = claim.name, holder = claim.holder, "leading");
        let hold = stop.child_token();
        let renewing = async {
            renew(&hub, &claim, &mut seen, &hold).await;
            hold.cancel();
        };
        tokio::join!(work(hold.clone()), renewing);
        tracing::info!(lease = claim.name, holder = claim.holder, "no longer leading");
    }
    release(&hub, &claim).await;
}

/// Returns when the Lease is lost or `hold` ends.
async fn renew(hub: &Caller, claim: &Claim, seen: &mut Option<Seen>, hold: &CancellationToken) {
    let mut renewed = Instant::now();
    loop {
        tokio::select! {
            () = hold.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        let left = DEADLINE.saturating_sub(renewed.elapsed());
        // Others count from when it is written, which may be long before we hear of it.
        let asked = Instant::now();
        match tokio::time::timeout(left, take(hub, claim, seen)).await {
            Ok(Ok(true)) => renewed = asked,
            Ok(Ok(false)) => return tracing::warn!(lease = claim.name, "another process took the lease"),
            Ok(Err(error)) => tracing::debug!(%error, lease = claim.name, "the lease could not be renewed"),
            Err(_) => {}
        }
        if renewed.elapsed() >= DEADLINE {
            return tracing::warn!(lease = claim.name, "the lease could not be renewed in time");
        }
    }
}

/// Takes the Lease, or says when to try again.
async fn attempt(hub: &Caller, claim: &Claim, seen: &mut Option<Seen>) -> Result<(), Duration> {
    match take(hub, claim, seen).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(PAUSE),
        Err(error) => {
            tracing::debug!(%error, lease = claim.name, "the lease could not be taken");
            Err(RETRY)
        }
    }
}

fn leases() -> Gvr {
    Gvr::new("coordination.k8s.io/v1", "leases")
}

/// Takes or renews the Lease; `false` if it is another's.
async fn take(hub: &Caller, claim: &Claim, seen: &mut Option<Seen>) -> Result<bool, ApiError> {
    let found = hub.get(&leases(), &claim.namespace, &claim.name).await?;
    let wanted = lease(claim, found.as_ref(), &jiff::Timestamp::now());
    let written = match &found {
        None => hub.create(&leases(), &claim.namespace, &wanted).await,
        Some(found) if is_free(found, claim, seen) => hub.replace(&leases(), &wanted, &WriteOptions::default()).await,
        Some(_) => return Ok(false),
    };
    match written {
        Ok(_) => Ok(true),
        // Somebody else was faster.
        Err(error) if error.is_conflict() || error.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether we may write into a Lease: it is ours, nobody's, or of one who has been silent for too long.
fn is_free(found: &Value, claim: &Claim, seen: &mut Option<Seen>) -> bool {
    let holder = text::str_at(found, &["spec", "holderIdentity"]);
    if holder.is_empty() || holder == claim.holder {
        return true;
    }
    let revision = text::str_at(found, &["metadata", "resourceVersion"]);
    match seen {
        Some(seen) if seen.revision == revision => {
            let seconds = text::int_at(found, &["spec", "leaseDurationSeconds"]).and_then(|n| u64::try_from(n).ok());
            seen.since.elapsed() >= seconds.map_or(DURATION, Duration::from_secs)
        }
        _ => {
            *seen = Some(Seen { revision: revision.to_owned(), since: Instant::now() });
            false
        }
    }
}

/// The Lease as we want it: who holds it since when, and how often it went from one to another.
fn lease(claim: &Claim, found: Option<&Value>, now: &jiff::Timestamp) -> Value {
    let now = format!("{now:.6}");
    let mut wanted = found.cloned().unwrap_or_else(|| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"namespace": claim.namespace, "name": claim.name}, "spec": {},
        })
    });
    if text::str_at(&wanted, &["spec", "holderIdentity"]) != claim.holder {
        let before = text::int_at(&wanted, &["spec", "leaseTransitions"]).unwrap_or(0);
        wanted["spec"]["leaseTransitions"] = json!(before + i64::from(found.is_some()));
        wanted["spec"]["acquireTime"] = json!(now);
        wanted["spec"]["holderIdentity"] = json!(claim.holder);
    }
    wanted["spec"]["leaseDurationSeconds"] = json!(DURATION.as_secs());
    wanted["spec"]["renewTime"] = json!(now);
    wanted
}

/// Lets the next one start at once.
async fn release(hub: &Caller, claim: &Claim) {
    let given = async {
        let Some(mut found) = hub.get(&leases(), &claim.namespace, &claim.name).await? else { return Ok(()) };
        if text::str_at(&found, &["spec", "holderIdentity"]) == claim.holder {
            found["spec"]["holderIdentity"] = json!("");
            hub.replace(&leases(), &found, &WriteOptions::default()).await?;
        }
        Ok::<(), ApiError>(())
    };
    match tokio::time::timeout(PAUSE, given).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, lease = claim.name, "the lease could not be given back"),
        Err(_) => tracing::debug!(lease = claim.name, "the lease could not be given back in time"),
    }
}

#[cfg(test)]
mod tests;
