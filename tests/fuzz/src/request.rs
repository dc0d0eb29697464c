//! The line of a request: method, path and query.

use federation_api::request::RequestInfo;
use federation_api::request::options::{DeleteOptions, ListOptions, WriteOptions};
use federation_api::request::query::Query;
use http::Method;

const METHODS: [Method; 6] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];

pub fn request(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Ok(uri) = std::str::from_utf8(rest) else { return };
    let (path, raw) = uri.split_once('?').unwrap_or((uri, ""));
    let Ok(query) = Query::parse(raw) else { return };
    let method = &METHODS[usize::from(*first) % METHODS.len()];
    if let Ok(info) = RequestInfo::parse(method, path, &query) {
        for part in [&info.namespace, &info.resource, &info.name, &info.subresource] {
            assert!(!matches!(part.as_str(), "." | ".."), "no part of a path climbs");
            assert!(!part.contains(char::is_control), "no part of a path breaks a line");
        }
    }
    drop((ListOptions::for_list(&query), ListOptions::for_watch(&query)));
    drop((WriteOptions::read(&query, "CreateOptions"), DeleteOptions::from_query(&query)));
}
