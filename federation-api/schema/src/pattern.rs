//! Regular expressions in Go's syntax and with Go's meaning, on an engine that is linear in the text.
//!
//! Both dialects come from RE2, but classes such as `\d` are ASCII in Go, brackets do not nest, and braces that count
//! nothing are text. Every expression is rewritten; what Go refuses is refused in its words.
//!
//! Source: Go's `regexp/syntax`.

pub use regex::Regex;
use regex::RegexBuilder;

/// Bytes of a compiled expression; Go allows 128 MiB, which no schema needs.
const MAX_SIZE: usize = 16 << 20;
/// Go's own bound on `{n,m}`.
const MAX_REPEAT: u32 = 1000;
/// Open groups; Go allows 1000, the engine 250 by itself.
const MAX_GROUPS: usize = 200;

/// Compiles an expression.
///
/// # Errors
/// What Go's `regexp.Compile` says, such as ``error parsing regexp: missing closing ): `(` ``.
pub fn compile(text: &str) -> Result<Regex, String> {
    let rewritten = Rewriter::new(text).run()?;
    let built = RegexBuilder::new(&rewritten).size_limit(MAX_SIZE).dfa_size_limit(MAX_SIZE).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => problem("expression too large", text),
        _ => problem("invalid character class range", text),
    })
}

fn problem(code: &str, of: &str) -> String {
    format!("error parsing regexp: {code}: `{of}`")
}

/// What the next repetition would repeat.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Nothing,
    Item,
    /// A repetition that starts at this byte of the text.
    Repeat(usize),
}

struct Rewriter<'t> {
    text: &'t str,
    at: usize,
    out: String,
    last: Last,
    groups: usize,
}

type Step<T = ()> = Result<T, String>;

