//! How much of the server a request will take: a list of much is wider than a get.
//!
//! Source: k8s.io/apiserver `pkg/util/flowcontrol/request/list_work_estimator.go`.

use crate::cache::{ResourceCache, Scope};
use crate::request::RequestInfo;
use crate::request::query::{Query, truthy};

/// Bytes of answer that make a seat.
const BYTES_PER_SEAT: usize = 100_000;
/// What a list from the cache holds in memory at once, at most: it is spliced from what is there already.
const MAX_BYTES: usize = 1_000_000;
/// Objects that are looked at to guess the size of all.
const SAMPLE: usize = 8;

/// Seats for a request on this resource, `widest` at most.
pub(crate) fn estimate(info: &RequestInfo, query: &Query, cache: &ResourceCache, widest: u32) -> u32 {
    let tells_state = match info.verb.as_str() {
        "list" => true,
        "watch" => {
            query.get("sendInitialEvents").is_some_and(truthy)
                || matches!(query.get("resourceVersion"), None | Some("" | "0"))
        }
        _ => false,
    };
    if !tells_state || !info.name.is_empty() {
        return 1;
    }
    let snapshot = cache.snapshot();
    // Some objects stand for all: the estimate has to be cheap, not right.
    let sizes = snapshot.range(&Scope::All, "").take(SAMPLE).map(|entry| entry.bytes().len());
    let (count, sum) = sizes.fold((0, 0_usize), |(count, sum), size| (count + 1, sum + size));
    if count == 0 {
        return 1;
    }
    let size = sum / count;
    let limit = query.filled("limit").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
    let objects = limit.unwrap_or(usize::MAX).min(snapshot.len());
    let bytes = objects.saturating_mul(size).min(MAX_BYTES);
    u32::try_from(bytes.div_ceil(BYTES_PER_SEAT)).unwrap_or(u32::MAX).clamp(1, widest.max(1))
}
