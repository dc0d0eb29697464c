//! LIST: a range of one snapshot, filtered, in pages that all show the same revision.
//!
//! Source: k8s.io/apiserver `pkg/storage/continue.go`, `pkg/storage/cacher/delegator.go`.

use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answer, ListAnswer};
use crate::cache::{Clock, Entry, Expired, Scope, Snapshot};
use crate::call::Call;
use crate::custom::seen;
use crate::error::ApiError;
use crate::filter::Filter;
use crate::request::options::{Freshness, ListOptions};
use crate::request::page::Token;

/// How long a request waits for a revision that has not happened yet; upstream's bound.
const FUTURE_WAIT: Duration = Duration::from_secs(3);
/// Objects of a custom kind that are converted at once; a webhook gets no more in one request.
const CONVERTED_AT_ONCE: usize = 500;

/// Answers a LIST.
///
/// # Errors
/// 400 and 422 for bad options, 410 for expired revisions, 504 for future ones.
pub(crate) async fn list(call: &Call) -> Result<Answer, ApiError> {
    let options = ListOptions::for_list(&call.query)?;
    let filter = Filter::new(call, &options)?;
    Ok(Answer::List(read(call, &options, &filter).await?))
}

/// One page of what `filter` selects.
///
/// # Errors
/// As [`list`].
pub(crate) async fn read(call: &Call, options: &ListOptions, filter: &Filter) -> Result<ListAnswer, ApiError> {
    let (snapshot, rev, start) = if options.continue_token.is_empty() {
        let (snapshot, rev) = at(call, options.freshness()?).await?;
        (snapshot, rev, String::new())
    } else {
        resume(call, &options.continue_token, &filter.scope).await?
    };
    // `resourceVersion=0` is served whole from the cache: upstream ignores the limit there.
    let unlimited = options.limit == 0 || options.resource_version == "0";
    let limit = if unlimited { usize::MAX } else { options.limit };
    let range = Range { filter, start: &start, limit };
    if call.kind.custom().is_some() {
        return custom_page(call, &snapshot, rev, &range).await;
    }
    Ok(page(call, &snapshot, rev, &range))
}

/// A page of a custom kind: what is stored in another shape is shown in this one before it is selected.
async fn custom_page(call: &Call, snapshot: &Snapshot, rev: u64, range: &Range<'_>) -> Result<ListAnswer, ApiError> {
    let Range { filter, start, limit } = range;
    let all: Vec<Arc<Entry>> = snapshot.range(&filter.scope, start).cloned().collect();
    let mut answer =
        ListAnswer { kind: call.kind.clone(), items: Vec::new(), rev, continue_token: String::new(), remaining: None };
    let mut looked = 0;
    for some in all.chunks(CONVERTED_AT_ONCE) {
        for entry in seen::entries(&call.server, &call.kind, some.to_vec()).await? {
            if filter.selects(&entry) {
                if answer.items.len() == *limit {
                    let last = answer.items.last().expect("the limit is above zero");
                    answer.continue_token = encode(call, rev, last.key(), &filter.scope);
                    answer.remaining = filter.is_plain().then_some(all.len() - looked);
                    return Ok(answer);
                }
                answer.items.push(entry);
            }
            looked += 1;
        }
    }
    Ok(answer)
}

struct Range<'a> {
    filter: &'a Filter,
    start: &'a str,
    limit: usize,
}

fn page(call: &Call, snapshot: &Snapshot, rev: u64, range: &Range<'_>) -> ListAnswer {
    let Range { filter, start, limit } = range;
    let mut items: Vec<Arc<Entry>> = Vec::new();
    let mut continue_token = String::new();
    let mut remaining = None;
    let mut scan = snapshot.range(&filter.scope, start);
    for entry in scan.by_ref() {
        if !filter.selects(entry) {
            continue;
        }
        if items.len() == *limit {
            let last = items.last().expect("the limit is above zero");
            continue_token = encode(call, rev, last.key(), &filter.scope);
            remaining = filter.is_plain().then(|| 1 + scan.count());
            break;
        }
        items.push(Arc::clone(entry));
    }
    ListAnswer { kind: call.kind.clone(), items, rev, continue_token, remaining }
}

