//! The part of `configuration-snippet` that is plain values: fields that are set, added or taken off.
//!
//! Read as nginx reads its files, and refused as a whole where anything else stands in it.
//! Source: nginx `ngx_conf_read_token`, headers-more, `ngx_http_headers_module`.

use http::header::{CONTENT_ENCODING, EXPECT};
use http::{HeaderName, HeaderValue};

use super::read::Reader;
use crate::route::policy::{Added, AnswerRules, Policy, RequestRules};

/// Directives of one snippet.
const DIRECTIVES_MAX: usize = 64;
/// Fields that say how a message is framed, where it goes or how long a connection lives.
const OURS: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Takes in what a snippet says; closes the route where that is more than can be followed.
pub(super) fn read(reader: &mut Reader<'_>, policy: &mut Policy) {
    let Some((answers, requests)) = reader.parsed("configuration-snippet", |text| parse(text).ok()) else { return };
    if answers != AnswerRules::default() {
        let rules = policy.answers.get_or_insert_default();
        (rules.set, rules.unset, rules.added) = (answers.set, answers.unset, answers.added);
    }
    policy.requests = (requests != RequestRules::default()).then(|| Box::new(requests));
}

/// # Errors
/// What it is that cannot be followed.
pub(super) fn parse(text: &str) -> Result<(AnswerRules, RequestRules), String> {
    let (mut answers, mut requests) = (AnswerRules::default(), RequestRules::default());
    for (number, words) in directives(text)?.into_iter().enumerate() {
        if number >= DIRECTIVES_MAX {
            return Err(format!("it has more than {DIRECTIVES_MAX} directives"));
        }
        let (name, words) = words.split_first().ok_or("a directive without a name")?;
        match (name.as_str(), words) {
            ("more_set_headers", fields) if !fields.is_empty() => {
                for field in fields {
                    if field.starts_with('-') {
                        return Err(format!("more_set_headers {field} is not supported"));
                    }
                    let (field, value) = field.split_once(':').unwrap_or((field, ""));
                    match value.trim() {
                        "" => answers.unset.push(field_name(field)?),
                        value => answers.set.push((field_name(field)?, field_value(value)?)),
                    }
                }
            }
            ("add_header", [field, value]) => {
                let (name, value) = (field_name(field)?, field_value(value)?);
                answers.added.push(Added { name, value, always: false });
            }
            ("add_header", [field, value, always]) if always == "always" => {
                let (name, value) = (field_name(field)?, field_value(value)?);
                answers.added.push(Added { name, value, always: true });
            }
            ("proxy_set_header", [field, value]) => match value.as_str() {
                "" => requests.unset.push(field_name(field)?),
                value => requests.set.push((field_name(field)?, field_value(value)?)),
            },
            ("more_set_headers" | "add_header" | "proxy_set_header", words) => {
                return Err(format!("{name} with {} words is not supported", words.len()));
            }
            (other, _) => {
                let shown: String = other.chars().take(60).collect();
                return Err(format!(
                    "{shown:?} is not supported, only more_set_headers, add_header and proxy_set_header"
                ));
            }
        }
    }
    Ok((answers, requests))
}

fn field_name(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.trim().as_bytes()).map_err(|_| format!("{text:?} is no name of a field"))?;
    if OURS.contains(&name.as_str()) {
        return Err(format!("the field {name} is not a user's to set"));
    }
    Ok(name)
}

/// The name of a field that somebody else's answer or token fills in for endpoints.
pub(super) fn told_name(text: &str) -> Result<HeaderName, String> {
    let name = field_name(text)?;
    // How a body is to be read and awaited is said of the body that comes, by who sends it.
    if [EXPECT, CONTENT_ENCODING].contains(&name) {
        return Err(format!("the field {name} is not a user's to set"));
    }
    Ok(name)
}

fn field_value(text: &str) -> Result<HeaderValue, String> {
    if text.contains('$') {
        return Err("variables are not supported".to_owned());
    }
    HeaderValue::from_str(text).map_err(|_| "a value that no field can have".to_owned())
}

