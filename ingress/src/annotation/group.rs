//! Annotations that belong together, with the defaults of ingress-nginx.
//!
//! Source: ingress-nginx `internal/ingress/annotations/*`, `rootfs/etc/nginx/template/nginx.tmpl`.

use http::{HeaderValue, StatusCode};

use super::read::Reader;
use super::{UsersWish, own_secret};
use crate::config::Network;
use crate::route::policy::{
    Access, AnswerRate, AnswerRules, BodyLimit, Cors, Https, Origin, Origins, Piece, Policy, Protocol, Rate,
    RateLimits, Redirect, Rewrite, Waits, WhenHttps,
};

/// How many requests may come at once for each that may come regularly.
const BURST: u32 = 5;
const CORS_HEADERS: &str =
    "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization";
const CORS_METHODS: &str = "GET, PUT, POST, DELETE, PATCH, OPTIONS";
const CORS_MAX_AGE: u32 = 1_728_000;

/// Where requests are sent instead of being forwarded.
pub(super) fn redirects(reader: &mut Reader<'_>, policy: &mut Policy) {
    let forced = reader.flag("force-ssl-redirect").unwrap_or(false);
    let wanted = reader.flag("ssl-redirect").unwrap_or(true);
    let when = match (forced, wanted) {
        (true, _) => WhenHttps::Always,
        (false, true) => WhenHttps::Certified,
        (false, false) => WhenHttps::Never,
    };
    policy.https = Https {
        when,
        keeps_slash: reader.flag("preserve-trailing-slash").unwrap_or(false),
        names_port: reader.flag("use-port-in-redirects").unwrap_or(false),
    };
    policy.app_root = reader.header("app-root");
    let redirect = |to: &str, code: &str, default: StatusCode| {
        let to = reader.url(to)?;
        let status = reader.number(code).and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok());
        Some(Redirect { status: status.unwrap_or(default), to })
    };
    let temporal = redirect("temporal-redirect", "temporal-redirect-code", StatusCode::FOUND);
    let permanent = redirect("permanent-redirect", "permanent-redirect-code", StatusCode::MOVED_PERMANENTLY);
    policy.redirect = temporal.or(permanent);
}

/// What endpoints get to see, and how long anybody may wait.
pub(super) fn forwarding(reader: &mut Reader<'_>, policy: &mut Policy) {
    policy.rewrite = reader.parsed("rewrite-target", rewrite);
    policy.forwarded_prefix = reader.header("x-forwarded-prefix").filter(|_| policy.rewrite.is_some());
    policy.upstream_host = reader.header("upstream-vhost");
    policy.bodies = match reader.bytes("proxy-body-size") {
        None => BodyLimit::Listener,
        Some(0) => BodyLimit::None,
        Some(bytes) => BodyLimit::Bytes(bytes),
    };
    policy.waits = Waits {
        connect: reader.seconds("proxy-connect-timeout"),
        read: reader.seconds("proxy-read-timeout"),
        send: reader.seconds("proxy-send-timeout"),
    };
    let protocols = [
        ("HTTP", Protocol::Http),
        ("HTTPS", Protocol::Https),
        ("GRPC", Protocol::Grpc),
        ("GRPCS", Protocol::Grpcs),
        ("AUTO_HTTP", Protocol::Auto),
    ];
    policy.protocol = reader.one_of("backend-protocol", &protocols);
    policy.passthrough = reader.flag("ssl-passthrough").unwrap_or(false);
    policy.logged = reader.flag("enable-access-log").unwrap_or(true);
    policy.traced = reader.flag("enable-opentelemetry").unwrap_or(true);
}

