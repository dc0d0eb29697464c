//! Text to tokens, with positions counted in characters; it knows no grammar beyond what a token is.

use std::sync::Arc;

use super::ast::Literal;

/// A piece of the text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Ident(Arc<str>),
    /// A name in backquotes; only fields may have one.
    Quoted(Arc<str>),
    /// A number without sign, a string, bytes, true, false or null.
    Literal(Literal),
    /// A whole number as written: its sign comes before it.
    Number(Arc<str>),
    /// One of the operators and brackets.
    Punct(&'static str),
    End,
}

/// A token, where it starts and what it looks like.
#[derive(Debug, Clone)]
pub(crate) struct Spanned {
    pub(crate) token: Token,
    pub(crate) offset: u32,
    pub(crate) text: Arc<str>,
}

/// What is no token.
#[derive(Debug)]
pub(crate) struct LexError {
    pub(crate) offset: u32,
    pub(crate) message: String,
}

const PUNCTUATION: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*",
    "/", "%",
];

struct Lexer {
    chars: Vec<char>,
    at: usize,
}

/// All tokens of a text, the last one being the end.
///
/// # Errors
/// The first thing that is no token, or a literal out of range.
pub(crate) fn tokens(source: &str) -> Result<Vec<Spanned>, LexError> {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0 };
    let mut out = Vec::new();
    loop {
        lexer.skip_blank();
        let start = lexer.at;
        let token = if start >= lexer.chars.len() { Token::End } else { lexer.token()? };
        let end = token == Token::End;
        let text = if end { "<EOF>".to_owned() } else { lexer.chars[start..lexer.at].iter().collect() };
        out.push(Spanned { token, offset: start as u32, text: text.into() });
        if end {
            return Ok(out);
        }
    }
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn error<T>(&self, at: usize, message: impl Into<String>) -> Result<T, LexError> {
        Err(LexError { offset: at as u32, message: message.into() })
    }

    fn unrecognized<T>(&self, start: usize) -> Result<T, LexError> {
        let end = (self.at + 1).min(self.chars.len()).max(start + 1);
        let text: String = self.chars[start..end].iter().collect();
        self.error(start, format!("Syntax error: token recognition error at: '{text}'"))
    }

    fn skip_blank(&mut self) {
        while let Some(c) = self.peek(0) {
            if matches!(c, '\t' | ' ' | '\r' | '\n' | '\u{c}') {
                self.at += 1;
            } else if c == '/' && self.peek(1) == Some('/') {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.at += 1;
                }
            } else {
                return;
            }
        }
    }

    fn token(&mut self) -> Result<Token, LexError> {
        let c = self.peek(0).unwrap_or('\0');
        if let Some(prefix) = self.string_prefix() {
            return self.string(prefix);
        }
        if c.is_ascii_digit() || (c == '.' && self.peek(1).is_some_and(|d| d.is_ascii_digit())) {
            return self.number();
        }
        if c.is_ascii_alphabetic() || c == '_' {
            return Ok(self.word());
        }
        if c == '`' {
            return self.quoted();
        }
        for punct in PUNCTUATION {
            if punct.chars().enumerate().all(|(i, p)| self.peek(i) == Some(p)) {
                self.at += punct.len();
                return Ok(Token::Punct(punct));
            }
        }
        self.unrecognized(self.at)
    }

    fn word(&mut self) -> Token {
        let start = self.at;
        while self.peek(0).is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.at += 1;
        }
        let word: String = self.chars[start..self.at].iter().collect();
        match &*word {
            "true" => Token::Literal(Literal::Bool(true)),
            "false" => Token::Literal(Literal::Bool(false)),
            "null" => Token::Literal(Literal::Null),
            "in" => Token::Punct("in"),
            _ => Token::Ident(word.into()),
        }
    }

    fn quoted(&mut self) -> Result<Token, LexError> {
        let start = self.at;
        self.at += 1;
        while self.peek(0).is_some_and(|c| c.is_ascii_alphanumeric() || "_.-/ ".contains(c)) {
            self.at += 1;
        }
        if self.peek(0) != Some('`') || self.at == start + 1 {
            return self.unrecognized(start);
        }
        self.at += 1;
        Ok(Token::Quoted(self.chars[start + 1..self.at - 1].iter().collect::<String>().into()))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek(0).is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Token, LexError> {
        let start = self.at;
        if self.peek(0) == Some('0') && self.peek(1) == Some('x') && self.peek(2).is_some_and(|c| c.is_ascii_hexdigit())
        {
            self.at += 2;
            while self.peek(0).is_some_and(|c| c.is_ascii_hexdigit()) {
                self.at += 1;
            }
            return self.whole(start);
        }
        self.digits();
        let mut double = false;
        if self.peek(0) == Some('.') && self.peek(1).is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            self.digits();
            double = true;
        }
        if matches!(self.peek(0), Some('e' | 'E')) {
            let sign = usize::from(matches!(self.peek(1), Some('+' | '-')));
            if self.peek(1 + sign).is_some_and(|c| c.is_ascii_digit()) {
                self.at += 1 + sign;
                self.digits();
                double = true;
            }
        }
        if !double {
            return self.whole(start);
        }
        let text: String = self.chars[start..self.at].iter().collect();
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Token::Literal(Literal::Double(value))),
            _ => self.error(start, "invalid double literal"),
        }
    }

    fn whole(&mut self, start: usize) -> Result<Token, LexError> {
        let text: String = self.chars[start..self.at].iter().collect();
        if matches!(self.peek(0), Some('u' | 'U')) {
            self.at += 1;
            let parsed = match text.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16),
                None => text.parse(),
            };
            return match parsed {
                Ok(value) => Ok(Token::Literal(Literal::Uint(value))),
                Err(_) => self.error(start, "invalid uint literal"),
            };
        }
        Ok(Token::Number(text.into()))
    }

    /// How many letters stand before the quote of a string that starts here.
    fn string_prefix(&self) -> Option<usize> {
        let quote = |c: Option<char>| matches!(c, Some('"' | '\''));
        let raw = |c: Option<char>| matches!(c, Some('r' | 'R'));
        let bytes = matches!(self.peek(0), Some('b' | 'B'));
        if quote(self.peek(0)) {
            Some(0)
        } else if (bytes || raw(self.peek(0))) && quote(self.peek(1)) {
            Some(1)
        } else if bytes && raw(self.peek(1)) && quote(self.peek(2)) {
            Some(2)
        } else {
            None
        }
    }

    fn string(&mut self, prefix: usize) -> Result<Token, LexError> {
        let start = self.at;
        let letters = &self.chars[start..start + prefix];
        let bytes = letters.iter().any(|c| matches!(c, 'b' | 'B'));
        let raw = letters.iter().any(|c| matches!(c, 'r' | 'R'));
        self.at += prefix;
        let quote = self.chars[self.at];
        let triple = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        let width = if triple { 3 } else { 1 };
        self.at += width;
        let body = self.at;
        loop {
            let Some(c) = self.peek(0) else { return self.unrecognized(start) };
            if c == '\\' && !raw {
                self.at += 2;
            } else if (0..width).all(|i| self.peek(i) == Some(quote)) {
                break;
            } else if !triple && matches!(c, '\n' | '\r') {
                return self.unrecognized(start);
            } else {
                self.at += 1;
            }
        }
        let content: Vec<char> = self.chars[body..self.at].to_vec();
        self.at += width;
        match unescape(&content, raw, bytes) {
            Ok(value) if bytes => Ok(Token::Literal(Literal::Bytes(value.into()))),
            Ok(value) => match String::from_utf8(value) {
                Ok(text) => Ok(Token::Literal(Literal::String(text.into()))),
                Err(_) => self.error(start, "unable to unescape string"),
            },
            Err(message) => self.error(start, message),
        }
    }
}

