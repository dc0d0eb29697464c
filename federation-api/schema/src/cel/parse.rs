//! Tokens to a tree, by recursive descent with upstream's bounds; it knows names of operators, not what they do.

use std::sync::Arc;

use super::ast::{Call, Element, Entry, Expr, Field, Id, Kind, Literal};
use super::escape::is_reserved;
use super::lex::{self, Spanned, Token};
use super::macros;
use super::source::Issues;

/// Characters in an expression; upstream's number.
const MAX_CHARS: usize = 100_000;
/// How deep expressions nest; upstream's number.
const MAX_DEPTH: usize = 250;

/// Operators between two operands, from those that bind least.
const OPERATORS: &[(&str, usize, &str)] = &[
    ("||", 0, "_||_"),
    ("&&", 1, "_&&_"),
    ("<", 2, "_<_"),
    ("<=", 2, "_<=_"),
    (">=", 2, "_>=_"),
    (">", 2, "_>_"),
    ("==", 2, "_==_"),
    ("!=", 2, "_!=_"),
    ("in", 2, "@in"),
    ("+", 3, "_+_"),
    ("-", 3, "_-_"),
    ("*", 4, "_*_"),
    ("/", 4, "_/_"),
    ("%", 4, "_%_"),
];

const EXPECTED: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, \
                        BYTES, IDENTIFIER}";

/// The parser gave up; the issues say why.
#[derive(Debug)]
pub(crate) struct Failed;

pub(crate) type Parsed<T> = Result<T, Failed>;

/// A tree and how deep it is.
struct Deep {
    expr: Expr,
    depth: usize,
}

/// What is being parsed, and what macros make new nodes with.
pub(crate) struct Parser<'i> {
    tokens: Vec<Spanned>,
    at: usize,
    nesting: usize,
    pub(crate) issues: &'i mut Issues,
}

/// The tree of an expression.
///
/// # Errors
/// The issues then hold at least one.
pub(crate) fn parse(source: &str, issues: &mut Issues) -> Parsed<Expr> {
    let size = source.chars().count();
    if size > MAX_CHARS {
        let message = format!("expression code point size exceeds limit: size: {size}, limit {MAX_CHARS}");
        issues.report_at(None, message);
        return Err(Failed);
    }
    let tokens = match lex::tokens(source) {
        Ok(tokens) => tokens,
        Err(error) => {
            issues.report_at(Some(error.offset), error.message);
            return Err(Failed);
        }
    };
    let mut parser = Parser { tokens, at: 0, nesting: 0, issues };
    let parsed = parser.expr()?;
    match parser.current().token {
        Token::End => Ok(parsed.expr),
        _ => {
            let text = parser.current().text.clone();
            parser.syntax(&format!("mismatched input '{text}' expecting <EOF>"))
        }
    }
}