pub(super) fn rewrite(target: &str) -> Option<Rewrite> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:$?&=%,".contains(&byte);
    if !target.starts_with(['/', '$']) || !target.bytes().all(sound) {
        return None;
    }
    let mut pieces = Vec::new();
    for (number, part) in target.split('$').enumerate() {
        let text = match (number, part.bytes().next()) {
            (0, _) => part,
            (_, Some(digit @ b'1'..=b'9')) => {
                pieces.push(Piece::Group(usize::from(digit - b'0')));
                &part[1..]
            }
            _ => return None,
        };
        if !text.is_empty() {
            pieces.push(Piece::Text(text.into()));
        }
    }
    Some(Rewrite(pieces.into()))
}

pub(super) fn cors(reader: &mut Reader<'_>) -> Option<Box<Cors>> {
    if !reader.flag("enable-cors").unwrap_or(false) {
        return None;
    }
    // Of a list with others in it, those that are origins count: without any, everybody would be one.
    let origins = reader.given("cors-allow-origin").map_or(Origins::Any, |text| origins(text).0);
    let methods = reader.text("cors-allow-methods").unwrap_or(CORS_METHODS);
    let max_age = reader.number("cors-max-age").unwrap_or(CORS_MAX_AGE);
    Some(Box::new(Cors {
        origins,
        methods: HeaderValue::from_str(methods).expect("letters, commas and blanks"),
        headers: reader.header_names("cors-allow-headers").unwrap_or(HeaderValue::from_static(CORS_HEADERS)),
        exposed: reader.header_names("cors-expose-headers"),
        credentials: reader.flag("cors-allow-credentials").unwrap_or(true),
        max_age: HeaderValue::from(max_age),
    }))
}

pub(super) fn are_methods(text: &str) -> bool {
    let sound = |method: &str| method.bytes().all(|byte| byte.is_ascii_alphabetic());
    text.split([',', ' ']).filter(|method| !method.is_empty()).all(sound)
}

/// The origins of a list, and how many of its entries are none.
pub(super) fn origins(text: &str) -> (Origins, usize) {
    let given = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    if given.clone().any(|origin| origin == "*") {
        return (Origins::Any, 0);
    }
    let known: Vec<Origin> = given.clone().filter_map(origin).collect();
    let odd = given.count() - known.len();
    (Origins::Listed(known.into()), odd)
}

/// `scheme://host[:port]`, the host with at most one leading `*.`, or `null`.
fn origin(text: &str) -> Option<Origin> {
    if text == "null" {
        return Some(Origin::Exact(text.into()));
    }
    let (scheme, host) = text.split_once("://")?;
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    let rest = host.strip_prefix("*.").unwrap_or(host);
    if rest.is_empty() || !rest.bytes().all(sound) {
        return None;
    }
    Some(match host.strip_prefix("*.") {
        Some(rest) => Origin::Within { scheme: scheme.into(), rest: rest.to_ascii_lowercase().into() },
        None => Origin::Exact(text.to_ascii_lowercase().into()),
    })
}

pub(super) fn access(reader: &mut Reader<'_>) -> Access {
    let allowed = reader.networks("allowlist-source-range").or_else(|| reader.networks("whitelist-source-range"));
    Access { denied: reader.networks("denylist-source-range").unwrap_or_default(), allowed }
}

pub(super) fn limits(reader: &mut Reader<'_>) -> Option<Box<RateLimits>> {
    let multiplier = reader.number("limit-burst-multiplier").unwrap_or(BURST);
    let rate = |name: &str| {
        let count = reader.number(name).filter(|count| *count > 0)?;
        Some(Rate { count, burst: count.saturating_mul(multiplier) })
    };
    let (second, minute) = (rate("limit-rps"), rate("limit-rpm"));
    let open = reader.number("limit-connections").filter(|open| *open > 0);
    let listed = reader.networks("limit-allowlist").or_else(|| reader.networks("limit-whitelist"));
    let exempt: Box<[Network]> = listed.unwrap_or_default();
    let any = second.is_some() || minute.is_some() || open.is_some();
    any.then(|| Box::new(RateLimits { second, minute, open, exempt }))
}

