//! Paths of one host: exact ones, element-wise prefixes, the longest wins; and what a path may not contain.
//!
//! Lookup cost is bounded by the deepest configured prefix, never by what a client sends.

use std::collections::HashMap;
use std::sync::Arc;

use crate::route::Route;
use crate::snapshot::PathKind;

/// The routes of one host.
#[derive(Debug, Default)]
pub struct HostRoutes {
    exact: HashMap<Box<str>, Arc<Route>>,
    /// Without trailing slash: the root is the empty text.
    prefix: HashMap<Box<str>, Arc<Route>>,
    /// Elements of the longest prefix.
    depth: usize,
    /// `defaultBackend` of an Ingress that has rules for this host.
    pub fallback: Option<Arc<Route>>,
}

impl HostRoutes {
    /// Adds a route unless an older one has its place, which is then returned.
    pub fn add(&mut self, kind: PathKind, path: &str, route: Arc<Route>) -> Option<Arc<Route>> {
        let (map, key) = match kind {
            PathKind::Exact => (&mut self.exact, path),
            PathKind::Prefix => (&mut self.prefix, path.strip_suffix('/').unwrap_or(path)),
        };
        if let Some(older) = map.get(key) {
            return Some(older.clone());
        }
        if kind == PathKind::Prefix {
            self.depth = self.depth.max(key.bytes().filter(|b| *b == b'/').count());
        }
        map.insert(key.into(), route);
        None
    }

    /// The route for `path`, which has neither query nor fragment.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Arc<Route>> {
        if !self.exact.is_empty()
            && let Some(route) = self.exact.get(path)
        {
            return Some(route);
        }
        self.longest_prefix(path).or(self.fallback.as_ref())
    }

    fn longest_prefix(&self, path: &str) -> Option<&Arc<Route>> {
        if self.depth == 0 {
            return self.prefix.get("");
        }
        let mut slashes = memchr::memchr_iter(b'/', path.as_bytes()).skip(1);
        let mut end = slashes.by_ref().nth(self.depth - 1).unwrap_or(path.len());
        loop {
            if let Some(route) = self.prefix.get(&path[..end]) {
                return Some(route);
            }
            end = memchr::memrchr(b'/', &path.as_bytes()[..end])?;
        }
    }

    /// All routes of this host.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.exact.values().chain(self.prefix.values()).chain(&self.fallback)
    }
}

/// Whether a path would mean something else to a backend than to the route table: dot segments, also encoded, and NUL.
///
/// Source: RFC 3986 §5.2.4; clients remove dot segments before they send.
#[must_use]
pub fn ambiguous(path: &str) -> bool {
    let bytes = path.as_bytes();
    if memchr::memchr3(b'%', b'.', b'\\', bytes).is_none() {
        return false;
    }
    if memchr::memmem::find(bytes, b"%00").is_some() {
        return true;
    }
    let lower = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
    lower.split(['/', '\\']).any(|segment| {
        let name = segment.split(';').next().unwrap_or(segment);
        name == "." || name == ".."
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{HostRoutes, ambiguous};
    use crate::route::{Backend, Delivery, Route};
    use crate::snapshot::{Named, PathKind};

    fn routes(paths: &[(PathKind, &str)]) -> HostRoutes {
        let mut host = HostRoutes::default();
        for (kind, path) in paths {
            let backend = Arc::new(Backend::faulty((*path).into(), "none"));
            let route = Arc::new(Route {
                ingress: Named::new("n", &format!("{kind:?} {path}")),
                backend,
                delivery: Delivery::default(),
            });
            assert!(host.add(*kind, path, route).is_none());
        }
        host
    }

    #[test]
    fn exact_beats_prefix_and_the_longest_prefix_wins() {
        use PathKind::{Exact, Prefix};
        let host = routes(&[
            (Prefix, "/"),
            (Prefix, "/foo"),
            (Exact, "/foo"),
            (Prefix, "/aaa/bbb/"),
            (Prefix, "/foo/bar/baz"),
        ]);
        for (path, wanted) in [
            ("/", "Prefix /"),
            ("/x", "Prefix /"),
            ("/foo", "Exact /foo"),
            ("/foo/", "Prefix /foo"),
            ("/foo/x", "Prefix /foo"),
            ("/foobar", "Prefix /"),
            ("/Foo", "Prefix /"),
            ("/aaa/bbb", "Prefix /aaa/bbb/"),
            ("/aaa/bbb/ccc", "Prefix /aaa/bbb/"),
            ("/aaa/bbbxyz", "Prefix /"),
            ("/aaa", "Prefix /"),
            ("/foo/bar/baz/q/w/e/r/t", "Prefix /foo/bar/baz"),
            ("/foo/bar/bazz", "Prefix /foo"),
            ("//foo", "Prefix /"),
        ] {
            assert_eq!(&*host.find(path).expect(path).ingress.name, wanted, "{path}");
        }
        let exact = routes(&[(Exact, "/foo"), (Exact, "/bar/")]);
        for (path, hit) in [("/foo", true), ("/foo/", false), ("/bar", false), ("/bar/", true), ("/", false)] {
            assert_eq!(exact.find(path).is_some(), hit, "{path}");
        }
        let deep = routes(&[(Prefix, "/a/b/c")]);
        assert!(deep.find("/a/b").is_none() && deep.find("/a/b/c/").is_some() && deep.find("*").is_none());
    }

    #[test]
    fn a_path_of_slashes_costs_no_more_than_the_deepest_prefix() {
        let host = routes(&[(PathKind::Prefix, "/a/b")]);
        assert!(host.find(&"/".repeat(60_000)).is_none());
    }

    #[test]
    fn dot_segments_are_ambiguous_and_dots_in_names_are_not() {
        for path in ["/a/../b", "/..", "/.", "/a/%2e%2E/b", "/a/.%2e", "/a%00", "/a%2f..%2fb", "/a\\..\\b", "/a/..;x/b"]
        {
            assert!(ambiguous(path), "{path}");
        }
        for path in ["/", "/.well-known/acme", "/a.b/c..d", "/%20", "/a/...", "/a;b=.", "/a%2fb"] {
            assert!(!ambiguous(path), "{path}");
        }
    }
}
