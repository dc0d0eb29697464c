//! Paths of one host: exact ones, element-wise prefixes, prefixes of text, or patterns; and the form in which they are compared.
//!
//! Lookup cost is bounded by what is configured, never by what a client sends.

use std::collections::HashMap;
use std::sync::Arc;

use crate::route::Route;
use crate::route::mutual::Mutual;
use crate::route::pattern::{Groups, Pattern, Patterns};
use crate::snapshot::PathKind;

/// The routes of one host.
#[derive(Debug, Clone, Default)]
pub struct HostRoutes {
    exact: HashMap<Box<str>, Arc<Route>>,
    /// Without trailing slash: the root is the empty text.
    prefix: HashMap<Box<str>, Arc<Route>>,
    /// Elements of the longest prefix.
    depth: usize,
    /// Prefixes that may end within an element.
    text: HashMap<Box<str>, Arc<Route>>,
    /// The lengths of those, the longest first.
    lengths: Vec<usize>,
    /// Where a host has patterns, all its paths are patterns.
    patterns: Patterns,
    /// `defaultBackend` of an Ingress that has rules for this host.
    pub fallback: Option<Arc<Route>>,
    /// What is asked of clients.
    pub mutual: Option<Arc<Mutual>>,
}

/// A route, and the pattern by which it was found.
#[derive(Debug, Clone, Copy)]
pub struct Found<'t> {
    pub route: &'t Arc<Route>,
    pub pattern: Option<&'t Arc<Pattern>>,
    /// What is asked of clients on the host of the route.
    pub mutual: Option<&'t Arc<Mutual>>,
}

impl<'t> Found<'t> {
    pub(super) const fn plain(route: &'t Arc<Route>, mutual: Option<&'t Arc<Mutual>>) -> Self {
        Self { route, pattern: None, mutual }
    }

    /// What the groups of the pattern stand for in the path that it was found by.
    #[must_use]
    pub fn groups<'p>(&self, path: &'p str) -> Option<Groups<'p>> {
        self.pattern.and_then(|pattern| pattern.groups(path))
    }
}

impl HostRoutes {
    /// A host without routes that asks this of clients.
    #[must_use]
    pub fn of(mutual: Option<Arc<Mutual>>) -> Self {
        Self { mutual, ..Self::default() }
    }

    /// Adds a route unless an older one has its place, which is then returned.
    pub fn add(&mut self, kind: PathKind, path: &str, route: Arc<Route>) -> Option<Arc<Route>> {
        let root = path == "/";
        let (map, key) = match kind {
            PathKind::Exact => (&mut self.exact, path),
            PathKind::Text if !root => (&mut self.text, path),
            PathKind::Prefix | PathKind::Text => (&mut self.prefix, path.strip_suffix('/').unwrap_or(path)),
        };
        if let Some(older) = map.get(key) {
            return Some(older.clone());
        }
        map.insert(key.into(), route);
        match kind {
            PathKind::Prefix => self.depth = self.depth.max(key.bytes().filter(|b| *b == b'/').count()),
            PathKind::Text if !root => {
                if let Err(at) = self.lengths.binary_search_by(|length| key.len().cmp(length)) {
                    self.lengths.insert(at, key.len());
                }
            }
            PathKind::Exact | PathKind::Text => {}
        }
        None
    }

    /// Adds a route by pattern unless an older one has its place, which is then returned.
    pub fn add_pattern(&mut self, pattern: Arc<Pattern>, route: Arc<Route>) -> Option<Arc<Route>> {
        self.patterns.add(pattern, route)
    }

