//! The path that an endpoint sees instead of the one that was asked for.
//!
//! What a group has caught is written in its escaped form: it can add elements, never a query or a new way up.

use http::StatusCode;
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use crate::refusal::Refusal;
use crate::route::policy::{Piece, Rewrite};
use crate::route::{Groups, normal_path};

/// What may not stand in a path as it is (RFC 3986 §3.3).
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

const MALFORMED: Refusal =
    Refusal { status: StatusCode::BAD_REQUEST, reason: "the rewritten path is malformed", close: false };

/// The rewritten target; the query goes along, behind one that the rewrite brings.
///
/// # Errors
/// 400 where what a client sent makes no path of it.
pub fn target(rewrite: &Rewrite, groups: &Groups<'_>, query: Option<&str>) -> Result<PathAndQuery, Refusal> {
    let mut target = String::new();
    for piece in &rewrite.0 {
        match piece {
            Piece::Text(text) => target.push_str(text),
            Piece::Group(number) => target.extend(percent_encode(groups.get(*number).as_bytes(), ESCAPED)),
        }
    }
    if !target.starts_with('/') {
        target.insert(0, '/');
    }
    let path = target.split('?').next().unwrap_or_default();
    normal_path(path).map_err(|_| MALFORMED)?;
    if let Some(query) = query {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(query);
    }
    PathAndQuery::try_from(target).map_err(|_| MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::target;
    use crate::annotation::read;
    use crate::route::Pattern;

    #[test]
    fn groups_take_their_places() {
        for (pattern, rewrite, path, query, wanted) in [
            ("/x(/|$)(.*)", "/$2", "/x/a/b", None, Some("/a/b")),
            ("/x(/|$)(.*)", "/$2", "/x", Some("q=1"), Some("/?q=1")),
            ("/x(/|$)(.*)", "/$2", "/X/A", None, Some("/A")),
            ("/x", "/", "/x/anything", Some("q"), Some("/?q")),
            ("/(.*)", "/in/$1?from=edge", "/a", Some("q=1"), Some("/in/a?from=edge&q=1")),
            ("/(.*)", "/$1$2", "/a", None, Some("/a")),
            ("/(.*)", "$1", "/a", None, Some("/a")),
            // What was escaped stays so: no query, no fragment, no new line.
            ("/(.*)", "/in/$1", "/a?b#c d\r%", None, Some("/in/a%3Fb%23c%20d%0D%25")),
            ("/(.*)", "/in/$1", "/../b", None, None),
            ("/x(.*)", "/in$1", "/x/..", None, None),
        ] {
            let annotations = [("rewrite-target".to_owned(), rewrite.to_owned())].into();
            let rewrite = read(&annotations).policy.rewrite.expect("a rewrite");
            let pattern = Pattern::new(pattern).expect("a pattern");
            let groups = pattern.groups(path).expect("it fits");
            let got = target(&rewrite, &groups, query).map(|target| target.to_string());
            assert_eq!(got.ok().as_deref(), wanted, "{path} {query:?}");
        }
    }
}
