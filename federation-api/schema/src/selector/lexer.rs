//! Splits a label selector into tokens exactly as upstream's lexer does: longest symbol first, everything else an identifier.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Error,
    End,
    CloseParen,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    GreaterThan,
    Identifier,
    In,
    LessThan,
    NotEquals,
    NotIn,
    OpenParen,
}

/// A token and its text; the text of `Token::Error` is the complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item<'a> {
    pub(super) token: Token,
    pub(super) text: std::borrow::Cow<'a, str>,
}

fn symbol(text: &str) -> Option<Token> {
    Some(match text {
        ")" => Token::CloseParen,
        "," => Token::Comma,
        "!" => Token::Not,
        "==" => Token::DoubleEquals,
        "=" => Token::Equals,
        ">" => Token::GreaterThan,
        "<" => Token::LessThan,
        "!=" => Token::NotEquals,
        "(" => Token::OpenParen,
        _ => return None,
    })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_symbol(byte: u8) -> bool {
    matches!(byte, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<')
}

/// All tokens, `Token::End` last. A NUL byte ends the input, as upstream reads it.
pub(super) fn scan(input: &str) -> Vec<Item<'_>> {
    let input = input.split('\0').next().unwrap_or(input);
    let bytes = input.as_bytes();
    let mut items = Vec::new();
    let mut pos = 0;
    loop {
        while bytes.get(pos).copied().is_some_and(is_space) {
            pos += 1;
        }
        let Some(&first) = bytes.get(pos) else {
            items.push(Item { token: Token::End, text: "".into() });
            return items;
        };
        let start = pos;
        if is_symbol(first) {
            // `!` and `=` join with a following `=`; every other symbol stands alone.
            pos += if bytes.get(pos + 1) == Some(&b'=') && matches!(first, b'!' | b'=') { 2 } else { 1 };
            let text = &input[start..pos];
            let token = symbol(text).unwrap_or(Token::Error);
            items.push(Item { token, text: text.into() });
        } else {
            while bytes.get(pos).copied().is_some_and(|b| !is_symbol(b) && !is_space(b)) {
                pos += 1;
            }
            let text = &input[start..pos];
            let token = match text {
                "in" => Token::In,
                "notin" => Token::NotIn,
                _ => Token::Identifier,
            };
            items.push(Item { token, text: text.into() });
        }
    }
}