impl<'t> Rewriter<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0, out: String::with_capacity(text.len() + 8), last: Last::Nothing, groups: 0 }
    }

    fn run(mut self) -> Step<String> {
        while let Some(c) = self.peek() {
            match c {
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => self.plain("|", Last::Nothing),
                '*' | '+' | '?' => self.repeat(self.at + 1)?,
                '{' => self.braces()?,
                '[' => self.class()?,
                '\\' => self.escape()?,
                '^' | '$' | '.' => {
                    self.out.push(c);
                    self.skip(c);
                }
                _ => {
                    self.literal(c);
                    self.skip(c);
                }
            }
        }
        if self.groups > 0 { Err(problem("missing closing )", self.text)) } else { Ok(self.out) }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes a character that was written as an item.
    fn skip(&mut self, c: char) {
        self.at += c.len_utf8();
        self.last = Last::Item;
    }

    fn plain(&mut self, text: &str, last: Last) {
        self.out.push_str(text);
        self.at += text.len();
        self.last = last;
    }

    fn literal(&mut self, c: char) {
        if c.is_ascii_punctuation() {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    fn open(&mut self) -> Step {
        self.groups += 1;
        if self.groups > MAX_GROUPS {
            return Err(problem("expression nests too deeply", self.text));
        }
        let rest = self.rest();
        if !rest.starts_with("(?") {
            self.plain("(", Last::Nothing);
            return Ok(());
        }
        if rest.starts_with("(?P<") || rest.starts_with("(?<") {
            return self.named(rest);
        }
        let end = rest[2..].find([')', ':']).map(|at| at + 2);
        let Some(end) = end else { return Err(problem("missing closing )", self.text)) };
        let flags = &rest[2..end];
        let known = |c: char| matches!(c, 'i' | 'm' | 's' | 'U' | '-');
        let unfit = flags.chars().any(|c| !known(c)) || flags.ends_with('-') || flags.matches('-').count() > 1;
        let bare = flags.is_empty() && rest[end..].starts_with(')');
        if unfit || bare {
            let shown = flags.char_indices().find(|(_, c)| !known(*c)).map_or(end + 1, |(at, c)| 2 + at + c.len_utf8());
            return Err(problem("invalid or unsupported Perl syntax", &rest[..shown]));
        }
        if rest[end..].starts_with(')') {
            self.groups -= 1;
        }
        self.plain(&rest[..=end], Last::Nothing);
        Ok(())
    }

    fn named(&mut self, rest: &'t str) -> Step {
        let start = rest.find('<').map_or(0, |at| at + 1);
        let Some(end) = rest.find('>') else { return Err(problem("invalid named capture", rest)) };
        let name = &rest[start..end];
        if name.is_empty() || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
            return Err(problem("invalid named capture", &rest[..=end]));
        }
        // Names mean nothing here: a plain group spares us the rules about them.
        self.out.push('(');
        self.at += end + 1;
        self.last = Last::Nothing;
        Ok(())
    }

    fn close(&mut self) -> Step {
        if self.groups == 0 {
            return Err(problem("unexpected )", self.text));
        }
        self.groups -= 1;
        self.plain(")", Last::Item);
        Ok(())
    }

    /// A repetition that ends before `end`, without the question mark of a lazy one.
    fn repeat(&mut self, end: usize) -> Step {
        let start = self.at;
        let end = if self.text[end..].starts_with('?') { end + 1 } else { end };
        let operator = &self.text[start..end];
        match self.last {
            Last::Nothing => Err(problem("missing argument to repetition operator", operator)),
            Last::Repeat(from) => Err(problem("invalid nested repetition operator", &self.text[from..end])),
            Last::Item => {
                self.plain(operator, Last::Repeat(start));
                Ok(())
            }
        }
    }

    /// `{n}`, `{n,}`, `{n,m}`; anything else is text.
    fn braces(&mut self) -> Step {
        let Some(Counts { from, to, length }) = counts(self.rest()) else {
            self.literal('{');
            self.skip('{');
            return Ok(());
        };
        let too_many = |count: Option<u32>| count.is_none_or(|count| count > MAX_REPEAT);
        let reversed = matches!((from, to), (Some(from), Some(Some(to))) if from > to);
        if too_many(from) || to.is_some_and(too_many) || reversed {
            return Err(problem("invalid repeat count", &self.rest()[..length]));
        }
        self.repeat(self.at + length)
    }

    fn escape(&mut self) -> Step {
        let rest = self.rest();
        if let Some(quoted) = rest.strip_prefix("\\Q") {
            let end = quoted.find("\\E");
            let text = &quoted[..end.unwrap_or(quoted.len())];
            text.chars().for_each(|c| self.literal(c));
            self.at += 2 + text.len() + if end.is_some() { 2 } else { 0 };
            if !text.is_empty() {
                self.last = Last::Item;
            }
            return Ok(());
        }
        let Some(c) = rest.chars().nth(1) else {
            return Err(problem("trailing backslash at end of expression", ""));
        };
        let ready = match c {
            'A' => "\\A",
            'z' => "\\z",
            'b' => "(?-u:\\b)",
            'B' => "(?-u:\\B)",
            'd' => "[0-9]",
            'D' => "[^0-9]",
            's' => "[\\t\\n\\x0C\\r ]",
            'S' => "[^\\t\\n\\x0C\\r ]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            _ => "",
        };
        if !ready.is_empty() {
            self.out.push_str(ready);
            self.at += 2;
        } else if matches!(c, 'p' | 'P') {
            self.property()?;
        } else {
            let c = self.escaped_char()?;
            self.literal(c);
        }
        self.last = Last::Item;
        Ok(())
    }

    /// `\pN`, `\p{Greek}`, `\p{^Greek}`.
    fn property(&mut self) -> Step {
        let rest = self.rest();
        let negated = rest.starts_with("\\P");
        let Some(first) = rest[2..].chars().next() else {
            return Err(problem("invalid character class range", rest));
        };
        let (name, length) = if first == '{' {
            let Some(end) = rest.find('}') else { return Err(problem("invalid character class range", rest)) };
            (&rest[3..end], end + 1)
        } else {
            (&rest[2..2 + first.len_utf8()], 2 + first.len_utf8())
        };
        let (name, negated) = name.strip_prefix('^').map_or((name, negated), |name| (name, !negated));
        if name.is_empty() || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
            return Err(problem("invalid character class range", &rest[..length]));
        }
        if name == "Any" {
            self.out.push_str(if negated { "[^\\x00-\\x{10FFFF}]" } else { "[\\x00-\\x{10FFFF}]" });
        } else {
            self.out.push_str(if negated { "\\P{" } else { "\\p{" });
            self.out.push_str(name);
            self.out.push('}');
        }
        self.at += length;
        Ok(())
    }

    /// An escape that stands for one character.
    fn escaped_char(&mut self) -> Step<char> {
        let rest = self.rest();
        let mut chars = rest[1..].chars();
        let Some(c) = chars.next() else { return Err(problem("trailing backslash at end of expression", "")) };
        let shown = |length: usize| problem("invalid escape sequence", rest.get(..length).unwrap_or(rest));
        let (found, length) = match c {
            'a' => ('\u{7}', 2),
            'f' => ('\u{c}', 2),
            'n' => ('\n', 2),
            'r' => ('\r', 2),
            't' => ('\t', 2),
            'v' => ('\u{b}', 2),
            '1'..='7' if !chars.clone().next().is_some_and(|c| ('0'..='7').contains(&c)) => return Err(shown(2)),
            '0'..='7' => {
                let digits: String = rest[1..].chars().take(3).take_while(|c| ('0'..='7').contains(c)).collect();
                let code = u32::from_str_radix(&digits, 8).map_err(|_| shown(2))?;
                (char::from_u32(code).ok_or_else(|| shown(2))?, 1 + digits.len())
            }
            'x' => {
                let (digits, length) = match rest[2..].strip_prefix('{') {
                    Some(inner) => {
                        let Some(end) = inner.find('}') else { return Err(shown(rest.len())) };
                        (&inner[..end], end + 4)
                    }
                    None => (rest.get(2..4).ok_or_else(|| shown(rest.len()))?, 4),
                };
                let fits = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
                let code = u32::from_str_radix(digits, 16).ok().filter(|_| fits);
                (code.and_then(char::from_u32).ok_or_else(|| shown(length))?, length)
            }
            c if c.is_ascii_punctuation() => (c, 2),
            c => return Err(shown(1 + c.len_utf8())),
        };
        self.at += length;
        Ok(found)
    }

    fn class(&mut self) -> Step {
        let start = self.at;
        let whole = self.rest();
        self.out.push('[');
        self.at += 1;
        if self.rest().starts_with('^') {
            self.out.push('^');
            self.at += 1;
        }
        let mut first = true;
        loop {
            let rest = self.rest();
            let Some(c) = rest.chars().next() else { return Err(problem("missing closing ]", whole)) };
            if c == ']' && !first {
                break;
            }
            first = false;
            if rest.starts_with("[:") && self.posix(rest)? {
                continue;
            }
            if rest.starts_with("\\p") || rest.starts_with("\\P") {
                self.property()?;
                continue;
            }
            if let Some(ready) = perl_class(rest) {
                self.out.push_str(ready);
                self.at += 2;
                continue;
            }
            self.range(start)?;
        }
        self.out.push(']');
        self.at += 1;
        self.last = Last::Item;
        Ok(())
    }

    /// `[:alpha:]`; says whether it was one.
    fn posix(&mut self, rest: &str) -> Step<bool> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
            "word", "xdigit",
        ];
        let Some(end) = rest[2..].find(":]") else { return Ok(false) };
        let name = &rest[2..2 + end];
        if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(problem("invalid character class range", &rest[..end + 4]));
        }
        self.out.push_str(&rest[..end + 4]);
        self.at += end + 4;
        Ok(true)
    }

    /// A character of a class, or a range of them.
    fn range(&mut self, start: usize) -> Step {
        let from_at = self.at;
        let low = self.class_char(start)?;
        let rest = self.rest();
        let mut high = low;
        if rest.starts_with('-') && !rest.starts_with("-]") && rest.len() > 1 {
            self.at += 1;
            high = self.class_char(start)?;
            if high < low {
                return Err(problem("invalid character class range", &self.text[from_at..self.at]));
            }
        }
        self.literal(low);
        if high != low {
            self.out.push('-');
            self.literal(high);
        }
        Ok(())
    }

    fn class_char(&mut self, start: usize) -> Step<char> {
        match self.peek() {
            None => Err(problem("missing closing ]", &self.text[start..])),
            Some('\\') => self.escaped_char(),
            Some(c) => {
                self.at += c.len_utf8();
                Ok(c)
            }
        }
    }
}

