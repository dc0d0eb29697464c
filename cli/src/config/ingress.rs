//! What the flags say about the ingress: whom it believes, what it allows, what it logs.
//!
//! Limits, timeouts and rules for heads are tables of names: a flag, a key of the file and a value of the chart alike.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use http::HeaderValue;
use ingress::trace::{CollectorError, TraceConfig};
use ingress::{AccessLog, BodyRate, HeadRules, Limits, Listen, LogFormat, LogTarget, Network, Timeouts};
use serde::Deserialize;

use super::{ServeFlags, first, usage};
use crate::failure::Failure;

/// From when on a body must have kept its pace, where nothing is said.
const RATE_AFTER: Duration = Duration::from_secs(10);

/// Whom and what the ingress believes, and what it does besides.
#[derive(Debug, Clone, Default)]
pub struct IngressSettings {
    pub trusted_proxies: Vec<Network>,
    pub default_certificate: Option<ingress::snapshot::Named>,
    pub external_names: ingress::ExternalNames,
    /// Trusted proxies say who the client is in a PROXY header.
    pub announced: bool,
    pub access_log: AccessLog,
    pub traces: Option<TraceConfig>,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub heads: HeadRules,
}

/// How a line of the access log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessLogFormat {
    /// One JSON object a request
    Json,
    /// As nginx and Apache write it
    Combined,
}

/// One name of a table.
pub struct Setting {
    name: &'static str,
    help: &'static str,
    set: fn(&mut IngressSettings, &str) -> Result<(), String>,
}

macro_rules! settings {
    ($($name:literal, $help:literal, $set:expr;)*) => {
        &[$(Setting { name: $name, help: $help, set: $set }),*]
    };
}

/// `--ingress-limit`
pub const LIMITS: &[Setting] = settings! {
    "head-bytes", "bytes of a head; more is a 431 (65536)", |s, v| number(v, 1024..=1 << 20, &mut s.limits.head_bytes);
    "head-fields", "fields of a head; more is a 431 (100)", |s, v| number(v, 10..=10_000, &mut s.limits.head_fields);
    "target-bytes", "bytes of a request target; more is a 414 (32768)",
        |s, v| number(v, 64..=1 << 20, &mut s.heads.target_bytes);
    "body-bytes", "bytes of a request body; more is a 413; 0: any (0)", |s, v| {
        let mut bytes = 0;
        number(v, 0..=1 << 50, &mut bytes)?;
        s.limits.body_bytes = (bytes > 0).then_some(bytes as u64);
        Ok(())
    };
    "body-rate", "bytes a second that a body brings after 10 s on average, or it is ended; 0: any (0)", |s, v| {
        let mut rate = 0;
        number(v, 0..=1 << 40, &mut rate)?;
        let after = s.limits.body_rate.map_or(RATE_AFTER, |rate| rate.after);
        s.limits.body_rate = (rate > 0).then_some(BodyRate { bytes_per_second: rate as u64, after });
        Ok(())
    };
    "connections", "open connections of clients a thread; more wait (16384)",
        |s, v| number(v, 1..=1 << 24, &mut s.limits.connections);
    "connections-per-address", "open connections of one address or IPv6 /64; 0: any (8192)", |s, v| {
        let mut most = 0;
        number(v, 0..=1 << 24, &mut most)?;
        s.limits.connections_per_address = (most > 0).then_some(most);
        Ok(())
    };
    "attempts", "endpoints that are tried for one request (5)", |s, v| number(v, 1..=100, &mut s.limits.attempts);
    "idle-per-endpoint", "unused connections that are kept to one endpoint by one thread (256)",
        |s, v| number(v, 0..=65_536, &mut s.limits.idle_per_endpoint);
};

/// `--ingress-timeout`
pub const TIMEOUTS: &[Setting] = settings! {
    "head", "for the head of a request, and between requests of a connection (60s)", |s, v| time(v, &mut s.timeouts.head);
    "connection", "age at which a client's connection takes no further request (1h)",
        |s, v| time(v, &mut s.timeouts.connection);
    "handshake", "for the TLS handshake or PROXY header of a client (10s)", |s, v| time(v, &mut s.timeouts.handshake);
    "connect", "for the connection to an endpoint (1s)", |s, v| time(v, &mut s.timeouts.connect);
    "unacknowledged", "for the machine of an endpoint to acknowledge what it was sent (3s)",
        |s, v| time(v, &mut s.timeouts.unacknowledged);
    "response", "for the head of an answer (60s)", |s, v| time(v, &mut s.timeouts.response);
    "idle", "between two pieces of a body (60s)", |s, v| time(v, &mut s.timeouts.idle);
    "tunnel", "between two pieces of an upgraded connection (1h)", |s, v| time(v, &mut s.timeouts.tunnel);
    "keep-alive", "for which an unused connection to an endpoint is kept (4s)", |s, v| time(v, &mut s.timeouts.keep_alive);
    "drain", "for requests and tunnels in flight at the end (30s)", |s, v| time(v, &mut s.timeouts.drain);
};

