//! Which requests of a route go to another backend instead: by header, by cookie, by weight, with any number of others.
//!
//! Pure: the draw is passed in. Source: ingress-nginx `rootfs/etc/nginx/lua/balancer.lua`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::COOKIE;
use http::{HeaderMap, HeaderName};
use regex::Regex;

use crate::route::Route;
use crate::route::balance::scramble;

/// What a canary Ingress says of its requests.
#[derive(Debug, Clone, Default)]
pub struct CanaryRule {
    pub header: Option<(HeaderName, HeaderWish)>,
    /// `always` and `never` in this cookie decide.
    pub cookie: Option<Box<str>>,
    /// How many of how many.
    pub weight: u32,
    pub total: u32,
}

/// Which values of the header decide.
#[derive(Debug, Clone)]
pub enum HeaderWish {
    /// `always` and `never`.
    Words,
    Value(Box<str>),
    Pattern(Regex),
}

/// Other routes for the requests of one.
#[derive(Debug, Default)]
pub struct Canaries {
    all: Box<[(CanaryRule, Arc<Route>)]>,
    /// Moves with every draw.
    turn: AtomicU64,
}

impl PartialEq for CanaryRule {
    fn eq(&self, other: &Self) -> bool {
        self.header == other.header
            && self.cookie == other.cookie
            && (self.weight, self.total) == (other.weight, other.total)
    }
}

impl PartialEq for HeaderWish {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Words, Self::Words) => true,
            (Self::Value(one), Self::Value(other)) => one == other,
            (Self::Pattern(one), Self::Pattern(other)) => one.as_str() == other.as_str(),
            _ => false,
        }
    }
}

/// Where a request goes that others may take over.
#[derive(Debug)]
pub enum Prospects<'c> {
    /// It asks for this one.
    Taken(&'c Arc<Route>),
    /// It asks for none: so many of a hundred go there.
    Drawn(Vec<(u64, &'c Arc<Route>)>),
}

impl CanaryRule {
    /// What a request's head says, if it says something.
    fn wanted(&self, headers: &HeaderMap) -> Option<bool> {
        let word = |text: &str| match text {
            "always" => Some(true),
            "never" => Some(false),
            _ => None,
        };
        let by_header = self.header.as_ref().and_then(|(name, wish)| {
            let text = headers.get(name)?.to_str().ok()?;
            match wish {
                HeaderWish::Words => word(text),
                HeaderWish::Value(value) => (**value == *text).then_some(true),
                HeaderWish::Pattern(pattern) => pattern.is_match(text).then_some(true),
            }
        });
        by_header.or_else(|| word(cookie(headers, self.cookie.as_deref()?)?))
    }

    /// What it asks for, in words: `10 of 100`, `header x-canary`, `cookie c`.
    #[must_use]
    pub fn wish(&self) -> String {
        let weight = (self.weight > 0).then(|| format!("{} of {}", self.weight.min(self.total), self.total));
        let header = self.header.as_ref().map(|(name, _)| format!("header {name}"));
        let cookie = self.cookie.as_ref().map(|name| format!("cookie {name}"));
        let all: Vec<String> = [header, cookie, weight].into_iter().flatten().collect();
        if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
    }

    /// The share of requests, of 2^32.
    fn share(&self) -> u64 {
        let total = u64::from(self.total.max(1));
        (u64::from(self.weight).min(total) << 32) / total
    }

    /// The same of a hundred, for people.
    fn percent(&self) -> u64 {
        let total = u64::from(self.total.max(1));
        (u64::from(self.weight).min(total) * 100 + total / 2) / total
    }
}

impl Canaries {
    /// In this order: the first that a request asks for has it.
    #[must_use]
    pub fn new(all: Vec<(CanaryRule, Arc<Route>)>) -> Self {
        // Not from 0, so that rebuilds do not give the first requests after each to the same side.
        let turn = all.iter().fold(0, |sum, (_, route)| sum ^ Arc::as_ptr(route).addr() as u64);
        Self { all: all.into(), turn: AtomicU64::new(turn) }
    }

    /// Each of them, and what it takes.
    pub fn all(&self) -> impl Iterator<Item = (&CanaryRule, &Arc<Route>)> {
        self.all.iter().map(|(rule, route)| (rule, route))
    }

    /// Whether nobody takes anything over.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The route that takes a request over; none where it stays.
    #[must_use]
    pub fn choose(&self, headers: &HeaderMap) -> Option<&Arc<Route>> {
        if self.all.is_empty() {
            return None;
        }
        let draw = scramble(self.turn.fetch_add(1, Ordering::Relaxed)) >> 32;
        self.chosen(headers, draw)
    }

    /// `draw` is below 2^32.
    fn chosen(&self, headers: &HeaderMap, draw: u64) -> Option<&Arc<Route>> {
        let mut undecided = 0;
        let mut drawn = None;
        for (rule, route) in &self.all {
            match rule.wanted(headers) {
                Some(true) => return Some(route),
                Some(false) => {}
                None => {
                    undecided += rule.share();
                    if drawn.is_none() && draw < undecided {
                        drawn = Some(route);
                    }
                }
            }
        }
        drawn
    }

    /// Who takes such a request for certain, or who takes which of 100 such requests.
    #[must_use]
    pub fn prospects(&self, headers: &HeaderMap) -> Prospects<'_> {
        let mut may = Vec::new();
        for (rule, route) in &self.all {
            match rule.wanted(headers) {
                Some(true) => return Prospects::Taken(route),
                Some(false) => {}
                None if rule.share() > 0 => may.push((rule.percent(), route)),
                None => {}
            }
        }
        Prospects::Drawn(may)
    }

    /// All routes, for those who look at every one.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.all.iter().map(|(_, route)| route)
    }
}

