//! Every annotation of ingress-nginx by name, and what becomes of it here; with ours among them.
//!
//! The one list: what is not in it is told as unknown. Source: ingress-nginx 1.15 `internal/ingress/annotations`.

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
];

/// Whether an annotation can be a default of a class.
#[must_use]
pub fn is_class_wide(name: &str) -> bool {
    CLASS_WIDE.binary_search(&name).is_ok()
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

const fn works(name: &'static str) -> Row {
    Row { name, verdict: Verdict::Works, guards: false }
}

/// One that ingress-nginx has not.
const fn ours(name: &'static str) -> Row {
    works(name)
}

const fn differs(name: &'static str, how: &'static str) -> Row {
    Row { name, verdict: Verdict::Differs(how), guards: false }
}

const fn ignored(name: &'static str, why: &'static str) -> Row {
    Row { name, verdict: Verdict::Ignored(why), guards: false }
}

const fn refused(name: &'static str, why: &'static str) -> Row {
    Row { name, verdict: Verdict::Refused(why), guards: false }
}

impl Row {
    const fn guards(self) -> Self {
        Self { guards: true, ..self }
    }
}

const YET: &str = "it is not served yet";
const STREAMED: &str = "bodies are streamed, never buffered";
const TEXTS: &str = "texts; no patterns and no variables";
const TOO_MANY: &str = "the answer is 429 with Retry-After, there 503";
const NO_WAF: &str = "there is no ModSecurity here";
const SNIPPET: &str = "configuration of nginx is never executed";

#[rustfmt::skip]
static ROWS: &[Row] = &[
    works("affinity"),
    differs("affinity-canary-behavior", "as legacy there: the canary is drawn for each request"),
    works("affinity-mode"),
    works("allowlist-source-range").guards(),
    works("app-root"),
    works("auth-always-set-cookie"),
    differs("auth-cache-duration", "a day at most; answers with cookies, Vary or a Cache-Control of their own are not kept"),
    differs("auth-cache-key", "kept for each path, method and client certificate (there for each location); $remote_user counts as the whole Authorization; who says nothing of the key is always asked about"),
    ours("auth-jwt-audiences").guards(),
    ours("auth-jwt-headers").guards(),
    ours("auth-jwt-issuer").guards(),
    ours("auth-jwt-leeway").guards(),
    ours("auth-jwt-secret").guards(),
    ignored("auth-keepalive", "connections to the service are always kept"),
    ignored("auth-keepalive-requests", "connections to the service are always kept"),
    ignored("auth-keepalive-share-vars", "connections to the service are always kept"),
    ignored("auth-keepalive-timeout", "connections to the service are always kept"),
    differs("auth-method", "GET, HEAD, POST"),
    refused("auth-proxy-set-headers", YET),
    works("auth-realm"),
    works("auth-request-redirect"),
    differs("auth-response-headers", "what a client says under these names is taken off before the question, too (there after it)").guards(),
    differs("auth-secret", "bcrypt, apr1 and {SHA}; a Secret of the same namespace").guards(),
    works("auth-secret-type").guards(),
    differs("auth-signin", "with the variables $host $http_host $scheme $request_uri $escaped_request_uri; no WWW-Authenticate beside the redirect"),
    works("auth-signin-redirect-param"),
    refused("auth-snippet", SNIPPET).guards(),
    differs("auth-tls-error-page", "an http or https URL, to which clients are redirected; no paths and no named locations"),
    differs("auth-tls-match-cn", "compared with each CN of the subject, from its beginning (there anywhere in the subject)").guards(),
    works("auth-tls-pass-certificate-to-upstream"),
    differs("auth-tls-secret", "of the same namespace; its hosts are closed to plain HTTP, too, unless it is redirected").guards(),
    differs("auth-tls-verify-client", "a value that is none of on, off, optional, optional_no_ca closes the host (there it means on)").guards(),
    works("auth-tls-verify-depth"),
    differs("auth-type", "basic alone; a digest needs passwords that can be read").guards(),
    differs("auth-url", "a Service by its name in the cluster: NAME.NAMESPACE.svc, of this namespace or annotated fedgate.dev/auth-service").guards(),
    differs("backend-protocol", "HTTP, HTTPS, GRPC, GRPCS, AUTO_HTTP; no FCGI"),
    differs("canary", "a route may have any number of them (there one)"),
    works("canary-by-cookie"),
    works("canary-by-header"),
    differs("canary-by-header-pattern", "patterns with look-around or back-references are refused"),
    works("canary-by-header-value"),
    works("canary-weight"),
    works("canary-weight-total"),
    ignored("client-body-buffer-size", STREAMED),
    ours("cluster-shares"),
    differs("configuration-snippet", "more_set_headers, add_header, proxy_set_header with plain values; with anything else nobody is let in").guards(),
    works("connection-proxy-header"),
    works("cors-allow-credentials"),
    works("cors-allow-headers"),
    works("cors-allow-methods"),
    differs("cors-allow-origin", "with * no credentials are allowed, as browsers have it"),
    works("cors-expose-headers"),
    works("cors-max-age"),
    refused("custom-headers", YET),
    differs("custom-http-errors", "together with default-backend; there is no global one"),
    works("default-backend"),
    works("denylist-source-range").guards(),
    refused("disable-proxy-intercept-errors", YET),
    ours("eject-errors"),
    ours("eject-failures"),
    ours("eject-percent"),
    works("enable-access-log"),
    works("enable-cors"),
    refused("enable-global-auth", "there is no global authentication to opt out of"),
    refused("enable-modsecurity", NO_WAF).guards(),
    differs("enable-opentelemetry", "false traces nothing; true is nothing without the collector that the gateway is started with (--otlp-endpoint)"),
    refused("enable-owasp-core-rules", NO_WAF).guards(),
    ignored("enable-rewrite-log", "there is no such log"),
    refused("fastcgi-index", "FastCGI is not spoken"),
    refused("fastcgi-params-configmap", "FastCGI is not spoken"),
    works("force-ssl-redirect"),
    works("from-to-www-redirect"),
    ours("health-check-fails"),
    ours("health-check-interval"),
    ours("health-check-passes"),
    ours("health-check-path"),
    ours("health-check-timeout"),
    ignored("http2-push-preload", "no browser takes pushes any more"),
    works("limit-allowlist"),
    works("limit-burst-multiplier"),
    differs("limit-connections", TOO_MANY),
    works("limit-rate"),
    works("limit-rate-after"),
    differs("limit-rpm", TOO_MANY),
    differs("limit-rps", TOO_MANY),
    works("limit-whitelist"),
    works("load-balance"),
    ours("max-requests"),
    ours("max-wait"),
    ours("max-waiting"),
    works("mirror-host"),
    differs("mirror-request-body", "a copy that is 256 kB behind breaks off (there the request waits for it)"),
    differs("mirror-target", "a Service of the same namespace by its name in the cluster, also with $request_uri behind; requests as endpoints see them"),
    refused("modsecurity-snippet", NO_WAF),
    refused("modsecurity-transaction-id", NO_WAF),
    refused("opentelemetry-operation-name", "a span has the name of its method; its rule is an attribute"),
    refused("opentelemetry-trust-incoming-span", "whether a trace goes on is known before the route"),
    works("permanent-redirect"),
    works("permanent-redirect-code"),
    works("preserve-trailing-slash"),
    differs("proxy-body-size", "without it the listener's own limit holds (none by default, there 1m)"),
    ignored("proxy-buffer-size", "the head of an answer may be as large as the listener allows, 64 kB"),
    ignored("proxy-buffering", STREAMED),
    ignored("proxy-buffers-number", STREAMED),
    ignored("proxy-busy-buffers-size", STREAMED),
    works("proxy-connect-timeout"),
    differs("proxy-cookie-domain", TEXTS),
    differs("proxy-cookie-path", TEXTS),
    refused("proxy-http-version", YET),
    ignored("proxy-max-temp-file-size", STREAMED),
    works("proxy-next-upstream"),
    works("proxy-next-upstream-timeout"),
    works("proxy-next-upstream-tries"),
    works("proxy-read-timeout"),
    works("proxy-redirect-from"),
    works("proxy-redirect-to"),
    ignored("proxy-request-buffering", STREAMED),
    works("proxy-send-timeout"),
    ignored("proxy-ssl-ciphers", "only suites that are sound today are offered"),
    differs("proxy-ssl-name", "without it the name is the Service's, SERVICE.NAMESPACE.svc"),
    differs("proxy-ssl-protocols", "TLSv1.2 and TLSv1.3 are spoken"),
    works("proxy-ssl-secret").guards(),
    differs("proxy-ssl-server-name", "sent unless it is off"),
    works("proxy-ssl-verify").guards(),
    ignored("proxy-ssl-verify-depth", "chains end at the authorities that are named, however long they are"),
    refused("relative-redirects", "redirects are sent as they are written"),
    ours("replay-body-size"),
    works("rewrite-target"),
    works("satisfy").guards(),
    refused("secure-verify-ca-secret", "it was removed from ingress-nginx in 0.18"),
    differs("server-alias", "host names and *. names; no patterns"),
    refused("server-snippet", SNIPPET).guards(),
    refused("service-upstream", "requests always go straight to pods"),
    works("session-cookie-change-on-failure"),
    ignored("session-cookie-conditional-samesite-none", "every browser of today takes SameSite=None"),
    works("session-cookie-domain"),
    works("session-cookie-expires"),
    works("session-cookie-max-age"),
    works("session-cookie-name"),
    works("session-cookie-path"),
    works("session-cookie-samesite"),
    works("session-cookie-secure"),
    ours("slow-start"),
    refused("ssl-ciphers", "the suites are those of rustls"),
    differs("ssl-passthrough", "a host that an older Ingress serves stays with that one"),
    ignored("ssl-prefer-server-ciphers", "TLS 1.3 and the AEAD suites of 1.2 need no preference"),
    works("ssl-redirect"),
    refused("stream-snippet", SNIPPET).guards(),
    works("temporal-redirect"),
    works("temporal-redirect-code"),
    differs("upstream-hash-by", "some of nginx's variables: $request_uri $uri $args $host $remote_addr $scheme $request_method $http_x $cookie_x $arg_x"),
    works("upstream-hash-by-subset"),
    differs("upstream-hash-by-subset-size", "16 at most"),
    works("upstream-vhost"),
    ignored("use-port-in-redirects", "redirects to HTTPS never name a port"),
    differs("use-regex", "patterns with look-around or back-references are refused"),
    works("whitelist-source-range").guards(),
    differs("x-forwarded-prefix", "set only together with rewrite-target, as there"),
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