/// `--ingress-head`
pub const HEADS: &[Setting] = settings! {
    "underscores", "on: names with _ reach endpoints, some of which take it for - (off)",
        |s, v| switch(v, &mut s.heads.underscores);
    "trace", "on: TRACE is forwarded; off: it is a 405 (off)", |s, v| switch(v, &mut s.heads.trace);
    "forwarded", "on: Forwarded (RFC 7239) is sent beside X-Forwarded-* (off)", |s, v| switch(v, &mut s.heads.forwarded);
    "via", "our name in Via, by which requests that go in circles are found; none: no Via (none)",
        |s, v| { s.heads.via = token(v)?; Ok(()) };
    "server", "Server of answers that bring none; none: no Server (fedgate)",
        |s, v| { s.heads.server = token(v)?; Ok(()) };
    "hsts", "Strict-Transport-Security of hosts with a certificate, where answers bring none; none: none (max-age=31536000; includeSubDomains)",
        |s, v| { s.heads.hsts = promise(v)?; Ok(()) };
    "redirect-port", "on: redirects to HTTPS name the port of the TLS listener, as use-port-in-redirects does for one Ingress; a playground's do (off)",
        |s, v| switch(v, &mut s.heads.redirect_port);
};

impl IngressSettings {
    /// Lays the flags over the file.
    pub(super) fn of(flags: &ServeFlags, file: &ServeFlags) -> Result<Self, Failure> {
        let either = |of: fn(&ServeFlags) -> &Vec<String>| first(of(flags).clone(), of(file).clone());
        let proxies = either(|flags| &flags.ingress_trusted_proxy);
        let trusted_proxies =
            proxies.iter().map(|range| range.parse()).collect::<Result<Vec<_>, ingress::config::NetworkError>>();
        let names = either(|flags| &flags.ingress_external_name);
        let external_names = ingress::ExternalNames::new(names.iter().map(String::as_str));
        let certificate = flags.ingress_default_certificate.as_ref().or(file.ingress_default_certificate.as_ref());
        let default_certificate = certificate.map(|named| match named.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(ingress::snapshot::Named::new(namespace, name))
            }
            _ => Err(usage(&format!("--ingress-default-certificate: {named:?} is not NAMESPACE/NAME"))),
        });
        let mut settings = Self {
            trusted_proxies: trusted_proxies.map_err(|e| usage(&format!("--ingress-trusted-proxy: {e}")))?,
            default_certificate: default_certificate.transpose()?,
            external_names: external_names.map_err(|e| usage(&format!("--ingress-external-name: {e}")))?,
            announced: flags.ingress_proxy_protocol.or(file.ingress_proxy_protocol).unwrap_or(false),
            access_log: access_log(flags, file)?,
            traces: traces(flags, file)?,
            ..Self::default()
        };
        if settings.announced && settings.trusted_proxies.is_empty() {
            return Err(usage("--ingress-proxy-protocol needs --ingress-trusted-proxy: nobody else is believed"));
        }
        for given in [file, flags] {
            settings.apply("--ingress-limit", LIMITS, &given.ingress_limit)?;
            settings.apply("--ingress-timeout", TIMEOUTS, &given.ingress_timeout)?;
            settings.apply("--ingress-head", HEADS, &given.ingress_head)?;
        }
        Ok(settings)
    }

    /// A listener at this address, or with this socket.
    #[must_use]
    pub fn listen(&self, address: SocketAddr, socket: Option<TcpListener>) -> Listen {
        let plain = socket.map_or(Listen::Address(address), Listen::Socket);
        if self.announced { Listen::Announced(Box::new(plain)) } else { plain }
    }

    fn apply(&mut self, flag: &str, table: &[Setting], given: &[String]) -> Result<(), Failure> {
        let mut seen = Vec::new();
        for text in given {
            let (name, value) =
                text.split_once('=').ok_or_else(|| usage(&format!("{flag}: {text:?} is not NAME=VALUE")))?;
            let known = || table.iter().map(|setting| setting.name).collect::<Vec<_>>().join(", ");
            let setting = table
                .iter()
                .find(|setting| setting.name == name)
                .ok_or_else(|| usage(&format!("{flag}: there is no {name}")).fix(format!("there are {}", known())))?;
            if seen.contains(&name) {
                return Err(usage(&format!("{flag}: {name} is given twice")));
            }
            seen.push(name);
            (setting.set)(self, value).map_err(|e| usage(&format!("{flag}: {name}: {e}")))?;
        }
        Ok(())
    }
}