/// How fast answers go out.
pub(super) fn rate(reader: &mut Reader<'_>) -> Option<AnswerRate> {
    let kilobytes = |name: &str| reader.number(name).map(|count| u64::from(count) * 1024).filter(|n| *n > 0);
    let after = kilobytes("limit-rate-after").unwrap_or(0);
    kilobytes("limit-rate").map(|bytes_per_second| AnswerRate { bytes_per_second, after })
}

/// What endpoints are told about the connection that they are spoken to over.
pub(super) fn connection(reader: &mut Reader<'_>) -> Option<HeaderValue> {
    let words = [("close", 0), ("keep-alive", 1)];
    let at: usize = reader.one_of("connection-proxy-header", &words)?;
    Some(HeaderValue::from_static(words[at].0))
}

/// Users with passwords.
pub(super) fn users(reader: &mut Reader<'_>, namespace: &str) -> Option<UsersWish> {
    if reader.given("auth-type").is_none() {
        reader.idle("auth-secret", "is nothing without auth-type: nobody is asked for a password");
    }
    reader.text("auth-type")?;
    let map = reader.one_of("auth-secret-type", &[("auth-file", false), ("auth-map", true)]).unwrap_or(false);
    let realm = reader.header("auth-realm");
    let realm = realm.as_ref().and_then(|realm| realm.to_str().ok()).unwrap_or("Authentication Required").to_owned();
    let secret = reader.text("auth-secret").and_then(|named| own_secret(named, namespace));
    if secret.is_none() {
        reader.wrong("auth-secret", "the name of a Secret in the namespace of the Ingress");
    }
    Some(UsersWish { secret: secret?.to_owned(), map, realm })
}

/// Which errors a Service of the namespace has a page for.
pub(super) fn errors(reader: &mut Reader<'_>) -> Option<(Box<[u16]>, String)> {
    let service = reader.text("default-backend");
    let codes = reader.parsed("custom-http-errors", statuses);
    if codes.is_some() && service.is_none() {
        reader.wrong("custom-http-errors", "followed without the annotation default-backend");
    }
    Some((codes.unwrap_or_default(), service?.to_owned()))
}

pub(super) fn is_service(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

pub(super) fn statuses(text: &str) -> Option<Box<[u16]>> {
    let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (400..600).contains(code));
    text.split(',').map(code).collect()
}

/// Rewritten heads of answers.
pub(super) fn answers(reader: &mut Reader<'_>) -> Option<Box<AnswerRules>> {
    let from = reader.text("proxy-redirect-from").filter(|from| !matches!(*from, "off" | "default"));
    let to = reader.text("proxy-redirect-to").filter(|to| *to != "off");
    let pair = |name: &str| reader.parsed(name, from_to);
    let rules = AnswerRules {
        cookie_domain: pair("proxy-cookie-domain"),
        cookie_path: pair("proxy-cookie-path"),
        location: from.zip(to).map(|(from, to)| (from.into(), to.into())),
        ..AnswerRules::default()
    };
    (rules != AnswerRules::default()).then(|| Box::new(rules))
}

/// What becomes what, as the two words of a text.
pub(super) fn from_to(text: &str) -> Option<(Box<str>, Box<str>)> {
    let mut words = text.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(from), Some(to), None) if !from.starts_with('~') && !text.contains('$') => Some((from.into(), to.into())),
        _ => None,
    }
}

/// Further names for the hosts of the Ingress; those of a list that are names, whatever else is in it.
pub(super) fn aliases(reader: &mut Reader<'_>) -> Vec<String> {
    reader.given("server-alias").map_or_else(Vec::new, |text| aliases_of(text).0)
}

/// The names of a list, and how many of its entries are none.
pub(super) fn aliases_of(text: &str) -> (Vec<String>, usize) {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let (known, odd): (Vec<&str>, Vec<&str>) = text
        .split(',')
        .map(str::trim)
        .filter(|alias| !alias.is_empty())
        .partition(|alias| alias.strip_prefix("*.").unwrap_or(alias).bytes().all(sound));
    (known.into_iter().map(str::to_ascii_lowercase).collect(), odd.len())
}
