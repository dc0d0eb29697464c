//! `/explain?url=…`: what the ingress of this process does with a request, for whoever may read its Ingress.
//!
//! Parameters: `url`, and if need be `method`, `header` (`NAME: VALUE`, repeated), `from` (an address) and `body` (bytes).

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use ingress::explain::{Denied, Desk, Question, Step};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::text;

pub const PATH: &str = "/explain";
/// Whose request it is where nobody says (RFC 5737).
pub const SOMEBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// The explanation as JSON, or why there is none.
pub async fn answer(
    (uri, headers): (&Uri, &HeaderMap),
    from: IpAddr,
    desk: Option<Arc<Desk>>,
) -> Response<Full<Bytes>> {
    let Some(desk) = desk else { return text(StatusCode::NOT_FOUND, "no ingress runs in this process\n".to_owned()) };
    if !from.to_canonical().is_loopback() {
        let how =
            "explanations are given over the loopback interface alone, for example through kubectl port-forward\n";
        return text(StatusCode::FORBIDDEN, how.to_owned());
    }
    let Some(token) = token(headers) else { return unauthorized("show a token of the hub") };
    let question = match read(uri.query().unwrap_or("")) {
        Ok(question) => question,
        Err(wrong) => return text(StatusCode::BAD_REQUEST, format!("{wrong}\n")),
    };
    match desk.explain(token, question).await {
        Ok(steps) => told(&steps),
        Err(denied @ Denied::Unknown) => unauthorized(&denied.to_string()),
        Err(denied @ Denied::Forbidden { .. }) => text(StatusCode::FORBIDDEN, format!("{denied}\n")),
        Err(denied @ Denied::Hub(_)) => {
            tracing::warn!(error = %denied, "no explanation");
            text(StatusCode::SERVICE_UNAVAILABLE, "the hub does not say who may ask\n".to_owned())
        }
    }
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

fn unauthorized(why: &str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::UNAUTHORIZED, format!("{why}\n"));
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn told(steps: &[Step]) -> Response<Full<Bytes>> {
    let steps: Vec<_> = steps.iter().map(|step| json!({"step": step.name, "outcome": step.outcome})).collect();
    let mut response = text(StatusCode::OK, format!("{}\n", json!({"steps": steps})));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The question that a query asks.
fn read(query: &str) -> Result<Question, String> {
    let (mut url, mut method, mut fields) = (None, Cow::Borrowed("GET"), Vec::new());
    let (mut remote, mut body) = (SOMEBODY, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8().map_err(|_| format!("{name} is no text"))?;
        match name {
            "url" => url = Some(value),
            "method" => method = value,
            "header" => fields.push(value),
            "from" => remote = value.parse().map_err(|_| format!("from: {value:?} is no address"))?,
            "body" => body = Some(value.parse().map_err(|_| format!("body: {value:?} is no number of bytes"))?),
            _ => return Err(format!("{name:?} is none of url, method, header, from, body")),
        }
    }
    let url = url.ok_or("url: say which, for example url=https%3A%2F%2Fshop.example%2F")?;
    question((&url, &method), fields.iter().map(|field| &**field), remote, body)
}

/// The question about a request that says this.
///
/// # Errors
/// What of it is none.
pub fn question<'f>(
    (url, method): (&str, &str),
    fields: impl Iterator<Item = &'f str>,
    remote: IpAddr,
    body: Option<u64>,
) -> Result<Question, String> {
    let whole = if url.contains("://") { Cow::Borrowed(url) } else { Cow::Owned(format!("http://{url}")) };
    let strange = || format!("{url:?} is neither HOST/PATH nor an http or https URL");
    let url: Uri = whole.parse().map_err(|_| strange())?;
    let tls = match url.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(strange()),
    };
    let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let mut request = Request::builder().method(method).uri(url);
    for field in fields {
        let (name, value) = field.split_once(':').ok_or_else(|| format!("{field:?} is not NAME: VALUE"))?;
        request = request.header(name.trim(), value.trim());
    }
    let (parts, ()) = request.body(()).map_err(|error| error.to_string())?.into_parts();
    Ok(Question { parts, remote, tls, port, body })
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::AUTHORIZATION;

    use super::{read, token};

    #[test]
    fn a_query_is_a_question_or_says_what_is_wrong() {
        let asked =
            read("url=https%3A%2F%2Fshop.example%2Fa%3Fb%3Dc&method=PUT&header=X-A%3A%201&from=10.0.0.9&body=7");
        let asked = asked.expect("a question");
        assert_eq!(
            (asked.parts.method.as_str(), asked.parts.uri.path(), asked.tls, asked.port),
            ("PUT", "/a", true, 443)
        );
        assert_eq!((&asked.parts.headers["x-a"], asked.body), (&"1".parse().expect("a value"), Some(7)));
        for (query, wrong) in [
            ("", "url: say which"),
            ("url=ftp://x/", "neither HOST/PATH nor"),
            ("url=http://h/&header=x", "is not NAME: VALUE"),
            ("url=http://h/&header=a%20b:c", "invalid"),
            ("url=http://h/&from=x", "is no address"),
            ("url=http://h/&body=-1", "is no number"),
            ("url=%ff", "url is no text"),
            ("uri=http://h/", "\"uri\" is none of"),
        ] {
            let error = read(query).err().unwrap_or_else(|| panic!("{query}"));
            assert!(error.contains(wrong), "{query}: {error}");
        }
    }

    #[test]
    fn only_a_bearer_shows_a_token() {
        for (said, wanted) in [("Bearer t", Some("t")), ("bearer  t ", Some("t")), ("Basic t", None), ("Bearer ", None)]
        {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, said.parse().expect("a value"))]);
            assert_eq!(token(&headers), wanted, "{said}");
        }
    }
}