/// A flag's help with its table.
#[must_use]
pub fn help(about: &str, table: &[Setting]) -> String {
    let rows = table.iter().map(|setting| format!("\n  {}: {}", setting.name, setting.help));
    format!("{about}; repeatable:{}", rows.collect::<String>())
}

fn access_log(flags: &ServeFlags, file: &ServeFlags) -> Result<AccessLog, Failure> {
    let target = match flags.ingress_access_log.as_deref().or(file.ingress_access_log.as_deref()) {
        None | Some("off") => LogTarget::Off,
        Some("-") => LogTarget::Stdout,
        Some("") => return Err(usage("--ingress-access-log is empty").fix("say off, - or the name of a file")),
        Some(path) => LogTarget::File(PathBuf::from(path)),
    };
    let format = match flags.ingress_access_log_format.or(file.ingress_access_log_format) {
        None | Some(AccessLogFormat::Json) => LogFormat::Json,
        Some(AccessLogFormat::Combined) => LogFormat::Combined,
    };
    let every = flags.ingress_access_log_every.or(file.ingress_access_log_every).unwrap_or(1);
    if every == 0 {
        return Err(
            usage("--ingress-access-log-every is 0").fix("say 1 for every request, or --ingress-access-log off")
        );
    }
    Ok(AccessLog { target, format, every })
}

fn traces(flags: &ServeFlags, file: &ServeFlags) -> Result<Option<TraceConfig>, Failure> {
    let endpoint = flags.otlp_endpoint.as_ref().or(file.otlp_endpoint.as_ref());
    let ratio = flags.trace_ratio.or(file.trace_ratio);
    let Some(endpoint) = endpoint else {
        let needs = || usage("--trace-ratio needs --otlp-endpoint, which says where traces go");
        return ratio.map_or(Ok(None), |_| Err(needs()));
    };
    let collector = endpoint.parse().map_err(|e: CollectorError| usage(&format!("--otlp-endpoint: {e}")))?;
    let ratio = ratio.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&ratio) {
        return Err(usage(&format!("--trace-ratio: {ratio} is not between 0 and 1")));
    }
    Ok(Some(TraceConfig { collector, ratio }))
}

fn number(text: &str, within: std::ops::RangeInclusive<usize>, to: &mut usize) -> Result<(), String> {
    let (least, most) = (*within.start(), *within.end());
    let number = text.parse().ok().filter(|number| within.contains(number));
    *to = number.ok_or_else(|| format!("{text:?} is no number from {least} to {most}"))?;
    Ok(())
}

/// A whole number of `ms`, `s`, `m` or `h`, up to a week.
fn time(text: &str, to: &mut Duration) -> Result<(), String> {
    let wrong = || format!("{text:?} is no time such as 500ms, 30s, 5m or 1h, of at most a week");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let millis = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let millis = text[..digits].parse::<u64>().ok().and_then(|number| number.checked_mul(millis));
    *to = millis
        .filter(|millis| (1..=7 * 24 * 3_600_000).contains(millis))
        .map(Duration::from_millis)
        .ok_or_else(wrong)?;
    Ok(())
}

fn switch(text: &str, to: &mut bool) -> Result<(), String> {
    *to = match text {
        "on" => true,
        "off" => false,
        _ => return Err(format!("{text:?} is neither on nor off")),
    };
    Ok(())
}

/// What may be said of HTTPS (RFC 6797 §6.1); `none` is none.
fn promise(text: &str) -> Result<Option<HeaderValue>, String> {
    if text == "none" {
        return Ok(None);
    }
    let mut parts = text.split(';').map(str::trim);
    let age = parts.next().and_then(|age| age.strip_prefix("max-age=")).is_some_and(|age| age.parse::<u32>().is_ok());
    let mut left = vec!["includeSubDomains", "preload"];
    let once = |part| left.iter().position(|known| *known == part).map(|at| left.swap_remove(at)).is_some();
    let known = parts.all(once);
    let value = HeaderValue::from_str(text).ok().filter(|_| age && known);
    value.map(Some).ok_or_else(|| {
        format!("{text:?} is not max-age=SECONDS[; includeSubDomains][; preload], each of them once at most")
    })
}

