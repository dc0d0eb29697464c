//! Method and URI → [`RequestInfo`]: which verb on which resource a request means.
//!
//! Pure, and knows no table of kinds: `/apis/x/v1/ys` parses whether or not such a resource exists.
//! Source: k8s.io/apiserver `pkg/endpoints/request/requestinfo.go`.

pub mod options;
pub mod page;
pub mod query;

use http::Method;

use crate::error::ApiError;
use query::Query;

/// Longest path and query we look at, in bytes; longer URIs are refused.
pub const MAX_URI_BYTES: usize = 64 * 1024;

/// What a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether the path names an API resource; only then the fields below `path` mean anything.
    pub is_resource: bool,
    /// The decoded path.
    pub path: String,
    /// get, list, watch, create, update, patch, delete, deletecollection; else the lower-case method.
    pub verb: String,
    pub group: String,
    pub version: String,
    /// The namespace of the path; for `namespaces/x` it is `x`, as upstream has it.
    pub namespace: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// Whatever follows the subresource (`pods/x/proxy/some/path`), without a leading slash.
    pub tail: String,
    /// Whether the name is in the path (and not only in a field selector).
    pub named_by_path: bool,
}

impl RequestInfo {
    /// Reads method, path and query.
    ///
    /// # Errors
    /// 400 for paths that are no UTF-8, hold control characters, or end after a `/watch/` prefix.
    pub fn parse(method: &Method, path: &str, query: &Query) -> Result<Self, ApiError> {
        let path = decode_path(path)?;
        let mut info = Self { path: path.clone(), verb: method.as_str().to_ascii_lowercase(), ..Self::default() };
        let trimmed = path.trim_matches('/');
        let parts: Vec<&str> = if trimmed.is_empty() { Vec::new() } else { trimmed.split('/').collect() };
        let Some((group, version, rest)) = split_api(&parts) else { return Ok(info) };
        info.is_resource = true;
        group.clone_into(&mut info.group);
        version.clone_into(&mut info.version);
        let legacy_watch = rest.first() == Some(&"watch");
        let rest = if legacy_watch { &rest[1..] } else { rest };
        if rest.is_empty() {
            return Err(ApiError::BadRequest(format!("unable to determine kind and namespace from url, {path}")));
        }
        info.verb = if legacy_watch { "watch" } else { method_verb(method) }.to_owned();
        if rest.contains(&"") {
            // An empty segment names nothing: no resource has an empty name.
            return Ok(info);
        }
        info.take_resource(rest);
        info.settle_verb(query, legacy_watch);
        Ok(info)
    }

    /// `resource` or `resource/subresource`, as authorization rules have it.
    #[must_use]
    pub fn resource_path(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// `v1` or `group/version`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    fn take_resource(&mut self, mut parts: &[&str]) {
        if parts[0] == "namespaces" && parts.len() > 1 {
            parts[1].clone_into(&mut self.namespace);
            if parts.len() > 2 && !matches!(parts[2], "status" | "finalize") {
                parts = &parts[2..];
            }
        }
        parts[0].clone_into(&mut self.resource);
        if let Some(name) = parts.get(1) {
            (*name).clone_into(&mut self.name);
            self.named_by_path = !name.is_empty();
        }
        if let Some(subresource) = parts.get(2) {
            (*subresource).clone_into(&mut self.subresource);
        }
        if parts.len() > 3 {
            self.tail = parts[3..].join("/");
        }
    }

    fn settle_verb(&mut self, query: &Query, legacy_watch: bool) {
        let watches = query.get("watch").is_some_and(query::truthy);
        if self.verb == "get" && self.subresource.is_empty() {
            if watches {
                self.verb = "watch".to_owned();
            } else if self.name.is_empty() {
                self.verb = "list".to_owned();
            }
        }
        if self.verb == "delete" && self.name.is_empty() {
            self.verb = "deletecollection".to_owned();
        }
        let collection = matches!(self.verb.as_str(), "list" | "watch" | "deletecollection");
        if collection
            && self.name.is_empty()
            && !legacy_watch
            && let Some(name) = query.get("fieldSelector").and_then(exact_name)
        {
            self.name = name;
        }
    }
}

/// The value that `selector` requires of metadata.name, if it is one that fits into a path.
fn exact_name(selector: &str) -> Option<String> {
    let name = selector.split(',').find_map(|term| {
        let (field, value) = term.split_once('=')?;
        let value = value.strip_prefix('=').unwrap_or(value);
        (field.trim() == "metadata.name").then(|| value.trim().to_owned())
    })?;
    let breaks = |c: char| matches!(c, '/' | '%' | '\\') || c.is_control();
    let fits = !name.is_empty() && name != "." && name != ".." && !name.contains(breaks);
    fits.then_some(name)
}

/// (group, version, what follows); `None` where the path is none of a resource.
fn split_api<'a, 'b>(parts: &'a [&'b str]) -> Option<(&'b str, &'b str, &'a [&'b str])> {
    match parts {
        ["api", version, rest @ ..] if !rest.is_empty() => Some(("", version, rest)),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => Some((group, version, rest)),
        _ => None,
    }
}

fn method_verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

fn decode_path(path: &str) -> Result<String, ApiError> {
    if path.len() > MAX_URI_BYTES {
        return Err(ApiError::BadRequest(format!("the path is longer than {MAX_URI_BYTES} bytes")));
    }
    let decoded = query::percent_decode(path, false)
        .ok_or_else(|| ApiError::BadRequest("the path is not valid percent-encoded UTF-8".to_owned()))?;
    if decoded.chars().any(char::is_control) {
        return Err(ApiError::BadRequest("the path holds control characters".to_owned()));
    }
    if decoded.split('/').any(|part| part == "." || part == "..") {
        return Err(ApiError::BadRequest("the path holds '.' or '..' as a segment".to_owned()));
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests;