/// The content of a string literal with its escapes replaced and its line ends made `\n`.
fn unescape(content: &[char], raw: bool, bytes: bool) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::with_capacity(content.len());
    let mut push = |c: char| out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    let mut at = 0;
    let mut single: Vec<(usize, u8)> = Vec::new();
    let mut pushed = 0;
    while let Some(&c) = content.get(at) {
        at += 1;
        if c == '\r' {
            at += usize::from(content.get(at) == Some(&'\n'));
            push('\n');
            pushed += 1;
            continue;
        }
        if c != '\\' || raw {
            push(c);
            pushed += c.len_utf8();
            continue;
        }
        let (escape, used) = escape(&content[at..], bytes)?;
        at += used;
        match escape {
            Escape::Char(c) => {
                push(c);
                pushed += c.len_utf8();
            }
            Escape::Byte(byte) => {
                push('\0');
                single.push((pushed, byte));
                pushed += 1;
            }
        }
    }
    for (place, byte) in single {
        out[place] = byte;
    }
    Ok(out)
}

enum Escape {
    Char(char),
    Byte(u8),
}

/// What comes after a backslash, and how many characters that is.
fn escape(rest: &[char], bytes: bool) -> Result<(Escape, usize), &'static str> {
    let Some(&c) = rest.first() else { return Err("unable to unescape string, found '\\' as last character") };
    let plain = match c {
        'a' => Some('\u{7}'),
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\u{b}'),
        '\\' | '\'' | '"' | '`' | '?' => Some(c),
        _ => None,
    };
    if let Some(plain) = plain {
        return Ok((Escape::Char(plain), 1));
    }
    let (digits, radix, skip) = match c {
        'x' | 'X' => (2, 16, 1),
        'u' if !bytes => (4, 16, 1),
        'U' if !bytes => (8, 16, 1),
        '0'..='3' => (3, 8, 0),
        _ => return Err("unable to unescape string"),
    };
    let octal = radix == 8;
    let wrong = if octal { "unable to unescape octal sequence in string" } else { "unable to unescape string" };
    let mut value = 0_u32;
    for i in 0..digits {
        let digit = rest.get(skip + i).and_then(|c| c.to_digit(radix)).ok_or(wrong)?;
        value = value.wrapping_mul(radix) + digit;
    }
    let used = skip + digits;
    if bytes {
        return Ok((Escape::Byte(value as u8), used));
    }
    char::from_u32(value).map(|c| (Escape::Char(c), used)).ok_or("invalid unicode code point")
}