/// A word that may stand in a head; `none` is none.
fn token(text: &str) -> Result<Option<HeaderValue>, String> {
    if text == "none" {
        return Ok(None);
    }
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),;\\".contains(&byte));
    let value = HeaderValue::from_str(text).ok().filter(|_| fits);
    value.map(Some).ok_or_else(|| format!("{text:?} is not one word"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ingress::{Listen, LogFormat, LogTarget};

    use super::{HEADS, IngressSettings, LIMITS, TIMEOUTS, promise};
    use crate::config::{AccessLogFormat, ServeFlags};

    fn text(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn flags_are_laid_over_the_file_name_by_name() {
        let file = ServeFlags {
            ingress_limit: text(&["head-bytes=2048", "body-bytes=10", "body-rate=100", "connections-per-address=0"]),
            ingress_timeout: text(&["idle=5m", "connect=200ms"]),
            ingress_head: text(&["trace=on", "via=gate", "server=none"]),
            ingress_access_log: Some("/var/log/x".to_owned()),
            ingress_trusted_proxy: text(&["10.0.0.0/8"]),
            ingress_proxy_protocol: Some(true),
            ..ServeFlags::default()
        };
        let flags = ServeFlags {
            ingress_limit: text(&["head-bytes=4096", "body-bytes=0", "target-bytes=100"]),
            ingress_timeout: text(&["idle=1h"]),
            ingress_head: text(&["underscores=on", "trace=off"]),
            ingress_access_log_format: Some(AccessLogFormat::Combined),
            ingress_access_log_every: Some(10),
            ..ServeFlags::default()
        };
        let settings = IngressSettings::of(&flags, &file).expect("settings");
        let limits = &settings.limits;
        assert_eq!((limits.head_bytes, limits.body_bytes, limits.connections_per_address), (4096, None, None));
        assert_eq!(limits.body_rate.map(|rate| (rate.bytes_per_second, rate.after.as_secs())), Some((100, 10)));
        let timeouts = &settings.timeouts;
        assert_eq!((timeouts.idle, timeouts.connect), (Duration::from_secs(3600), Duration::from_millis(200)));
        assert_eq!(timeouts.drain, Duration::from_secs(30));
        let heads = &settings.heads;
        assert!(heads.underscores && !heads.trace && heads.server.is_none() && heads.target_bytes == 100);
        assert_eq!(heads.via.as_ref().map(|via| via.as_bytes()), Some(&b"gate"[..]));
        let log = &settings.access_log;
        assert_eq!(log.target, LogTarget::File("/var/log/x".into()));
        assert_eq!((log.format, log.every), (LogFormat::Combined, 10));
        assert!(matches!(settings.listen("127.0.0.1:0".parse().expect("an address"), None), Listen::Announced(_)));
    }

    #[test]
    fn https_is_promised_in_words_that_are_said_once() {
        for (text, sound) in [
            ("none", true),
            ("max-age=0", true),
            ("max-age=1; includeSubDomains", true),
            ("max-age=1;preload;includeSubDomains", true),
            ("max-age=1; includeSubDomains; includeSubDomains", false),
            ("max-age=1; preload; includeSubDomains; preload", false),
            ("max-age=1; max-age=1", false),
            ("max-age=1; ", false),
            ("max-age=-1", false),
            ("includeSubDomains", false),
            ("", false),
        ] {
            let told = promise(text);
            assert_eq!(told.is_ok(), sound, "{text} {told:?}");
        }
    }

    #[test]
    fn a_log_of_no_request_is_not_asked_for_by_zero() {
        let flags = ServeFlags { ingress_access_log_every: Some(0), ..ServeFlags::default() };
        let refused = IngressSettings::of(&flags, &ServeFlags::default()).expect_err("refused");
        assert!(refused.message.contains("--ingress-access-log-every"), "{refused:?}");
    }

    #[test]
    fn every_name_says_its_default() {
        for table in [LIMITS, TIMEOUTS, HEADS] {
            for setting in table {
                let (_, default) = setting.help.rsplit_once('(').expect("a default");
                let default = default.trim_end_matches(')');
                let (mut given, plain) = (IngressSettings::default(), IngressSettings::default());
                (setting.set)(&mut given, default).expect(setting.name);
                let all = |s: &IngressSettings| format!("{:?} {:?} {:?}", s.limits, s.timeouts, s.heads);
                assert_eq!(all(&given), all(&plain), "{}", setting.name);
            }
        }
    }
}