/// The words of each directive: divided by blanks, in quotes or with escapes, ended by a semicolon.
fn directives(text: &str) -> Result<Vec<Vec<String>>, String> {
    let (mut all, mut words) = (Vec::new(), Vec::new());
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            blank if blank.is_ascii_whitespace() => {}
            '#' => while signs.next_if(|sign| *sign != '\n').is_some() {},
            ';' if words.is_empty() => return Err("a semicolon without a directive".to_owned()),
            ';' => all.push(std::mem::take(&mut words)),
            '{' | '}' => return Err("blocks are not supported".to_owned()),
            quote @ ('"' | '\'') => {
                let mut word = String::new();
                loop {
                    match signs.next().ok_or("a quote that does not end")? {
                        sign if sign == quote => break,
                        '\\' => word.push(escaped(signs.next())?),
                        sign => word.push(sign),
                    }
                }
                if signs.peek().is_some_and(|next| !next.is_ascii_whitespace() && *next != ';') {
                    return Err("something behind a quote".to_owned());
                }
                words.push(word);
            }
            first => {
                let mut word = String::new();
                let mut next = Some(first);
                while let Some(sign) = next {
                    word.push(if sign == '\\' { escaped(signs.next())? } else { sign });
                    next = signs.next_if(|sign| !sign.is_ascii_whitespace() && !matches!(sign, ';' | '{' | '}'));
                }
                words.push(word);
            }
        }
    }
    if words.is_empty() { Ok(all) } else { Err("a directive that does not end with a semicolon".to_owned()) }
}

/// Only what stands for itself: line ends have no place in fields.
fn escaped(sign: Option<char>) -> Result<char, String> {
    match sign {
        Some(sign @ ('"' | '\'' | '\\' | ' ' | ';' | '{' | '}' | '#')) => Ok(sign),
        _ => Err("an escape that is not supported".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    /// Ingress: 82
    #[test]
    fn plain_values_are_read_and_everything_else_is_refused_by_name() {
        let text = "# a comment; with a semicolon\n more_set_headers \"X-A: 1; b\" 'X-B: \\'2\\'' X-C:;\n\
            add_header X-D \"4\" always;add_header X-D five;\nproxy_set_header X-E \"\";proxy_set_header X-F 6\\;7;";
        let (answers, requests) = parse(text).expect("plain");
        let set: Vec<_> = answers.set.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        assert_eq!(set, ["x-a: \"1; b\"", "x-b: \"'2'\""]);
        assert_eq!(answers.unset, ["x-c"]);
        let added: Vec<_> = answers.added.iter().map(|one| (one.name.as_str(), one.always)).collect();
        assert_eq!(added, [("x-d", true), ("x-d", false)]);
        assert_eq!((requests.unset[0].as_str(), requests.set[0].1.as_bytes()), ("x-e", &b"6;7"[..]));
        for (text, wanted) in [
            ("deny all;", "\"deny\" is not supported"),
            ("rewrite ^ /x;", "\"rewrite\""),
            ("more_set_headers \"X: 1\"; access_by_lua_block { os.execute('x') }", "blocks"),
            ("if ($x) { return 200; }", "blocks"),
            ("add_header X $http_x;", "variables"),
            ("more_set_headers \"X: ${http_x}\";", "variables"),
            ("more_set_headers -s 404 \"X: 1\";", "more_set_headers -s"),
            ("proxy_set_header Host evil;", "the field host"),
            ("add_header Content-Length 5;", "the field content-length"),
            ("add_header X;", "add_header with 1 words"),
            ("add_header X 1 sometimes;", "add_header with 3 words"),
            ("add_header X 1", "does not end with a semicolon"),
            ("add_header X \"1;", "a quote that does not end"),
            ("add_header X \"1\"2;", "something behind a quote"),
            ("add_header X \"a\\nb\";", "an escape"),
            ("add_header X \"a\nSet-Cookie: b\";", "a value that no field can have"),
            ("add_header \"X Y\" 1;", "no name of a field"),
            (";", "a semicolon without"),
            ("include /etc/passwd;", "\"include\""),
        ] {
            let told = parse(text).expect_err(text);
            assert!(told.contains(wanted), "{text:?}: {told}");
        }
        assert!(parse(&"add_header X 1;".repeat(65)).is_err());
    }
}
