//! Annotations of ingress-nginx, read into a [`Policy`]: what each of them becomes is a [`table`], never a template.
//!
//! Pure. Both prefixes mean the same, ours wins. A rule that guards and cannot be read closes the route.

mod bearer;
mod delivery;
mod endpoints;
mod extauth;
mod form;
mod group;
mod mirror;
mod mutual;
mod read;
mod snippet;
pub mod table;
mod upkeep;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::route::canary::CanaryRule;
use crate::route::extauth::ExternalAuth;
use crate::route::policy::Policy;
use crate::route::{Affinity, Balance, Delivery, Retries, Shares};
pub use bearer::BearerWish;
pub use endpoints::TlsWish;
pub use mirror::MirrorWish;
pub use mutual::MutualWish;
use read::Reader;
pub use upkeep::{UpkeepWish, of as upkeep_of};

/// Prefix of ingress-nginx's annotations.
pub const NGINX: &str = "nginx.ingress.kubernetes.io/";
/// Prefix of ours.
pub const OURS: &str = "ingress.fedgate.dev/";

/// What the annotations of one Ingress come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    pub policy: Policy,
    /// Further names of its hosts.
    pub aliases: Vec<String>,
    /// Its hosts are known with and without `www.`.
    pub www: bool,
    /// Its paths are patterns.
    pub patterned: bool,
    pub delivery: DeliveryWish,
    pub upkeep: UpkeepWish,
    pub users: Option<UsersWish>,
    /// Whose tokens may come.
    pub bearer: Option<BearerWish>,
    /// Who gets copies of its requests.
    pub mirror: Option<MirrorWish>,
    /// What clients have to show on its hosts.
    pub mutual: Option<MutualWish>,
    /// How endpoints are spoken to where that is TLS.
    pub endpoints: TlsWish,
    /// Whom to ask whether a request may pass.
    pub extauth: Option<ExternalWish>,
    /// Statuses that a Service of the namespace is asked about, and its name.
    pub errors: Option<(Box<[u16]>, String)>,
    /// It takes requests of other Ingresses' routes, and has none of its own.
    pub canary: Option<CanaryRule>,
    pub findings: Vec<Finding>,
}

/// Whose users may come with a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsersWish {
    /// In the namespace of the Ingress.
    pub secret: String,
    /// Its keys are the users; otherwise its key `auth` is an htpasswd file.
    pub map: bool,
    pub realm: String,
}

/// The Secrets that annotations name, all of them in the Ingress' own namespace.
pub fn secrets<'a>(annotations: &'a BTreeMap<String, String>, namespace: &'a str) -> impl Iterator<Item = &'a str> {
    let basic = annotations.contains_key("auth-type").then(|| annotations.get("auth-secret")).flatten();
    basic
        .into_iter()
        .chain(annotations.get("proxy-ssl-secret"))
        .chain(annotations.get("auth-tls-secret"))
        .chain(annotations.get("auth-jwt-secret"))
        .filter_map(move |named| own_secret(named.trim(), namespace))
}

/// The name of a Secret that is written as `name` or as `namespace/name`; none where that is another namespace.
fn own_secret<'a>(named: &'a str, namespace: &str) -> Option<&'a str> {
    let name = match named.split_once('/') {
        Some((of, name)) if of == namespace => name,
        Some(_) => return None,
        None => named,
    };
    is_secret(name).then_some(name)
}

fn is_secret(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    !name.is_empty() && name.bytes().all(sound)
}

/// A Service that is asked whether a request may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalWish {
    /// Name and namespace.
    pub service: (String, String),
    pub port: u16,
    pub tls: bool,
    pub rules: Arc<ExternalAuth>,
}

/// How endpoints are picked, as far as the Ingress says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeliveryWish {
    pub balance: Option<Balance>,
    pub affinity: Option<Arc<Affinity>>,
    pub retries: Option<Retries>,
    pub shares: Option<Arc<Shares>>,
}

impl DeliveryWish {
    /// `usual` with what is wished.
    #[must_use]
    pub fn over(&self, usual: &Delivery) -> Delivery {
        Delivery {
            balance: self.balance.clone().unwrap_or_else(|| usual.balance.clone()),
            affinity: self.affinity.clone().or_else(|| usual.affinity.clone()),
            retries: self.retries.clone().unwrap_or_else(|| usual.retries.clone()),
            shares: self.shares.clone().or_else(|| usual.shares.clone()),
        }
    }
}

/// An annotation that is not followed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Without prefix.
    pub name: String,
    pub message: String,
    pub weight: Weight,
}

