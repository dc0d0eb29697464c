//! Answers of authentication services that hold for a while, for requests that say the same.
//!
//! One memory a worker, bounded; keys are digests, so that no credential is kept and none can be hit by accident.

use std::collections::HashMap;
use std::time::Duration;

use http::header::{CACHE_CONTROL, PRAGMA, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;
use ring::digest::{Context, SHA256};

use crate::route::balance::Asked;
use crate::route::extauth::External;

/// Answers that are remembered at once.
const KEPT_MAX: usize = 4096;

/// By which an answer is found again.
pub type Place = [u8; 32];

/// What a service has said.
#[derive(Clone)]
pub struct Said {
    pub status: StatusCode,
    /// For endpoints.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    pub challenges: Vec<HeaderValue>,
    pub cookies: Vec<HeaderValue>,
}

/// The memory.
#[derive(Default)]
pub struct Grants {
    /// Guards answers and until when they hold, in milliseconds; held for one operation of the map.
    kept: Mutex<HashMap<Place, (u64, Said)>>,
}

/// Where the answer about a request is kept, of whose client `shown` is told; nowhere if its service is always asked.
pub fn place(external: &External, asked: Asked<'_>, shown: &[(HeaderName, HeaderValue)]) -> Option<Place> {
    let rules = &*external.rules;
    let said = rules.cache.as_ref()?.key.bytes(asked)?;
    let mut digest = Context::new(&SHA256);
    let ingress = external.route.ingress.to_string();
    let service = [ingress.as_bytes(), rules.host.as_bytes(), rules.target.as_str().as_bytes()];
    // What may be had at one path says nothing of another, whatever the key leaves out; nor do methods and certificates.
    let place = [asked.host.as_bytes(), asked.parts.uri.path().as_bytes(), asked.parts.method.as_str().as_bytes()];
    let shown = shown.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]);
    for part in service.into_iter().chain(place).chain([&*said]).chain(shown) {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finish().as_ref().try_into().ok()
}

/// How long an answer holds, if it says nothing else itself.
pub fn holds(external: &External, status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let own = [SET_COOKIE, VARY, CACHE_CONTROL, PRAGMA].iter().any(|name| headers.contains_key(name));
    external.rules.cache.as_ref().filter(|_| !own)?.holds(status.as_u16())
}

impl Grants {
    /// What was said, if it still holds at `now`.
    pub fn find(&self, place: &Place, now: u64) -> Option<Said> {
        self.kept.lock().get(place).filter(|(until, _)| now < *until).map(|(_, said)| said.clone())
    }

    /// Remembers what was said at `now`.
    pub fn keep(&self, place: Place, said: Said, (now, time): (u64, Duration)) {
        let until = now.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, (until, _)| now < *until);
        }
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(place, (until, said));
    }
}