/// The value of a cookie (RFC 6265 §4.2.1); the first where there are several.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{Canaries, CanaryRule, HeaderWish, Prospects};
    use crate::route::{Backend, Route};
    use crate::snapshot::Named;

    fn plain(name: &str) -> Route {
        Route::plain(Named::new("n", name), Arc::new(Backend::faulty(name.into(), "none")), 0)
    }

    fn canaries(rules: Vec<CanaryRule>) -> Canaries {
        let number = |(number, rule)| (rule, Arc::new(plain(&format!("canary-{number}"))));
        Canaries::new(rules.into_iter().enumerate().map(number).collect())
    }

    fn head(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    fn by_header(wish: HeaderWish) -> CanaryRule {
        CanaryRule {
            header: Some((HeaderName::from_static("x-canary"), wish)),
            cookie: Some("canary".into()),
            weight: 0,
            total: 100,
        }
    }

    #[test]
    fn who_asks_for_a_canary_is_told_of_it() {
        let weighed = CanaryRule { weight: 25, ..by_header(HeaderWish::Words) };
        let both = canaries(vec![weighed, by_header(HeaderWish::Value("me".into()))]);
        let of = |fields: &[(&'static str, &'static str)]| match both.prospects(&head(fields)) {
            Prospects::Taken(route) => format!("{}", route.ingress),
            Prospects::Drawn(all) => format!("{:?}", all.iter().map(|(percent, _)| percent).collect::<Vec<_>>()),
        };
        assert_eq!(of(&[("x-canary", "always")]), "n/canary-0");
        assert_eq!(of(&[("x-canary", "me")]), "n/canary-1");
        assert_eq!(of(&[("x-canary", "never")]), "[]");
        assert_eq!(of(&[]), "[25]");
        for weight in [1, 5, 33, 99] {
            let one = canaries(vec![CanaryRule { header: None, cookie: None, weight, total: 100 }]);
            let Prospects::Drawn(drawn) = one.prospects(&head(&[])) else { panic!("it is drawn") };
            assert_eq!(drawn[0].0, u64::from(weight));
        }
    }

    #[test]
    fn header_then_cookie_then_weight() {
        let pattern = regex::Regex::new("^v[23]$").expect("a pattern");
        for (wish, fields, goes) in [
            (HeaderWish::Words, &[("x-canary", "always")][..], true),
            (HeaderWish::Words, &[("x-canary", "never"), ("cookie", "canary=always")], false),
            (HeaderWish::Words, &[("x-canary", "maybe"), ("cookie", "a=b; canary=always")], true),
            (HeaderWish::Words, &[("cookie", "canary=never")], false),
            (HeaderWish::Words, &[("cookie", "xcanary=always")], false),
            (HeaderWish::Value("me".into()), &[("x-canary", "me")], true),
            (HeaderWish::Value("me".into()), &[("x-canary", "always")], false),
            (HeaderWish::Pattern(pattern.clone()), &[("x-canary", "v3")], true),
            (HeaderWish::Pattern(pattern), &[("x-canary", "v4")], false),
            (HeaderWish::Words, &[], false),
        ] {
            let chosen = canaries(vec![by_header(wish.clone())]);
            assert_eq!(chosen.choose(&head(fields)).is_some(), goes, "{wish:?} {fields:?}");
        }
    }

    #[test]
    fn weights_add_up_and_never_is_never() {
        let weigh = |weight, total| CanaryRule { weight, total, ..CanaryRule::default() };
        let both = canaries(vec![weigh(10, 100), weigh(400, 1_000)]);
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..100_000 {
            let name = both.choose(&HeaderMap::new()).map(|route| route.ingress.name.to_string());
            *seen.entry(name).or_insert(0) += 1;
        }
        let share = |name: Option<&str>| seen.get(&name.map(str::to_owned)).copied().unwrap_or(0);
        let close = |got: i32, want: i32| (got - want).abs() < 1_000;
        assert!(close(share(Some("canary-0")), 10_000) && close(share(Some("canary-1")), 40_000), "{seen:?}");
        assert!(close(share(None), 50_000), "{seen:?}");
        let all = canaries(vec![weigh(100, 100)]);
        assert!((0..1_000).all(|_| all.choose(&HeaderMap::new()).is_some()));
        let none = canaries(vec![weigh(0, 100)]);
        assert!((0..1_000).all(|_| none.choose(&HeaderMap::new()).is_none()));
        let mut refusing = by_header(HeaderWish::Words);
        refusing.weight = 100;
        assert!(canaries(vec![refusing]).choose(&head(&[("x-canary", "never")])).is_none());
    }
}