/// What comes of an annotation that is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It is followed as far as it goes, as with ingress-nginx.
    Cut,
    /// Nothing, as with ingress-nginx.
    Nothing,
    /// The Ingress is served without it.
    Lost,
    /// Nobody is let in.
    Closes,
}

/// What becomes of one annotation that was found on an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Without prefix.
    pub name: String,
    /// `works`, `differs`, `ignored`, `refused`.
    pub verdict: &'static str,
    /// How it differs, how far it is followed, or why it is not; empty where it just works.
    pub why: String,
    /// Whether the routes of its Ingress answer 503 because of it.
    pub closes: bool,
}

/// Says of each annotation of an Ingress in `namespace`, by name without prefix, what becomes of it.
#[must_use]
pub fn judge(annotations: &BTreeMap<String, String>, namespace: &str) -> Vec<Judged> {
    let findings = read_within(annotations, namespace).findings;
    let judged = |name: &String| {
        let row = table::row(name);
        let found = findings.iter().find(|finding| finding.name == *name);
        let (verdict, why) = match (found, row.map(|row| row.verdict)) {
            (Some(Finding { weight: Weight::Cut, message, .. }), _) => ("works", message.clone()),
            (Some(Finding { weight: Weight::Nothing, message, .. }), _) => ("ignored", message.clone()),
            (Some(finding), _) => ("refused", finding.message.clone()),
            (None, Some(table::Verdict::Differs(how))) => ("differs", how.to_owned()),
            (None, Some(table::Verdict::Ignored(why))) => ("ignored", why.to_owned()),
            (None, _) => ("works", String::new()),
        };
        Judged { name: name.clone(), verdict, why, closes: found.is_some_and(|it| it.weight == Weight::Closes) }
    };
    annotations.keys().map(judged).collect()
}

/// The annotations of an object that are about routing, without their prefix.
pub fn of_routing<'a>(annotations: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (key, value) in annotations {
        if let Some(name) = key.strip_prefix(OURS) {
            found.insert(name.to_owned(), value.to_owned());
        } else if let Some(name) = key.strip_prefix(NGINX) {
            found.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    found
}

/// Reads annotations, by name without prefix.
#[must_use]
pub fn read(annotations: &BTreeMap<String, String>) -> Reading {
    read_within(annotations, "")
}

/// The same, of an Ingress in `namespace`: only there it can name Secrets.
#[must_use]
pub fn read_within(annotations: &BTreeMap<String, String>, namespace: &str) -> Reading {
    if annotations.is_empty() {
        return Reading::default();
    }
    let mut reader = Reader::new(annotations);
    let mut policy = Policy::default();
    group::redirects(&mut reader, &mut policy);
    group::forwarding(&mut reader, &mut policy);
    policy.cors = group::cors(&mut reader);
    policy.access = group::access(&mut reader);
    policy.limits = group::limits(&mut reader);
    policy.answers = group::answers(&mut reader);
    policy.rate = group::rate(&mut reader);
    policy.connection = group::connection(&mut reader);
    snippet::read(&mut reader, &mut policy);
    let aliases = group::aliases(&mut reader);
    let www = reader.flag("from-to-www-redirect").unwrap_or(false);
    let patterned = reader.flag("use-regex").unwrap_or(false) || policy.rewrite.is_some();
    let delivery = delivery::wish(&mut reader);
    let upkeep = upkeep::wish(&mut reader);
    let canary = delivery::canary(&mut reader);
    if canary.is_some() {
        reader.pass_over(
            table::is_of_canaries,
            "is not followed on a canary: its requests meet the rules of the Ingress that has its path",
        );
    }
    let users = group::users(&mut reader, namespace);
    let bearer = bearer::wish(&mut reader, namespace);
    let mutual = mutual::wish(&mut reader, namespace);
    let mirror = mirror::wish(&mut reader);
    let endpoints = endpoints::tls(&mut reader, namespace);
    let errors = group::errors(&mut reader);
    let extauth = extauth::wish(&mut reader);
    policy.satisfied_by_any = reader.one_of("satisfy", &[("any", true), ("all", false)]).unwrap_or(false);
    let (findings, closed) = reader.finish();
    policy.closed = closed;
    Reading {
        policy,
        aliases,
        www,
        patterned,
        delivery,
        upkeep,
        users,
        bearer,
        mirror,
        mutual,
        endpoints,
        errors,
        extauth,
        canary,
        findings,
    }
}

#[cfg(test)]
use group::rewrite as group_rewrite;
#[cfg(test)]
mod tests;
