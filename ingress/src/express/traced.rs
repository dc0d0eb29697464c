//! Traces of requests that take the short way: the context goes on in the head that the endpoint gets.
//!
//! What a caller says in odd words is for the general way; must not know who collects spans.

use std::time::Instant;

use super::Express;
use super::ask::Ask;
use super::field;
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
                tell(None, traces.untraced(context).as_bytes(), out)?;
            }
            return Some(None);
        }
        let asked = Asked::plain(self.peer, &ask.method, [ask.named, ask.path().as_bytes(), ask.agent]);
        let mut span = traces.span(began, context, asked);
        let value = span.asks(1, &endpoint.key);
        tell(told.map(|(_, at)| at), value.as_bytes(), out)?;
        Some(Some(span))
    }
}

/// Puts a context into the head that the endpoint gets: over the one `at` this place, or at its end.
pub(super) fn tell(at: Option<usize>, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if let Some(at) = at {
        out.get_mut(at..at + LENGTH)?.copy_from_slice(value);
        return Some(());
    }
    field::add(TRACEPARENT.as_str(), value, out);
    Some(())
}