fn perl_class(rest: &str) -> Option<&'static str> {
    Some(match rest.as_bytes() {
        [b'\\', b'd', ..] => "0-9",
        [b'\\', b'D', ..] => "[^0-9]",
        [b'\\', b's', ..] => "\\t\\n\\x0C\\r ",
        [b'\\', b'S', ..] => "[^\\t\\n\\x0C\\r ]",
        [b'\\', b'w', ..] => "0-9A-Za-z_",
        [b'\\', b'W', ..] => "[^0-9A-Za-z_]",
        _ => return None,
    })
}

/// What braces count.
struct Counts {
    /// None where the number is too large for any count.
    from: Option<u32>,
    /// None where there is no upper bound of its own.
    to: Option<Option<u32>>,
    /// Bytes of the text.
    length: usize,
}

/// Reads `{n}`, `{n,}` or `{n,m}`; none for anything else.
fn counts(rest: &str) -> Option<Counts> {
    let end = rest.find('}')?;
    let inner = &rest[1..end];
    let is_number = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'))
    };
    let counts = |from: &str, to: Option<&str>| Counts {
        from: from.parse().ok(),
        to: to.map(|to| to.parse().ok()),
        length: end + 1,
    };
    match inner.split_once(',') {
        None if is_number(inner) => Some(counts(inner, None)),
        Some((from, "")) if is_number(from) => Some(counts(from, None)),
        Some((from, to)) if is_number(from) && is_number(to) => Some(counts(from, Some(to))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn means_what_go_means() {
        let table = [
            ("^a+$", "aaa", true),
            (r"^\d+$", "٣", false),
            (r"^\w+$", "é", false),
            (r"^[\w-]+$", "a-b", true),
            (r"^[^\d]$", "x", true),
            (r"^[\D]$", "5", false),
            ("^[a[b]$", "[", true),
            ("^[a&&b]+$", "a&b", true),
            ("^a{,2}$", "a{,2}", true),
            ("^a{2}$", "aa", true),
            ("^x{a}$", "x{a}", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"\bfoo\b", "a foo b", true),
            (r"o\Bo", "foo", true),
            ("(?i)^ABC$", "abc", true),
            ("(?P<n>a)(?<m>b)", "ab", true),
            (r"^\x41\x{42}\103$", "ABC", true),
            ("^[]a]+$", "]a", true),
            ("^[[:alpha:]-]+$", "ab-", true),
            (r"^\p{Greek}\pL$", "αb", true),
            (r"^[a\-z]$", "-", true),
            ("^(?:a|b){1,3}?$", "ab", true),
            ("a|", "", true),
            ("^.$", "\n", false),
            (r"^[\s]$", "\u{b}", false),
        ];
        for (pattern, text, matches) in table {
            let regex = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(regex.is_match(text), matches, "{pattern} on {text:?}");
        }
    }

    #[test]
    fn refuses_in_gos_words() {
        let table = [
            ("(", "missing closing ): `(`"),
            ("a)", "unexpected ): `a)`"),
            ("[a", "missing closing ]: `[a`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            (r"\y", r"invalid escape sequence: `\y`"),
            (r"(a)\1", r"invalid escape sequence: `\1`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("\\", "trailing backslash at end of expression: ``"),
        ];
        for (pattern, text) in table {
            let error = compile(pattern).expect_err(pattern);
            assert_eq!(error, format!("error parsing regexp: {text}"), "{pattern}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        for bomb in ["((((a{1000}){1000}){1000}){1000})", &"(".repeat(5000), &"(a".repeat(300)] {
            assert!(compile(bomb).is_err());
        }
    }
}
