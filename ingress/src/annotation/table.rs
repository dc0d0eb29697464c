//! Every annotation of ingress-nginx by name, and what becomes of it here; with ours among them.
//!
//! The one list: what is not in it is told as unknown. Source: ingress-nginx 1.15 `internal/ingress/annotations`.

use super::delivery::REPLAY_MAX;
use super::form::Form;
use super::values::{
    ALIASES, AUDIENCES, CACHE_KEY, CACHE_TIMES, CHECK_PATH, CLAIMS, COMMON_NAME, COOKIE_PATH, DOMAIN, FIELD, FROM_TO,
    HASH_KEY, METHODS, MIRROR, ORIGINS, PATTERN, PLAIN_SNIPPET, RETRIES, REWRITE, SECRET, SERVICE, SERVICE_URL, SHARES,
    SIGN_IN, STATUSES, SWITCH, TLS_VERSIONS, TOLD_NAMES, VISIBLE,
};

/// What becomes of an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As there.
    Works,
    /// It works, but for this.
    Differs(&'static str),
    /// There is nothing to do, because of this.
    Ignored(&'static str),
    /// It is not followed, because of this.
    Refused(&'static str),
}

/// One annotation.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Without prefix.
    pub name: &'static str,
    pub verdict: Verdict,
    /// What its values look like.
    form: Form,
    /// It keeps somebody out: where it is not followed, nobody comes in.
    pub guards: bool,
}

/// Annotations that can be said for a whole class: those that keep nobody out and name nothing of a namespace.
const CLASS_WIDE: &[&str] = &[
    "affinity",
    "affinity-mode",
    "cors-allow-credentials",
    "cors-allow-headers",
    "cors-allow-methods",
    "cors-allow-origin",
    "cors-expose-headers",
    "cors-max-age",
    "enable-access-log",
    "enable-cors",
    "force-ssl-redirect",
    "limit-allowlist",
    "limit-burst-multiplier",
    "limit-connections",
    "limit-rate",
    "limit-rate-after",
    "limit-rpm",
    "limit-rps",
    "limit-whitelist",
    "load-balance",
    "preserve-trailing-slash",
    "proxy-body-size",
    "proxy-connect-timeout",
    "proxy-next-upstream",
    "proxy-next-upstream-timeout",
    "proxy-next-upstream-tries",
    "proxy-read-timeout",
    "proxy-send-timeout",
    "replay-body-size",
    "ssl-redirect",
    "use-port-in-redirects",
];

/// Whether an annotation can be a default of a class.
#[must_use]
pub fn is_class_wide(name: &str) -> bool {
    CLASS_WIDE.binary_search(&name).is_ok()
}

/// Annotations that are heard on an Ingress that only takes requests of others: about itself, its endpoints and its hosts.
const OF_CANARIES: &[&str] = &[
    "affinity",
    "auth-tls-",
    "canary",
    "cluster-shares",
    "eject-",
    "from-to-www-redirect",
    "health-check-",
    "load-balance",
    "max-",
    "proxy-next-upstream",
    "replay-body-size",
    "server-alias",
    "session-cookie-",
    "slow-start",
    "upstream-hash-by",
    "use-regex",
];

/// Whether an annotation is heard on a canary.
#[must_use]
pub fn is_of_canaries(name: &str) -> bool {
    OF_CANARIES.iter().any(|begin| name.starts_with(begin))
}

/// The row of an annotation, by its name without prefix.
#[must_use]
pub fn row(name: &str) -> Option<&'static Row> {
    ROWS.binary_search_by(|row| row.name.cmp(name)).ok().map(|at| &ROWS[at])
}

/// All rows, by name.
#[must_use]
pub const fn all() -> &'static [Row] {
    ROWS
}

const fn works(name: &'static str, form: Form) -> Row {
    Row { name, verdict: Verdict::Works, form, guards: false }
}

/// One that ingress-nginx has not.
const fn ours(name: &'static str, form: Form) -> Row {
    works(name, form)
}

const fn differs(name: &'static str, form: Form, how: &'static str) -> Row {
    Row { name, verdict: Verdict::Differs(how), form, guards: false }
}

const fn ignored(name: &'static str, why: &'static str) -> Row {
    Row { name, verdict: Verdict::Ignored(why), form: Form::Any, guards: false }
}

const fn refused(name: &'static str, why: &'static str) -> Row {
    Row { name, verdict: Verdict::Refused(why), form: Form::Any, guards: false }
}

