//! Traces of requests that take the short way: the context goes on in the head that the endpoint gets.
//!
//! What a caller says in odd words is for the general way; must not know who collects spans.

use std::time::Instant;

use super::Express;
use super::ask::Ask;
use crate::route::Endpoint;
use crate::route::policy::Policy;
use crate::trace::Asked;
use crate::trace::Span;
use crate::trace::context::{LENGTH, TRACEPARENT};

impl Express<'_> {
    /// The span of a request, if it is traced, whose endpoint hears of it in `out`; `None`: it is for the general way.
    pub(super) fn traced(
        &self,
        ask: &Ask<'_>,
        (policy, endpoint): (&Policy, &Endpoint),
        began: Instant,
        out: &mut Vec<u8>,
    ) -> Option<Option<Box<Span>>> {
        let Some(traces) = self.proxy.journal.as_ref().and_then(|journal| journal.tracing()) else { return Some(None) };
        let told = ask.trace.told()?;
        let context = traces.context(told.map(|(context, _)| context));
        if !(context.sampled && policy.traced) {
            if told.is_none() {
                append(out, traces.untraced(context).as_bytes());
            }
            return Some(None);
        }
        let asked = Asked::plain(self.peer, &ask.method, [ask.named, ask.path().as_bytes(), ask.agent]);
        let mut span = traces.span(began, context, asked);
        let value = span.asks(1, &endpoint.key);
        match told {
            Some((_, at)) => out.get_mut(at..at + LENGTH)?.copy_from_slice(value.as_bytes()),
            None => append(out, value.as_bytes()),
        }
        Some(Some(span))
    }
}

fn append(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(TRACEPARENT.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
