//! Paths of one host: exact ones, element-wise prefixes, the longest wins; and what a path may not contain.
//!
//! Lookup cost is bounded by the deepest configured prefix, never by what a client sends.

use std::collections::HashMap;
use std::sync::Arc;

use crate::route::Route;
use crate::snapshot::PathKind;

/// The routes of one host.
#[derive(Debug, Clone, Default)]
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

/// The path that routes are found by, if it is another one than `path`: escapes decoded, runs of slashes made one.
///
/// Backends decode before they look, so a rule for `/admin` has to hold for `/%61dmin` and `//admin`, as with nginx.
///
/// # Errors
/// Why a backend could read the path in another way than the routes do: dot segments in any disguise, NUL, broken escapes.
/// Source: RFC 3986 §5.2.4, §6.2.2; clients remove dot segments before they send.
pub fn normal(path: &str) -> Result<Option<Box<str>>, &'static str> {
    let mut last = 0;
    let mut plain = true;
    for &byte in path.as_bytes() {
        plain &= byte != b'%' && !(matches!(last, b'/' | b'\\') && matches!(byte, b'/' | b'.' | b'\\'));
        last = byte;
    }
    if plain { Ok(None) } else { decoded(path) }
}

fn decoded(path: &str) -> Result<Option<Box<str>>, &'static str> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = (digit(), digit());
                high.zip(low).map(|(high, low)| high * 16 + low).ok_or("the path has a broken escape")?
            }
            plain => plain,
        };
        if byte == 0 {
            return Err("the path has a NUL");
        }
        if byte != b'/' || bytes.last() != Some(&b'/') {
            bytes.push(byte);
        }
    }
    let is_dots = |segment: &[u8]| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or(segment);
        name == b"." || name == b".."
    };
    if bytes.split(|byte| matches!(byte, b'/' | b'\\')).any(is_dots) {
        return Err("the path has dot segments");
    }
    // What is not UTF-8 cannot be written into a rule either: any stand-in matches no rule but a prefix before it.
    let normal = String::from_utf8_lossy(&bytes);
    Ok((normal != path).then(|| normal.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{HostRoutes, normal};
    use crate::route::{Backend, Delivery, Route, Wire};
    use crate::snapshot::{Named, PathKind};

    fn routes(paths: &[(PathKind, &str)]) -> HostRoutes {
        let mut host = HostRoutes::default();
        for (kind, path) in paths {
            let backend = Arc::new(Backend::faulty((*path).into(), "none"));
            let route = Arc::new(Route {
                ingress: Named::new("n", &format!("{kind:?} {path}")),
                backend,
                delivery: Delivery::default(),
                wiring: Wire::plain().into(),
                policy: Arc::default(),
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

    /// Ingress: 39
    #[test]
    fn routes_are_found_by_one_normal_form_and_what_could_be_read_otherwise_is_refused() {
        for path in [
            "/a/../b",
            "/..",
            "/.",
            "/./a",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a%00",
            "/a%2f..%2fb",
            "/a%2F%2e%2e%2Fb",
            "/a\\..\\b",
            "/a%5c..%5Cb",
            "/a/..;x/b",
            "/a/%2e;/b",
            "/%",
            "/%4",
            "/%zz",
            "/a%2",
        ] {
            assert!(normal(path).is_err(), "{path}");
        }
        for (path, wanted) in [
            ("/", "/"),
            ("/.well-known/acme", "/.well-known/acme"),
            ("/a.b/c..d", "/a.b/c..d"),
            ("/a/...", "/a/..."),
            ("/a;b=.", "/a;b=."),
            ("/%20", "/ "),
            ("/%61dmin", "/admin"),
            ("/admin%2Fkeys", "/admin/keys"),
            ("//admin///keys/", "/admin/keys/"),
            ("/%2fadmin", "/admin"),
            ("/a%2541", "/a%41"),
            ("/%c3%a9", "/é"),
            ("/\u{e9}", "/\u{e9}"),
            ("/a%3Fb%23c", "/a?b#c"),
            ("*", "*"),
        ] {
            let found = normal(path).expect(path);
            assert_eq!(found.as_deref().unwrap_or(path), wanted, "{path}");
            assert_eq!(found.is_none(), path == wanted, "{path}");
        }
    }
}