    /// The route for `path` in its normal form, without query.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Found<'_>> {
        if !self.exact.is_empty()
            && let Some(route) = self.exact.get(path)
        {
            return Some(Found::plain(route, self.mutual.as_ref()));
        }
        if let Some((pattern, route)) = self.patterns.find(path) {
            return Some(Found { route, pattern: Some(pattern), mutual: self.mutual.as_ref() });
        }
        let (found, length) = self.longest_prefix(path).map_or((None, 0), |(route, length)| (Some(route), length));
        let longer = self.longest_text(path, length);
        longer.or(found).or(self.fallback.as_ref()).map(|route| Found::plain(route, self.mutual.as_ref()))
    }

    fn longest_prefix(&self, path: &str) -> Option<(&Arc<Route>, usize)> {
        if self.depth == 0 {
            return self.prefix.get("").map(|route| (route, 0));
        }
        let mut slashes = memchr::memchr_iter(b'/', path.as_bytes()).skip(1);
        let mut end = slashes.by_ref().nth(self.depth - 1).unwrap_or(path.len());
        loop {
            if let Some(route) = self.prefix.get(&path[..end]) {
                return Some((route, end));
            }
            end = memchr::memrchr(b'/', &path.as_bytes()[..end])?;
        }
    }

    /// The longest prefix of text that is longer than `than`.
    fn longest_text(&self, path: &str, than: usize) -> Option<&Arc<Route>> {
        let longer = self.lengths.iter().take_while(|length| **length > than);
        longer.filter_map(|length| self.text.get(path.get(..*length)?)).next()
    }

    /// Kind, path and route of all that this host has.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &str, &Arc<Route>)> {
        let maps = [("Exact", &self.exact), ("Prefix", &self.prefix), ("text", &self.text)];
        let plain = maps.into_iter().flat_map(|(kind, map)| {
            map.iter().map(move |(path, route)| (kind, if path.is_empty() { "/" } else { &**path }, route))
        });
        let patterns = self.patterns.entries().map(|(pattern, route)| ("pattern", pattern.text(), route));
        plain.chain(patterns).chain(self.fallback.iter().map(|route| ("rest", "*", route)))
    }

    /// All routes of this host.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let maps = [&self.exact, &self.prefix, &self.text];
        maps.into_iter().flat_map(HashMap::values).chain(self.patterns.routes()).chain(&self.fallback)
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
    use crate::route::{Backend, Route};
    use crate::snapshot::{Named, PathKind};

    fn routes(paths: &[(PathKind, &str)]) -> HostRoutes {
        let mut host = HostRoutes::default();
        for (kind, path) in paths {
            let backend = Arc::new(Backend::faulty((*path).into(), "none"));
            let route = Arc::new(Route::plain(Named::new("n", &format!("{kind:?} {path}")), backend, 0));
            assert!(host.add(*kind, path, route).is_none());
        }
        host
    }

    /// Ingress: 36
    #[test]
    fn exact_beats_prefix_and_the_longest_prefix_wins() {
        use PathKind::{Exact, Prefix, Text};
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
            assert_eq!(&*host.find(path).expect(path).route.ingress.name, wanted, "{path}");
        }
        let exact = routes(&[(Exact, "/foo"), (Exact, "/bar/")]);
        for (path, hit) in [("/foo", true), ("/foo/", false), ("/bar", false), ("/bar/", true), ("/", false)] {
            assert_eq!(exact.find(path).is_some(), hit, "{path}");
        }
        // As ingress-nginx reads what is implementation-specific: a prefix of text, the longest of all prefixes wins.
        let text = routes(&[(Text, "/foo"), (Prefix, "/foo"), (Text, "/foo/ba"), (Prefix, "/foo/bar"), (Text, "/")]);
        for (path, wanted) in [
            ("/foo", "Prefix /foo"),
            ("/foobar", "Text /foo"),
            ("/foo/x", "Prefix /foo"),
            ("/foo/bax", "Text /foo/ba"),
            ("/foo/bar/x", "Prefix /foo/bar"),
            ("/foo/barx", "Text /foo/ba"),
            ("/fo", "Text /"),
            ("/fo\u{e9}", "Text /"),
            ("/FOO", "Text /"),
        ] {
            assert_eq!(&*text.find(path).expect(path).route.ingress.name, wanted, "{path}");
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
