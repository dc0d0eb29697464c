//! Annotations about which endpoint, and about other backends: balancing, sessions, retries, canaries.
//!
//! Source: ingress-nginx `internal/ingress/annotations/{loadbalancing,sessionaffinity,upstreamhashby,proxy,canary}`.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use regex::{Regex, RegexBuilder};

use super::DeliveryWish;
use super::read::Reader;
use crate::route::balance::HashKey;
use crate::route::canary::{CanaryRule, HeaderWish};
use crate::route::{Affinity, AffinityError, Balance, CookieSettings, Retries};

/// Bytes of a request's body that may be kept for another try.
pub(super) const REPLAY_MAX: u64 = 1 << 20;
/// Endpoints of a key where its Ingress wants several and does not say how many.
const SUBSET: u32 = 3;
/// Bytes of a compiled pattern.
const PATTERN_MAX: usize = 1 << 20;

pub(super) fn wish(reader: &mut Reader<'_>) -> DeliveryWish {
    let words = [("round_robin", false), ("ewma", true)];
    let balance = reader.one_of("load-balance", &words);
    let balance = balance.map(|ewma| if ewma { Balance::LeastOfTwo } else { Balance::RoundRobin });
    let hash: Option<HashKey> = reader.parsed("upstream-hash-by", |text| text.parse().ok());
    let subset = reader.flag("upstream-hash-by-subset").unwrap_or(false);
    let size = reader.number("upstream-hash-by-subset-size").unwrap_or(SUBSET);
    let size = u8::try_from(size).unwrap_or(u8::MAX);
    let hash = hash.map(Arc::new).map(|key| if subset { Balance::Subset(key, size) } else { Balance::Hash(key) });
    let shares = reader.parsed("cluster-shares", |text| text.parse().ok()).map(Arc::new);
    DeliveryWish { balance: hash.or(balance), affinity: affinity(reader), retries: retries(reader), shares }
}

fn affinity(reader: &mut Reader<'_>) -> Option<Arc<Affinity>> {
    reader.text("affinity")?;
    let settings = CookieSettings {
        mode: reader.one_of("affinity-mode", &[("balanced", "balanced"), ("persistent", "persistent")]),
        name: reader.text("session-cookie-name"),
        path: reader.text("session-cookie-path"),
        domain: reader.text("session-cookie-domain"),
        samesite: reader.text("session-cookie-samesite"),
        secure: reader.flag("session-cookie-secure"),
        expires: reader.number("session-cookie-expires").map(i64::from),
        max_age: reader.number("session-cookie-max-age").map(i64::from),
        change_on_failure: reader.flag("session-cookie-change-on-failure").unwrap_or(false),
    };
    match Affinity::new(settings) {
        Ok(affinity) => Some(Arc::new(affinity)),
        Err(error) => {
            let name = match &error {
                AffinityError::Mode(_) => "affinity-mode",
                AffinityError::Name(_) => "session-cookie-name",
                AffinityError::Path(_) => "session-cookie-path",
                AffinityError::Domain(_) => "session-cookie-domain",
                AffinityError::SameSite(_) => "session-cookie-samesite",
            };
            reader.wrong_for(name, &error);
            None
        }
    }
}

fn retries(reader: &mut Reader<'_>) -> Option<Retries> {
    let words: Option<Retries> = reader.parsed("proxy-next-upstream", |text| text.parse().ok());
    let tries = reader.number("proxy-next-upstream-tries").map(|tries| tries as usize);
    let within = reader.number("proxy-next-upstream-timeout").map(|seconds| Duration::from_secs(seconds.into()));
    let replay = reader.bytes("replay-body-size").and_then(|bytes| usize::try_from(bytes).ok());
    if words.is_none() && tries.is_none() && within.is_none() && replay.is_none() {
        return None;
    }
    Some(words.unwrap_or_default().bounded(tries, within).replaying(replay.unwrap_or(0)))
}

/// Whether an Ingress with these annotations only takes requests of others.
pub(super) fn canary(reader: &mut Reader<'_>) -> Option<CanaryRule> {
    if !reader.flag("canary").unwrap_or(false) {
        return None;
    }
    let name = reader.parsed("canary-by-header", |text| HeaderName::from_bytes(text.as_bytes()).ok());
    let value = reader.header("canary-by-header-value");
    let value = value.and_then(|value| Some(HeaderWish::Value(value.to_str().ok()?.into())));
    let pattern = reader.parsed("canary-by-header-pattern", |text| pattern(text).ok());
    let wish = value.or(pattern.map(HeaderWish::Pattern)).unwrap_or(HeaderWish::Words);
    let weight = reader.number("canary-weight").unwrap_or(0);
    let total = reader.number("canary-weight-total").unwrap_or(100);
    if weight > total {
        let how_far = format!("{weight} counts as {total}, which is all that canary-weight-total has: every request");
        reader.cut("canary-weight", how_far);
    }
    Some(CanaryRule { header: name.map(|name| (name, wish)), cookie: reader.token("canary-by-cookie"), weight, total })
}

pub(super) fn pattern(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(PATTERN_MAX).dfa_size_limit(PATTERN_MAX).build()
}
