//! The query string, decoded and bounded.
//!
//! Knows no option's meaning, see [`super::options`].

use crate::error::ApiError;

/// Most `key=value` pairs of one request.
pub const MAX_PAIRS: usize = 1_000;

/// Decoded pairs in their order; keys may repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes `a=b&c=d`.
    ///
    /// # Errors
    /// 400 for too many pairs and for bytes that are no percent-encoded UTF-8.
    pub fn parse(raw: &str) -> Result<Self, ApiError> {
        if raw.len() > super::MAX_URI_BYTES {
            return Err(ApiError::BadRequest(format!("the query is longer than {} bytes", super::MAX_URI_BYTES)));
        }
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|p| !p.is_empty()) {
            if pairs.len() == MAX_PAIRS {
                return Err(ApiError::BadRequest(format!("the query has more than {MAX_PAIRS} parameters")));
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text| {
                percent_decode(text, true)
                    .ok_or_else(|| ApiError::BadRequest(format!("invalid URL escape in query parameter {key:?}")))
            };
            pairs.push((decode(key)?, decode(value)?));
        }
        Ok(Self(pairs))
    }

    /// The first value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The first value of `key` unless it is empty.
    #[must_use]
    pub fn filled(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.is_empty())
    }

    /// Every value of `key`.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

/// Upstream's reading of a boolean parameter: everything but nothing, `0` and `false` is true.
#[must_use]
pub fn truthy(value: &str) -> bool {
    !(value.is_empty() || value == "0" || value.eq_ignore_ascii_case("false"))
}

/// Decodes `%XX` (and `+` in queries); `None` where the result is no UTF-8 or an escape is broken.
#[must_use]
pub fn percent_decode(text: &str, plus_is_space: bool) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' if plus_is_space => b' ',
            b'%' => {
                let high = hex(bytes.next()?)?;
                let low = hex(bytes.next()?)?;
                high << 4 | low
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}
