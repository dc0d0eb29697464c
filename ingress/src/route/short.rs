//! Whether requests of a route are passed on as they are, whoever sends them: decided once, when the route is built.
//!
//! Every field of a route is named here, so that a new one has to be thought of. Pure.

use std::sync::Arc;

use http::HeaderValue;

use crate::route::{Route, Way};

/// How such requests find their endpoint, by their scheme; none where there is more to decide.
#[derive(Debug, Clone, Copy, Default)]
pub struct Short {
    http: Option<Way>,
    https: Option<Way>,
}

impl Route {
    /// The route as it is served: nothing of it changes from here on.
    #[must_use]
    pub fn sealed(mut self) -> Arc<Self> {
        let way = |scheme| self.judge(&HeaderValue::from_static(scheme));
        self.short = Short { http: way("http"), https: way("https") };
        Arc::new(self)
    }

    /// How requests of `scheme` find their endpoint, if they are passed on as they are.
    #[must_use]
    pub fn short_way(&self, scheme: &HeaderValue) -> Option<Way> {
        if scheme == "https" { self.short.https } else { self.short.http }
    }

    fn judge(&self, scheme: &HeaderValue) -> Option<Way> {
        let Self {
            backend,
            delivery,
            wiring,
            policy,
            canaries,
            extauth,
            pages,
            mirror,
            ingress: _,
            number: _,
            short: _,
        } = self;
        let free = backend.fault.is_none() && backend.seats().is_none();
        let silent = canaries.is_empty() && extauth.is_none() && pages.is_none() && mirror.is_none();
        let plain = free && silent && wiring.wire(scheme).is_bare() && policy.is_plain();
        delivery.plain_way().filter(|_| plain)
    }
}
