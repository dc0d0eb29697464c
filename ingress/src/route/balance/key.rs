//! What a consistent hash is made of: an expression over the request's head, in nginx' words.
//!
//! Parsed once, evaluated without allocating; must not know endpoints.

use std::net::IpAddr;

use http::header::{self, HeaderName};
use http::request::Parts;

/// Parts of one expression; nobody needs more.
const PARTS_MAX: usize = 16;

/// A compiled expression such as `$http_x_user$request_uri`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashKey(Box<[Part]>);

/// What an expression is evaluated on.
#[derive(Clone, Copy)]
pub struct Asked<'r> {
    pub parts: &'r Parts,
    /// Lower case, without the port.
    pub host: &'r str,
    /// Who asks, as far as the peer is believed.
    pub remote: IpAddr,
    pub scheme: &'r str,
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the expression is empty")]
    Empty,
    #[error("the variable ${0} is not supported")]
    Unknown(String),
    #[error("a \"$\" is not followed by a variable's name")]
    Dangling,
    #[error("the expression has more than {PARTS_MAX} parts")]
    TooLong,
    #[error("the expression has no variable, so that one endpoint would get everything")]
    Constant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    RequestUri,
    Uri,
    Args,
    Host,
    Remote,
    Scheme,
    Method,
    Header(HeaderName),
    Cookie(Box<str>),
    Arg(Box<str>),
}

impl std::str::FromStr for HashKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if parts.len() == PARTS_MAX {
                return Err(KeyError::TooLong);
            }
            let Some(at) = rest.find('$') else {
                parts.push(Part::Text(rest.into()));
                break;
            };
            if at > 0 {
                parts.push(Part::Text(rest[..at].into()));
            }
            let (name, after) = variable(&rest[at + 1..])?;
            if !name.is_empty() {
                parts.push(Part::named(name)?);
            }
            rest = after;
        }
        if parts.is_empty() {
            return Err(KeyError::Empty);
        }
        if parts.iter().all(|part| matches!(part, Part::Text(_))) {
            return Err(KeyError::Constant);
        }
        Ok(Self(parts.into()))
    }
}

/// The name behind a `$`, with or without braces, and what follows.
fn variable(text: &str) -> Result<(&str, &str), KeyError> {
    if let Some(braced) = text.strip_prefix('{') {
        return braced.split_once('}').filter(|(name, _)| !name.is_empty()).ok_or(KeyError::Dangling);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if end == 0 { Err(KeyError::Dangling) } else { Ok(text.split_at(end)) }
}

impl Part {
    fn named(name: &str) -> Result<Self, KeyError> {
        let unknown = || KeyError::Unknown(name.to_owned());
        let lower = name.to_ascii_lowercase();
        Ok(match lower.as_str() {
            "request_uri" => Self::RequestUri,
            "uri" | "document_uri" => Self::Uri,
            "args" | "query_string" => Self::Args,
            "host" => Self::Host,
            "remote_addr" | "binary_remote_addr" | "the_real_ip" => Self::Remote,
            "scheme" => Self::Scheme,
            "request_method" => Self::Method,
            _ => {
                if let Some(field) = lower.strip_prefix("http_") {
                    let field = field.replace('_', "-");
                    return HeaderName::from_bytes(field.as_bytes()).map(Self::Header).map_err(|_| unknown());
                }
                let argument = lower.strip_prefix("arg_").filter(|name| !name.is_empty());
                if let Some(argument) = argument {
                    return Ok(Self::Arg(argument.into()));
                }
                // Cookie names differ by case.
                let cookie = name.get(7..).filter(|cookie| lower.starts_with("cookie_") && !cookie.is_empty());
                return cookie.map(|cookie| Self::Cookie(cookie.into())).ok_or_else(unknown);
            }
        })
    }
}

impl HashKey {
    /// The hash of what the request says; `None` when all of its variables are empty.
    #[must_use]
    pub fn hash(&self, asked: Asked<'_>) -> Option<u64> {
        let mut digest = Digest::default();
        let mut said = false;
        for part in &self.0 {
            let before = digest.bytes;
            part.feed(asked, &mut |bytes| digest.feed(bytes));
            said |= digest.bytes != before && !matches!(part, Part::Text(_));
            digest.boundary();
        }
        said.then_some(digest.state)
    }

    /// What the request says, each part with its length; `None` when all of its variables are empty.
    #[must_use]
    pub fn bytes(&self, asked: Asked<'_>) -> Option<Vec<u8>> {
        let (mut all, mut said) = (Vec::new(), false);
        for part in &self.0 {
            let mut own = Vec::new();
            part.feed(asked, &mut |bytes| own.extend_from_slice(bytes));
            said |= !own.is_empty() && !matches!(part, Part::Text(_));
            all.extend_from_slice(&u32::try_from(own.len()).unwrap_or(u32::MAX).to_be_bytes());
            all.append(&mut own);
        }
        said.then_some(all)
    }
}

impl Part {
    fn feed(&self, asked: Asked<'_>, to: &mut impl FnMut(&[u8])) {
        let Parts { uri, headers, method, .. } = asked.parts;
        match self {
            Self::Text(text) => to(text.as_bytes()),
            Self::RequestUri => to(uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes()),
            Self::Uri => to(uri.path().as_bytes()),
            Self::Args => to(uri.query().unwrap_or("").as_bytes()),
            Self::Host => to(asked.host.as_bytes()),
            Self::Remote => match asked.remote {
                IpAddr::V4(v4) => to(&v4.octets()),
                IpAddr::V6(v6) => to(&v6.octets()),
            },
            Self::Scheme => to(asked.scheme.as_bytes()),
            Self::Method => to(method.as_str().as_bytes()),
            Self::Header(name) => headers.get_all(name).iter().for_each(|value| to(value.as_bytes())),
            Self::Cookie(name) => to(cookie(headers, name).unwrap_or(b"")),
            Self::Arg(name) => to(argument(uri.query().unwrap_or(""), name).unwrap_or("").as_bytes()),
        }
    }
}

/// The value of the first cookie of this name.
pub(crate) fn cookie<'h>(headers: &'h http::HeaderMap, name: &str) -> Option<&'h [u8]> {
    let mut pairs = headers.get_all(header::COOKIE).iter().flat_map(|value| value.as_bytes().split(|b| *b == b';'));
    pairs.find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