impl Row {
    /// Whether a value can be used; an empty one is as none.
    ///
    /// # Errors
    /// The value, and what is wanted in its place.
    pub fn check(&self, value: &str) -> Result<(), String> {
        match value.trim() {
            "" => Ok(()),
            value => self.form.check(value),
        }
    }

    const fn guards(self) -> Self {
        Self { guards: true, ..self }
    }
}

const YET: &str = "it is not served yet";
const PLAIN_URL: &str = "nginx's variables are refused, and requests go to the backend then";
const STREAMED: &str = "bodies are streamed, never buffered";
const TEXTS: &str = "texts; no patterns and no variables";
const TOO_MANY: &str = "the answer is 429 with Retry-After, there 503";
const NO_WAF: &str = "there is no ModSecurity here";
const SNIPPET: &str = "configuration of nginx is never executed";

#[rustfmt::skip]
static ROWS: &[Row] = &[
    works("affinity", Form::Words(&["cookie"])),
    differs("affinity-canary-behavior", Form::Words(&["sticky", "legacy"]), "as legacy there: the canary is drawn for each request"),
    works("affinity-mode", Form::Words(&["balanced", "persistent"])),
    works("allowlist-source-range", Form::Networks).guards(),
    works("app-root", Form::Path),
    works("auth-always-set-cookie", Form::Flag),
    differs("auth-cache-duration", CACHE_TIMES, "a day at most; answers with cookies, Vary or a Cache-Control of their own are not kept"),
    differs("auth-cache-key", CACHE_KEY, "kept for each path, method and client certificate (there for each location); $remote_user counts as the whole Authorization; who says nothing of the key is always asked about"),
    ours("auth-jwt-audiences", AUDIENCES).guards(),
    ours("auth-jwt-headers", CLAIMS).guards(),
    ours("auth-jwt-issuer", VISIBLE).guards(),
    ours("auth-jwt-leeway", Form::Number(0, 300)).guards(),
    ours("auth-jwt-secret", SECRET).guards(),
    ignored("auth-keepalive", "connections to the service are always kept"),
    ignored("auth-keepalive-requests", "connections to the service are always kept"),
    ignored("auth-keepalive-share-vars", "connections to the service are always kept"),
    ignored("auth-keepalive-timeout", "connections to the service are always kept"),
    differs("auth-method", Form::Words(&["GET", "HEAD", "POST"]), "GET, HEAD, POST"),
    refused("auth-proxy-set-headers", YET),
    works("auth-realm", Form::Header),
    works("auth-request-redirect", Form::Header),
    differs("auth-response-headers", TOLD_NAMES, "what a client says under these names is taken off before the question, too (there after it)").guards(),
    differs("auth-secret", SECRET, "bcrypt, apr1 and {SHA}; a Secret of the same namespace").guards(),
    works("auth-secret-type", Form::Words(&["auth-file", "auth-map"])).guards(),
    differs("auth-signin", SIGN_IN, "with the variables $host $http_host $scheme $request_uri $escaped_request_uri; no WWW-Authenticate beside the redirect"),
    works("auth-signin-redirect-param", Form::Token),
    refused("auth-snippet", SNIPPET).guards(),
    differs("auth-tls-error-page", Form::Url, "an http or https URL, to which clients are redirected; no paths and no named locations"),
    differs("auth-tls-match-cn", COMMON_NAME, "compared with each CN of the subject, from its beginning (there anywhere in the subject)").guards(),
    works("auth-tls-pass-certificate-to-upstream", Form::Flag),
    differs("auth-tls-secret", SECRET, "of the same namespace; its hosts are closed to plain HTTP, too, unless it is redirected").guards(),
    differs("auth-tls-verify-client", Form::Words(&["on", "off", "optional", "optional_no_ca"]), "a value that is none of on, off, optional, optional_no_ca closes the host (there it means on)").guards(),
    works("auth-tls-verify-depth", Form::Number(0, u32::MAX)),
    differs("auth-type", Form::Words(&["basic"]), "basic alone; a digest needs passwords that can be read").guards(),
    differs("auth-url", SERVICE_URL, "a Service by its name in the cluster: NAME.NAMESPACE.svc, of this namespace or annotated fedgate.dev/auth-service").guards(),
    differs("backend-protocol", Form::Words(&["HTTP", "HTTPS", "GRPC", "GRPCS", "AUTO_HTTP"]), "HTTP, HTTPS, GRPC, GRPCS, AUTO_HTTP; no FCGI"),
    differs("canary", Form::Flag, "a route may have any number of them (there one)"),
    works("canary-by-cookie", Form::Token),
    works("canary-by-header", FIELD),
    differs("canary-by-header-pattern", PATTERN, "patterns with look-around or back-references are refused"),
    works("canary-by-header-value", Form::Header),
    works("canary-weight", Form::Number(0, u32::MAX)),
    differs("canary-weight-total", Form::Number(1, u32::MAX), "one below 100 counts as it is (there as 100)"),
    ignored("client-body-buffer-size", STREAMED),
    ours("cluster-shares", SHARES),
    differs("configuration-snippet", PLAIN_SNIPPET, "more_set_headers, add_header, proxy_set_header with plain values; with anything else nobody is let in").guards(),
    works("connection-proxy-header", Form::Words(&["close", "keep-alive"])),
    works("cors-allow-credentials", Form::Flag),
    works("cors-allow-headers", Form::HeaderNames),
    works("cors-allow-methods", METHODS),
    differs("cors-allow-origin", ORIGINS, "with * no credentials are allowed, as browsers have it"),
    works("cors-expose-headers", Form::HeaderNames),
    works("cors-max-age", Form::Number(0, u32::MAX)),
    refused("custom-headers", "its ConfigMap is not read; configuration-snippet with more_set_headers sets fields of answers"),
    differs("custom-http-errors", STATUSES, "together with default-backend; there is no global one"),
    works("default-backend", SERVICE),
    works("denylist-source-range", Form::Networks).guards(),
    refused("disable-proxy-intercept-errors", YET),
    ours("eject-errors", Form::Number(0, u32::MAX)),
    ours("eject-failures", Form::Number(0, u32::MAX)),
    ours("eject-percent", Form::Number(0, 100)),
    works("enable-access-log", Form::Flag),
    works("enable-cors", Form::Flag),
    refused("enable-global-auth", "there is no global authentication to opt out of"),
    refused("enable-modsecurity", NO_WAF).guards(),
    differs("enable-opentelemetry", Form::Flag, "false traces nothing; true is nothing without the collector that the gateway is started with (--otlp-endpoint)"),
    refused("enable-owasp-core-rules", NO_WAF).guards(),
    ignored("enable-rewrite-log", "there is no such log"),
    refused("fastcgi-index", "FastCGI is not spoken"),
    refused("fastcgi-params-configmap", "FastCGI is not spoken"),
    works("force-ssl-redirect", Form::Flag),
    works("from-to-www-redirect", Form::Flag),
    ours("health-check-fails", Form::Number(1, u32::MAX)),
    ours("health-check-interval", Form::Seconds),
    ours("health-check-passes", Form::Number(1, u32::MAX)),
    ours("health-check-path", CHECK_PATH),
    ours("health-check-timeout", Form::Seconds),
    ignored("http2-push-preload", "no browser takes pushes any more"),
    works("limit-allowlist", Form::Networks),
    works("limit-burst-multiplier", Form::Number(1, u32::MAX)),
    differs("limit-connections", Form::Number(0, u32::MAX), TOO_MANY),
    works("limit-rate", Form::Number(0, u32::MAX)),
    works("limit-rate-after", Form::Number(0, u32::MAX)),
    differs("limit-rpm", Form::Number(0, u32::MAX), TOO_MANY),
    differs("limit-rps", Form::Number(0, u32::MAX), TOO_MANY),
    works("limit-whitelist", Form::Networks),
    works("load-balance", Form::Words(&["round_robin", "ewma"])),
    ours("max-requests", Form::Number(1, u32::MAX)),
    ours("max-wait", Form::Seconds),
    ours("max-waiting", Form::Number(0, u32::MAX)),
    works("mirror-host", Form::Header),
    differs("mirror-request-body", SWITCH, "a copy that is 256 kB behind breaks off (there the request waits for it)"),
    differs("mirror-target", MIRROR, "a Service of the same namespace by its name in the cluster, also with $request_uri behind; requests as endpoints see them"),
    refused("modsecurity-snippet", NO_WAF),
    refused("modsecurity-transaction-id", NO_WAF),
    refused("opentelemetry-operation-name", "a span has the name of its method; its rule is an attribute"),
    refused("opentelemetry-trust-incoming-span", "whether a trace goes on is known before the route"),
    differs("permanent-redirect", Form::Url, PLAIN_URL),
    works("permanent-redirect-code", Form::Number(300, 308)),
    works("preserve-trailing-slash", Form::Flag),
    differs("proxy-body-size", Form::Bytes(u64::MAX), "without it the listener's own limit holds (none by default, there 1m)"),
    ignored("proxy-buffer-size", "the head of an answer may be as large as the listener allows, 64 kB"),
    ignored("proxy-buffering", STREAMED),
    ignored("proxy-buffers-number", STREAMED),
    ignored("proxy-busy-buffers-size", STREAMED),
    works("proxy-connect-timeout", Form::Seconds),
    differs("proxy-cookie-domain", FROM_TO, TEXTS),
    differs("proxy-cookie-path", FROM_TO, TEXTS),
    refused("proxy-http-version", YET),
    ignored("proxy-max-temp-file-size", STREAMED),
    differs("proxy-next-upstream", RETRIES, "what has a body is sent again only with replay-body-size, since bodies are streamed"),
    works("proxy-next-upstream-timeout", Form::Number(0, u32::MAX)),
    works("proxy-next-upstream-tries", Form::Number(0, u32::MAX)),
    works("proxy-read-timeout", Form::Seconds),
    works("proxy-redirect-from", Form::Text),
    works("proxy-redirect-to", Form::Text),
    ignored("proxy-request-buffering", STREAMED),
    works("proxy-send-timeout", Form::Seconds),
    ignored("proxy-ssl-ciphers", "only suites that are sound today are offered"),
    differs("proxy-ssl-name", Form::Token, "without it the name is the Service's, SERVICE.NAMESPACE.svc"),
    differs("proxy-ssl-protocols", TLS_VERSIONS, "TLSv1.2 and TLSv1.3 are spoken"),
    works("proxy-ssl-secret", SECRET).guards(),
    differs("proxy-ssl-server-name", SWITCH, "sent unless it is off"),
    works("proxy-ssl-verify", SWITCH).guards(),
    ignored("proxy-ssl-verify-depth", "chains end at the authorities that are named, however long they are"),
    refused("relative-redirects", "redirects are sent as they are written"),
    ours("replay-body-size", Form::Bytes(REPLAY_MAX)),
    works("rewrite-target", REWRITE),
    works("satisfy", Form::Words(&["any", "all"])).guards(),
    refused("secure-verify-ca-secret", "it was removed from ingress-nginx in 0.18"),
    differs("server-alias", ALIASES, "host names and *. names; no patterns"),
    refused("server-snippet", SNIPPET).guards(),
    refused("service-upstream", "requests always go straight to pods"),
    works("session-cookie-change-on-failure", Form::Flag),
    ignored("session-cookie-conditional-samesite-none", "every browser of today takes SameSite=None"),
    works("session-cookie-domain", DOMAIN),
    works("session-cookie-expires", Form::Number(0, u32::MAX)),
    works("session-cookie-max-age", Form::Number(0, u32::MAX)),
    works("session-cookie-name", Form::Token),
    works("session-cookie-path", COOKIE_PATH),
    works("session-cookie-samesite", Form::Words(&["None", "Lax", "Strict"])),
    works("session-cookie-secure", Form::Flag),
    ours("slow-start", Form::Seconds),
    refused("ssl-ciphers", "the suites are those of rustls"),
    differs("ssl-passthrough", Form::Flag, "a host that an older Ingress serves stays with that one"),
    ignored("ssl-prefer-server-ciphers", "TLS 1.3 and the AEAD suites of 1.2 need no preference"),
    works("ssl-redirect", Form::Flag),
    refused("stream-snippet", SNIPPET).guards(),
    differs("temporal-redirect", Form::Url, PLAIN_URL),
    works("temporal-redirect-code", Form::Number(300, 307)),
    differs("upstream-hash-by", HASH_KEY, "some of nginx's variables: $request_uri $uri $args $host $remote_addr $scheme $request_method $http_x $cookie_x $arg_x"),
    works("upstream-hash-by-subset", Form::Flag),
    differs("upstream-hash-by-subset-size", Form::Number(1, u32::MAX), "16 at most"),
    works("upstream-vhost", Form::Header),
    works("use-port-in-redirects", Form::Flag),
    differs("use-regex", Form::Flag, "patterns with look-around or back-references are refused"),
    works("whitelist-source-range", Form::Networks).guards(),
    differs("x-forwarded-prefix", Form::Header, "set only together with rewrite-target, as there"),
];

#[cfg(test)]
mod tests {
    use super::{CLASS_WIDE, ROWS, row};

    #[test]
    fn rows_are_in_order_and_found() {
        assert!(ROWS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(ROWS.iter().all(|one| row(one.name).is_some()));
        assert!(row("colour").is_none());
        assert!(CLASS_WIDE.is_sorted() && CLASS_WIDE.iter().all(|name| row(name).is_some_and(|row| !row.guards)));
    }
}
