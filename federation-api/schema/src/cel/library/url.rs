//! URLs as Go parses them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::value::{EvalError, Key, Map, Text, Value};
use super::{Row, text, wrong};

pub(super) const TABLE: &[Row] = &[
    ("url", url),
    ("isURL", is_url),
    ("getScheme", scheme),
    ("getHost", host),
    ("getHostname", hostname),
    ("getPort", port),
    ("getEscapedPath", escaped_path),
    ("getQuery", query),
];

type Out<'a> = Result<Value<'a>, EvalError>;

/// A URL in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    user: String,
    /// With the port.
    host: String,
    /// As it is written.
    path: String,
    query: String,
    fragment: String,
}

fn failed(text: &str, why: &str) -> String {
    format!("parse {text:?}: {why}")
}

/// A URL; a request URI has to be absolute and has no fragment.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(whole: &str, request: bool) -> Result<Url, String> {
    if whole.chars().any(|c| c.is_ascii_control()) {
        return Err(failed(whole, "net/url: invalid control character in URL"));
    }
    if whole.is_empty() && request {
        return Err(failed(whole, "empty url"));
    }
    let (text, fragment) = match whole.split_once('#') {
        Some((text, fragment)) if !request => (text, fragment),
        _ => (whole, ""),
    };
    let (scheme, rest) = split_scheme(whole, text)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !rest.starts_with('/') && request && scheme.is_empty() {
        return Err(failed(whole, "invalid URI for request"));
    }
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) if !scheme.is_empty() || (!request && !rest.starts_with('/')) => {
            let end = rest.find('/').unwrap_or(rest.len());
            (&rest[..end], &rest[end..])
        }
        _ => ("", rest),
    };
    // `mailto:someone` has no authority and no path.
    let path = if !scheme.is_empty() && !rest.starts_with('/') { "" } else { path };
    check_escapes(whole, path)?;
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    check_host(whole, host)?;
    Ok(Url {
        scheme,
        user: user.to_owned(),
        host: host.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        fragment: fragment.to_owned(),
    })
}

fn split_scheme<'t>(whole: &str, text: &'t str) -> Result<(String, &'t str), String> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err(failed(whole, "missing protocol scheme")),
            ':' => return Ok((text[..at].to_ascii_lowercase(), &text[at + 1..])),
            _ => break,
        }
    }
    if let Some(colon) = text.find(':') {
        let slash = text.find('/').unwrap_or(text.len());
        if colon < slash && !text.starts_with('/') {
            return Err(failed(whole, "first path segment in URL cannot contain colon"));
        }
    }
    Ok((String::new(), text))
}

fn check_escapes(whole: &str, path: &str) -> Result<(), String> {
    let bytes = path.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let two = bytes.get(at + 1..at + 3).unwrap_or(&[]);
        if *byte == b'%' && (two.len() < 2 || !two.iter().all(u8::is_ascii_hexdigit)) {
            let end = (at..=(at + 3).min(path.len())).rev().find(|end| path.is_char_boundary(*end)).unwrap_or(at);
            return Err(failed(whole, &format!("invalid URL escape {:?}", &path[at..end])));
        }
    }
    Ok(())
}

fn check_host(whole: &str, host: &str) -> Result<(), String> {
    if let Some(inner) = host.strip_prefix('[') {
        let Some(end) = inner.rfind(']') else { return Err(failed(whole, "missing ']' in host")) };
        return check_port(whole, &inner[end + 1..]);
    }
    if let Some(bad) = host.chars().find(|c| " \"<>\\^`{|}".contains(*c)) {
        return Err(failed(whole, &format!("invalid character {:?} in host name", bad.to_string())));
    }
    if let Some(at) = host.rfind(':') {
        check_port(whole, &host[at..])?;
    }
    check_escapes(whole, host)
}

fn check_port(whole: &str, port: &str) -> Result<(), String> {
    let fine = port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()));
    if fine { Ok(()) } else { Err(failed(whole, &format!("invalid port {port:?} after host"))) }
}

impl Url {
    fn hostname(&self) -> &str {
        let (host, _) = self.split_host();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    fn split_host(&self) -> (&str, &str) {
        match self.host.rfind(':') {
            Some(at) if !self.host[at..].contains(']') => (&self.host[..at], &self.host[at + 1..]),
            _ => (&self.host, ""),
        }
    }

    /// The path as it may be sent; characters that may not stand in one are escaped.
    fn escaped_path(&self) -> String {
        let mut out = String::with_capacity(self.path.len());
        for byte in self.path.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
        out
    }

    fn query(&self) -> BTreeMap<String, Vec<String>> {
        let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let (Some(key), Some(value)) = (unescape(key), unescape(value)) {
                out.entry(key).or_default().push(value);
            }
        }
        out
    }
}

/// A part of a query, decoded; none where it is not well formed.
fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |b: u8| char::from(b).to_digit(16);
                (digit(bytes.next()?)? * 16 + digit(bytes.next()?)?) as u8
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

fn url<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::String(own)] = args else { return wrong() };
    let parsed = parse(own, true).and_then(|_| parse(own, false));
    match parsed {
        Ok(url) => Ok(Value::Url(Arc::new(url))),
        Err(why) => Err(EvalError::new(format!("URL parse error during conversion from string: {why}"))),
    }
}

fn is_url<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(own)] => Ok(Value::Bool(parse(own, true).is_ok())),
        _ => wrong(),
    }
}

fn part<'a>(args: &[Value<'a>], of: fn(&Url) -> String) -> Out<'a> {
    match args {
        [Value::Url(url)] => Ok(text(of(url))),
        _ => wrong(),
    }
}

fn scheme<'a>(args: &[Value<'a>]) -> Out<'a> {
    part(args, |url| url.scheme.clone())
}

fn host<'a>(args: &[Value<'a>]) -> Out<'a> {
    part(args, |url| url.host.clone())
}

fn hostname<'a>(args: &[Value<'a>]) -> Out<'a> {
    part(args, |url| url.hostname().to_owned())
}

fn port<'a>(args: &[Value<'a>]) -> Out<'a> {
    part(args, |url| url.split_host().1.to_owned())
}

fn escaped_path<'a>(args: &[Value<'a>]) -> Out<'a> {
    part(args, Url::escaped_path)
}

fn query<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::Url(url)] = args else { return wrong() };
    let entries = url.query().into_iter().map(|(key, values)| {
        (Key::String(Text::Shared(key.into())), Value::list(values.into_iter().map(text).collect()))
    });
    Ok(Value::Map(Map::Owned(Arc::new(entries.collect()))))
}