fn argument<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// FNV-1a over 64 bits: short inputs, the same in every process.
struct Digest {
    state: u64,
    bytes: usize,
}

impl Default for Digest {
    fn default() -> Self {
        Self { state: 0xcbf2_9ce4_8422_2325, bytes: 0 }
    }
}

impl Digest {
    fn feed(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        for byte in bytes {
            self.state = (self.state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Keeps `ab` + `c` apart from `a` + `bc`.
    fn boundary(&mut self) {
        self.state = (self.state ^ 0x100).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;

    use super::{Asked, HashKey, KeyError};

    fn head(target: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn hash(expression: &str, target: &str, fields: &[(&str, &str)], remote: &str) -> Option<u64> {
        let parts = head(target, fields);
        let remote = remote.parse().expect("an address");
        let key: HashKey = expression.parse().expect(expression);
        key.hash(Asked { parts: &parts, host: "h.example", remote, scheme: "http" })
    }

    #[test]
    fn each_variable_reads_its_own_part_of_the_head() {
        let cookies = [("cookie", "b=1; user=ann; x=2")];
        for (expression, one, other, equal) in [
            ("$request_uri", ("/a?x=1", &[][..], "1.1.1.1"), ("/a?x=2", &[][..], "1.1.1.1"), false),
            ("$uri", ("/a?x=1", &[], "1.1.1.1"), ("/a?x=2", &[], "1.1.1.1"), true),
            ("${uri}", ("/a", &[], "1.1.1.1"), ("/b", &[], "1.1.1.1"), false),
            ("$args", ("/a?x=1", &[], "1.1.1.1"), ("/b?x=1", &[], "1.1.1.1"), true),
            ("$remote_addr", ("/a", &[], "1.1.1.1"), ("/b", &[], "1.1.1.1"), true),
            ("$binary_remote_addr", ("/a", &[], "1.1.1.1"), ("/a", &[], "1.1.1.2"), false),
            ("$http_x_user", ("/a", &[("x-user", "1")], "::1"), ("/b", &[("X-User", "1")], "::2"), true),
            ("$http_x_user", ("/a", &[("x-user", "1")], "::1"), ("/a", &[("x-user", "2")], "::1"), false),
            ("$cookie_user", ("/a", &cookies, "::1"), ("/b", &[("cookie", "user=ann")], "::1"), true),
            ("$cookie_user", ("/a", &cookies, "::1"), ("/a", &[("cookie", "user=bob")], "::1"), false),
            ("$arg_id", ("/a?id=1&b=2", &[], "::1"), ("/b?c=3&ID=1", &[], "::1"), true),
            ("$arg_id", ("/a?id=1", &[], "::1"), ("/a?id=2", &[], "::1"), false),
            ("$host$arg_id", ("/a?id=1", &[], "::1"), ("/a?id=1", &[], "::2"), true),
            ("$arg_a$arg_b", ("/?a=xy&b=z", &[], "::1"), ("/?a=x&b=yz", &[], "::1"), false),
            ("v1-$scheme-$request_method-$uri", ("/a", &[], "::1"), ("/a", &[], "::2"), true),
        ] {
            let (one, other) = (hash(expression, one.0, one.1, one.2), hash(expression, other.0, other.1, other.2));
            assert!(one.is_some() && other.is_some(), "{expression}");
            assert_eq!(one == other, equal, "{expression}");
        }
        assert_eq!(hash("p-$http_absent", "/", &[], "::1"), None, "nobody shall get all that say nothing");
    }

    #[test]
    fn what_is_no_expression_is_refused_by_name() {
        for (text, wanted) in [
            ("", KeyError::Empty),
            ("  ", KeyError::Empty),
            ("constant", KeyError::Constant),
            ("$", KeyError::Dangling),
            ("${uri", KeyError::Dangling),
            ("${}", KeyError::Dangling),
            ("$uri$$", KeyError::Dangling),
            ("$nonsense", KeyError::Unknown("nonsense".into())),
            ("$cookie_", KeyError::Unknown("cookie_".into())),
            ("$arg_", KeyError::Unknown("arg_".into())),
            ("$http_", KeyError::Unknown("http_".into())),
        ] {
            assert_eq!(text.parse::<HashKey>().expect_err(text), wanted, "{text}");
        }
        assert_eq!("$uri".repeat(17).parse::<HashKey>(), Err(KeyError::TooLong));
    }
}
