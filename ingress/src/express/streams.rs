//! The short way over HTTP/2: one stream's request becomes an exchange of HTTP/1.1, and its answer goes back as fields.
//!
//! For requests without a body; the others, and what failed, go the general way with what happened so far.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use bytes::BytesMut;
use http::{HeaderMap, Method, Request, Response};
use hyper::body::{Body, Incoming};

use super::answer::{self, Answer, Reading};
use super::exchange::{Asker, Missed, Talk, Trial, piece_limit};
use super::flow::Flow;
use super::{ask, is_open, traced};
use crate::access::Line;
use crate::alarm::Alarm;
use crate::config::HeadRules;
use crate::peer::Peer;
use crate::proxy::body::AnswerBody;
use crate::proxy::forward::Prior;
use crate::proxy::upstream::Link;
use crate::proxy::vigil::Vigil;
use crate::proxy::{Proxy, note_route};

/// Bytes of most heads as the endpoint gets them.
const HEAD: usize = 512;

/// The fields of an answer as they come.
struct Fields<'p> {
    headers: HeaderMap,
    rules: &'p HeadRules,
    head_only: bool,
}

impl Asker for Fields<'_> {
    fn read(&mut self, reply: &[u8]) -> Reading {
        answer::fields(reply, self.head_only, self.rules, &mut self.headers)
    }

    /// Who resets its stream drops what waits for its answer.
    fn is_gone(&mut self, _: &mut Context<'_>) -> bool {
        false
    }
}

/// Answers one request; whatever goes wrong becomes a status.
///
/// # Errors
/// Never.
pub async fn handle(
    proxy: Arc<Proxy>,
    peer: Arc<Peer>,
    mut request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let began = Instant::now();
    let mut line = proxy.begin(began, &peer, (&mut request, None));
    let prior = match passed(&proxy, &peer, (&request, began), &mut line).await {
        Ok(response) => return Ok(proxy.ended(response, began, line)),
        Err(prior) => prior,
    };
    // What few streams need is elsewhere.
    Ok(Box::pin(proxy.proceed(&peer, (request, began, prior), line)).await)
}

/// The answer to a request that is passed on as it is; `Err` for the general way.
async fn passed(
    proxy: &Arc<Proxy>,
    peer: &Peer,
    (request, began): (&Request<Incoming>, Instant),
    line: &mut Option<Line>,
) -> Result<Response<AnswerBody>, Option<Prior>> {
    if !is_open(proxy) || !request.body().is_end_stream() {
        return Err(None);
    }
    let (mut talk, trial) = asking(proxy, peer, (request, began), line).ok_or(None)?;
    // Who goes away before an answer comes is counted, too.
    let mut tally = trial.tally(proxy);
    let head_only = *request.method() == Method::HEAD;
    let mut fields = Fields { headers: HeaderMap::new(), rules: &proxy.heads, head_only };
    let (answer, link) = match talk.reach(proxy, &trial, &mut fields).await {
        Ok(reached) => reached,
        Err(Missed::Failed(fate)) => {
            tally.forget();
            // Its span is in its line.
            return Err(Some(trial.prior(fate, None)));
        }
        // It is dropped then, and nobody hears of this.
        Err(Missed::Gone) => return Err(None),
    };
    trial.account((proxy, peer), answer.status, line);
    tally.status = answer.status;
    let mut response = Response::new(body(proxy, (talk, trial), (&answer, link)));
    *response.status_mut() = answer.status;
    *response.headers_mut() = fields.headers;
    peer.promise(response.headers_mut());
    response.body_mut().tally(tally);
    Ok(response)
}

/// What the endpoint gets of a request, and which one it is.
fn asking(
    proxy: &Proxy,
    peer: &Peer,
    (request, began): (&Request<Incoming>, Instant),
    line: &mut Option<Line>,
) -> Option<(Talk, Trial)> {
    let mut out = Vec::with_capacity(HEAD);
    let ask = ask::of(request, peer, (&proxy.heads, &proxy.limits), &mut out)?;
    let traced = line.as_ref().is_some_and(|line| line.is_traced());
    let told = if traced { ask.trace.told()? } else { None };
    let trial = Trial::of(proxy, peer, &ask, began)?;
    // From here on nothing is left to the general way, where it would be noted once more.
    note_route(&trial.route, line);
    if let Some(line) = line {
        line.tried(1, &trial.endpoint.key);
        if let Some(parent) = line.asks(&trial.endpoint.key) {
            traced::tell(told.map(|(_, at)| at), parent.as_bytes(), &mut out)?;
        }
    }
    ask::forwarding(peer, &mut out);
    let id = ask::finish(&ask, || proxy.ids.digits(), &mut out);
    if let Some(line) = line {
        line.identified(&out[id]);
    }
    let vigil = Vigil::new((began, trial.now), proxy.response_limit(&trial.route));
    Some((Talk { out, reply: BytesMut::new(), alarm: Alarm::new(vigil.due()) }, trial))
}

fn body(proxy: &Arc<Proxy>, (talk, trial): (Talk, Trial), (answer, link): (&Answer, Link)) -> AnswerBody {
    let limit = piece_limit(proxy, &trial.route);
    let mut flow = Flow::new((talk.reply, answer), (link, trial), proxy.pool.clone(), limit);
    match flow.whole() {
        Some(bytes) => AnswerBody::whole(bytes),
        None => AnswerBody::flowing(Box::pin(flow)),
    }
}