/// A snapshot that is fresh enough, and the revision that the answer shows.
async fn at(call: &Call, freshness: Freshness) -> Result<(Snapshot, u64), ApiError> {
    match freshness {
        Freshness::Any => {}
        Freshness::Latest => fresh(call).await?,
        Freshness::NotOlderThan(rev) => reached(call, rev).await?,
        Freshness::Exact(rev) => {
            reached(call, rev).await?;
            let snapshot = past(call, rev).await.map_err(|gone| ApiError::too_old(gone.asked, gone.oldest))?;
            return Ok((snapshot, rev));
        }
    }
    let (snapshot, rev) = call.cache.latest();
    Ok(((*snapshot).clone(), rev))
}

/// The resource as it was at `rev`: told by the ring, or where that has forgotten it by the store.
///
/// What is older than the last but one compaction is gone, whoever still remembers it: so that tokens end in time.
async fn past(call: &Call, rev: u64) -> Result<Snapshot, Expired> {
    let oldest = call.cache.compacted();
    if rev < oldest {
        return Err(Expired { asked: rev, oldest });
    }
    match call.cache.at(rev) {
        Err(_) if matches!(call.cache.clock(), Clock::Store(_)) => call.server.cache.past(&call.storage(), rev).await,
        told => told,
    }
}

/// Waits until every acknowledged write is in the cache.
///
/// # Errors
/// 503 where the store does not answer.
pub(crate) async fn fresh(call: &Call) -> Result<(), ApiError> {
    match call.server.cache.fresh().await {
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::error!(%error, "the store does not answer");
            Err(ApiError::Unavailable { message: "the storage is not available".to_owned(), retry_after_s: 1 })
        }
    }
}

/// Waits until the resource is at `rev`, for a bounded time.
///
/// # Errors
/// 504 where the revision is still in the future; 410 for a revision of another replica.
pub(crate) async fn reached(call: &Call, rev: u64) -> Result<(), ApiError> {
    if !call.cache.clock().knows(rev) {
        return Err(ApiError::too_old(rev, call.cache.revision()));
    }
    if call.cache.revision() >= rev {
        return Ok(());
    }
    fresh(call).await?;
    if call.cache.revision() < rev && matches!(call.cache.clock(), Clock::Store(_)) {
        let waiting = call.server.cache.applied(rev);
        if tokio::time::timeout(FUTURE_WAIT, waiting).await.is_ok() {
            return Ok(());
        }
    }
    let current = call.cache.revision();
    if current >= rev { Ok(()) } else { Err(ApiError::FutureRevision { asked: rev, current }) }
}

async fn resume(call: &Call, token: &str, scope: &Scope) -> Result<(Snapshot, u64, String), ApiError> {
    let token = call.server.seal.decode(token, &about(call))?;
    let start = match scope {
        Scope::Namespace(namespace) => format!("{namespace}/{}", token.start),
        Scope::All | Scope::Key(_) => token.start.clone(),
    };
    let Ok(rev) = u64::try_from(token.rev) else {
        let (snapshot, rev) = at(call, Freshness::Latest).await?;
        return Ok((snapshot, rev, start));
    };
    reached(call, rev).await?;
    let snapshot = past(call, rev).await.map_err(|_| ApiError::Expired {
        message: "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.".to_owned(),
        restart: Some(call.server.seal.encode(&Token { rev: -1, start: token.start }, &about(call))),
    })?;
    Ok((snapshot, rev, start))
}

/// The token of the page behind `last`, relative to the namespace as upstream has it.
fn encode(call: &Call, rev: u64, last: &str, scope: &Scope) -> String {
    let relative = match scope {
        Scope::Namespace(_) => last.split_once('/').map_or(last, |(_, name)| name),
        Scope::All | Scope::Key(_) => last,
    };
    let token = Token { rev: i64::try_from(rev).unwrap_or(i64::MAX), start: format!("{relative}\0") };
    call.server.seal.encode(&token, &about(call))
}

/// Whose token it is, and of which list.
fn about(call: &Call) -> String {
    let info = &call.info;
    format!("{}\n{}\n{}\n{}", call.user.name, info.group, info.resource, info.namespace)
}