impl Parser<'_> {
    fn current(&self) -> &Spanned {
        &self.tokens[self.at]
    }

    fn offset(&self) -> u32 {
        self.current().offset
    }

    fn advance(&mut self) -> Spanned {
        let token = self.current().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn is(&self, punct: &str) -> bool {
        matches!(self.current().token, Token::Punct(found) if found == punct)
    }

    fn take(&mut self, punct: &str) -> bool {
        let found = self.is(punct);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, punct: &str) -> Parsed<u32> {
        let offset = self.offset();
        if self.take(punct) {
            return Ok(offset);
        }
        let text = self.current().text.clone();
        self.syntax(&format!("mismatched input '{text}' expecting '{punct}'"))
    }

    fn syntax<T>(&mut self, message: &str) -> Parsed<T> {
        let offset = self.offset();
        self.fail(Some(offset), format!("Syntax error: {message}"))
    }

    fn fail<T>(&mut self, offset: Option<u32>, message: impl Into<String>) -> Parsed<T> {
        self.issues.report_at(offset, message);
        Err(Failed)
    }

    /// A new node's number.
    pub(crate) fn id(&mut self, offset: Option<u32>) -> Id {
        self.issues.offsets.push(offset);
        (self.issues.offsets.len() - 1) as Id
    }

    fn node(&mut self, offset: u32, kind: Kind, depth: usize) -> Parsed<Deep> {
        if depth >= MAX_DEPTH {
            return self.fail(None, format!("expression recursion limit exceeded: {MAX_DEPTH}"));
        }
        let id = self.id(Some(offset));
        Ok(Deep { expr: Expr { id, kind }, depth: depth + 1 })
    }

    fn call(&mut self, offset: u32, function: &str, args: Vec<Deep>) -> Parsed<Deep> {
        let depth = args.iter().map(|arg| arg.depth).max().unwrap_or(0);
        let args = args.into_iter().map(|arg| arg.expr).collect();
        self.finish_call(offset, depth, Call { function: function.into(), target: None, args })
    }

    /// A call, or what the macro of that name makes of it.
    fn finish_call(&mut self, offset: u32, depth: usize, call: Call) -> Parsed<Deep> {
        match macros::expand(self, offset, call) {
            macros::Expanded::Call(call) => self.node(offset, Kind::Call(Box::new(call)), depth),
            macros::Expanded::Tree(expr) if depth < MAX_DEPTH => Ok(Deep { expr, depth: depth + 1 }),
            macros::Expanded::Tree(_) => self.fail(None, format!("expression recursion limit exceeded: {MAX_DEPTH}")),
            macros::Expanded::Wrong(at, message) => self.fail(at, message),
        }
    }

    fn expr(&mut self) -> Parsed<Deep> {
        self.nesting += 1;
        if self.nesting > MAX_DEPTH {
            return self.fail(None, format!("expression recursion limit exceeded: {MAX_DEPTH}"));
        }
        let condition = self.binary(0)?;
        let out = if self.is("?") {
            let offset = self.advance().offset;
            let yes = self.binary(0)?;
            self.expect(":")?;
            let no = self.expr()?;
            self.call(offset, "_?_:_", vec![condition, yes, no])?
        } else {
            condition
        };
        self.nesting -= 1;
        Ok(out)
    }

    /// Operators of a level and all that bind tighter; one call a level of nesting, so that stacks stay small.
    fn binary(&mut self, level: usize) -> Parsed<Deep> {
        let mut left = self.unary()?;
        while let Some((own, function)) = self.operator().filter(|(own, _)| *own >= level) {
            if own >= 2 {
                let offset = self.advance().offset;
                let right = self.binary(own + 1)?;
                left = self.call(offset, function, vec![left, right])?;
                continue;
            }
            let (mut terms, mut between) = (vec![left], Vec::new());
            while self.operator().is_some_and(|(_, next)| next == function) {
                between.push(self.advance().offset);
                terms.push(self.binary(own + 1)?);
            }
            left = self.balance(function, terms, &between)?;
        }
        Ok(left)
    }

    /// The operator that comes next: how tight it binds and what it is called.
    fn operator(&self) -> Option<(usize, &'static str)> {
        let Token::Punct(found) = self.current().token else { return None };
        OPERATORS.iter().find(|(text, _, _)| *text == found).map(|(_, level, function)| (*level, *function))
    }

    /// Long chains of `&&` and `||` become balanced trees.
    fn balance(&mut self, function: &str, mut terms: Vec<Deep>, between: &[u32]) -> Parsed<Deep> {
        if terms.len() == 1 {
            return Ok(terms.pop().expect("its length is one"));
        }
        let middle = between.len() / 2;
        let right = terms.split_off(middle + 1);
        let left = self.balance(function, terms, &between[..middle])?;
        let right = self.balance(function, right, &between[middle + 1..])?;
        self.call(between[middle], function, vec![left, right])
    }

    fn unary(&mut self) -> Parsed<Deep> {
        let offset = self.offset();
        let operator = if self.is("!") {
            "!"
        } else if self.is("-") && !self.is_negative_number() {
            "-"
        } else {
            return self.member();
        };
        let mut odd = false;
        while self.is(operator) && !(operator == "-" && self.is_negative_number() && odd) {
            self.advance();
            odd = !odd;
        }
        let operand = self.member()?;
        if odd { self.call(offset, if operator == "!" { "!_" } else { "-_" }, vec![operand]) } else { Ok(operand) }
    }

    fn is_negative_number(&self) -> bool {
        let next = self.tokens.get(self.at + 1).map(|spanned| &spanned.token);
        self.is("-") && matches!(next, Some(Token::Number(_) | Token::Literal(Literal::Double(_))))
    }

    fn member(&mut self) -> Parsed<Deep> {
        let mut operand = self.primary()?;
        loop {
            let offset = self.offset();
            if self.take(".") {
                operand = self.selected(operand, offset)?;
            } else if self.take("[") {
                let function = if self.take("?") { "_[?_]" } else { "_[_]" };
                let index = self.expr()?;
                self.expect("]")?;
                operand = self.call(offset, function, vec![operand, index])?;
            } else {
                return Ok(operand);
            }
        }
    }

    /// What follows a dot: a field, an optional field or a member call.
    fn selected(&mut self, operand: Deep, offset: u32) -> Parsed<Deep> {
        let optional = self.take("?");
        let token = self.advance();
        let (name, plain) = match token.token {
            Token::Ident(name) => (name, true),
            Token::Quoted(name) => (name, false),
            _ => {
                self.at = self.at.saturating_sub(usize::from(token.token != Token::End));
                return self.syntax(&format!("no viable alternative at input '.{}'", token.text));
            }
        };
        if optional {
            let field = Kind::Literal(Literal::String(name));
            let field = self.node(token.offset, field, 0)?;
            return self.call(offset, "_?._", vec![operand, field]);
        }
        if plain && self.is("(") {
            let open = self.offset();
            let (args, deepest) = self.args()?;
            let depth = operand.depth.max(deepest);
            return self.finish_call(open, depth, Call { function: name, target: Some(operand.expr), args });
        }
        let kind = Kind::Select { operand: Box::new(operand.expr), field: name, test: false };
        self.node(offset, kind, operand.depth)
    }

    fn args(&mut self) -> Parsed<(Vec<Expr>, usize)> {
        self.expect("(")?;
        let (mut args, mut depth) = (Vec::new(), 0);
        if !self.take(")") {
            loop {
                let arg = self.expr()?;
                depth = depth.max(arg.depth);
                args.push(arg.expr);
                if self.take(")") {
                    break;
                }
                if !self.take(",") {
                    self.expect(")")?;
                }
            }
        }
        Ok((args, depth))
    }

    fn primary(&mut self) -> Parsed<Deep> {
        let token = self.advance();
        match token.token {
            Token::Literal(literal) => self.node(token.offset, Kind::Literal(literal), 0),
            Token::Number(text) => self.whole(token.offset, &text, ""),
            Token::Punct("-") => {
                let number = self.advance();
                match number.token {
                    Token::Number(text) => self.whole(token.offset, &text, "-"),
                    Token::Literal(Literal::Double(value)) => {
                        self.node(token.offset, Kind::Literal(Literal::Double(-value)), 0)
                    }
                    _ => self.unexpected(&number),
                }
            }
            Token::Punct("(") => {
                let inner = self.expr()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Punct("[") => self.list(token.offset),
            Token::Punct("{") => self.map(token.offset),
            Token::Punct(".") => {
                let name = self.advance();
                match name.token {
                    Token::Ident(word) => self.named(name.offset, &word, true),
                    _ => self.unexpected(&name),
                }
            }
            Token::Ident(ref word) => {
                let word = word.clone();
                self.named(token.offset, &word, false)
            }
            _ => self.unexpected(&token),
        }
    }

    fn unexpected<T>(&mut self, token: &Spanned) -> Parsed<T> {
        let message = format!("Syntax error: mismatched input '{}' expecting {EXPECTED}", token.text);
        self.fail(Some(token.offset), message)
    }

    fn whole(&mut self, offset: u32, digits: &str, sign: &str) -> Parsed<Deep> {
        let parsed = match digits.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(&format!("{sign}{hex}"), 16),
            None => format!("{sign}{digits}").parse(),
        };
        match parsed {
            Ok(value) => self.node(offset, Kind::Literal(Literal::Int(value)), 0),
            Err(_) => self.fail(Some(offset), "invalid int literal"),
        }
    }

    /// A name: of a variable, a global function or an object that is made.
    fn named(&mut self, offset: u32, word: &Arc<str>, dotted: bool) -> Parsed<Deep> {
        let dot = if dotted { "." } else { "" };
        if let Some((name, skip)) = self.struct_name(word) {
            self.at += skip;
            return self.object(format!("{dot}{name}").into());
        }
        if is_reserved(word) {
            return self.fail(Some(offset), format!("reserved identifier: {word}"));
        }
        let name: Arc<str> = format!("{dot}{word}").into();
        if self.is("(") {
            let open = self.offset();
            let (args, depth) = self.args()?;
            return self.finish_call(open, depth, Call { function: name, target: None, args });
        }
        self.node(offset, Kind::Ident(name), 0)
    }

    /// The name of an object that is made here, `a.b.C{`, and how many tokens come before the brace.
    fn struct_name(&self, word: &str) -> Option<(String, usize)> {
        let (mut name, mut at) = (word.to_owned(), self.at);
        loop {
            match (&self.tokens.get(at)?.token, self.tokens.get(at + 1).map(|next| &next.token)) {
                (Token::Punct("{"), _) => return Some((name, at - self.at)),
                (Token::Punct("."), Some(Token::Ident(part))) => {
                    name.push('.');
                    name.push_str(part);
                    at += 2;
                }
                _ => return None,
            }
        }
    }

    fn object(&mut self, name: Arc<str>) -> Parsed<Deep> {
        let offset = self.expect("{")?;
        let (mut fields, mut depth) = (Vec::new(), 0);
        while !self.take("}") {
            let optional = self.take("?");
            let token = self.advance();
            let (Token::Ident(field) | Token::Quoted(field)) = token.token else {
                let message = format!(
                    "Syntax error: mismatched input '{}' expecting {{'}}', '?', ',', IDENTIFIER, ESC_IDENTIFIER}}",
                    token.text
                );
                return self.fail(Some(token.offset), message);
            };
            let colon = self.expect(":")?;
            let id = self.id(Some(colon));
            let value = self.expr()?;
            depth = depth.max(value.depth);
            fields.push(Field { id, name: field, value: value.expr, optional });
            if !self.is("}") {
                self.expect(",")?;
            }
        }
        self.node(offset, Kind::Struct { name, fields }, depth)
    }

    fn list(&mut self, offset: u32) -> Parsed<Deep> {
        let (mut elements, mut depth) = (Vec::new(), 0);
        while !self.take("]") {
            let optional = self.take("?");
            let value = self.expr()?;
            depth = depth.max(value.depth);
            elements.push(Element { value: value.expr, optional });
            if !self.is("]") {
                self.expect(",")?;
            }
        }
        self.node(offset, Kind::List(elements), depth)
    }

    fn map(&mut self, offset: u32) -> Parsed<Deep> {
        let (mut entries, mut depth) = (Vec::new(), 0);
        while !self.take("}") {
            let optional = self.take("?");
            let key = self.expr()?;
            self.expect(":")?;
            let value = self.expr()?;
            depth = depth.max(key.depth).max(value.depth);
            entries.push(Entry { key: key.expr, value: value.expr, optional });
            if !self.is("}") {
                self.expect(",")?;
            }
        }
        self.node(offset, Kind::Map(entries), depth)
    }
}
