//! Network texts as Go reads them: addresses, blocks, hardware addresses, URIs, mail addresses.
//!
//! Source: Go's `net`, `net/url`, `net/mail`, and `k8s.io/utils/net` for the leading zeros it tolerates.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An address of either family; `sloppy` allows leading zeros in decimal parts.
pub(super) fn is_ip(text: &str, sloppy: bool) -> bool {
    if text.contains(':') { is_v6(text, sloppy) } else { is_v4(text, sloppy) }
}

fn is_v4(text: &str, sloppy: bool) -> bool {
    if !sloppy {
        return text.parse::<Ipv4Addr>().is_ok();
    }
    let part = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits && part.trim_start_matches('0').len() <= 3 && part.parse::<u64>().is_ok_and(|n| n <= 255)
    };
    text.split('.').count() == 4 && text.split('.').all(part)
}

fn is_v6(text: &str, sloppy: bool) -> bool {
    match text.rsplit_once(':') {
        Some((start, tail)) if tail.contains('.') => {
            is_v4(tail, sloppy) && format!("{start}:0.0.0.0").parse::<Ipv6Addr>().is_ok()
        }
        _ => text.parse::<Ipv6Addr>().is_ok(),
    }
}

/// `10.0.0.0/8`, with leading zeros tolerated in the address.
pub(super) fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let max = if address.contains(':') { 128 } else { 32 };
    let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
    is_ip(address, true) && digits && bits.parse::<u32>().is_ok_and(|bits| bits <= max)
}

/// EUI-48, EUI-64 or 20-byte hardware addresses in any of Go's three notations.
pub(super) fn is_mac(text: &str) -> bool {
    let (separator, width) = match text.find([':', '-', '.']).map(|at| (at, text.as_bytes()[at])) {
        Some((2, separator @ (b':' | b'-'))) => (separator, 2),
        Some((4, b'.')) => (b'.', 4),
        _ => return false,
    };
    let mut groups = 0;
    let hex = |group: &str| group.len() == width && group.bytes().all(|b| b.is_ascii_hexdigit());
    let fits = text.split(char::from(separator)).all(|group| {
        groups += 1;
        hex(group)
    });
    fits && matches!(groups * width / 2, 6 | 8 | 20)
}

/// An absolute URI or an absolute path.
pub(super) fn is_request_uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return false;
    }
    if text == "*" {
        return true;
    }
    let Some((scheme, rest)) = scheme(text) else { return false };
    let rest = rest.split('?').next().unwrap_or(rest);
    if !rest.starts_with('/') {
        return !scheme.is_empty();
    }
    let path = match rest.strip_prefix("//") {
        Some(authority) if !scheme.is_empty() => {
            let end = authority.find('/').unwrap_or(authority.len());
            if !is_authority(&authority[..end]) {
                return false;
            }
            &authority[end..]
        }
        _ => rest,
    };
    is_escaped(path)
}

/// The scheme, possibly none, and what follows it.
fn scheme(text: &str) -> Option<(&str, &str)> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return None,
            ':' => return Some((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Some(("", text))
}

fn is_escaped(text: &str) -> bool {
    let bytes = text.as_bytes();
    let percents = bytes.iter().enumerate().filter(|(_, b)| **b == b'%');
    percents
        .into_iter()
        .all(|(at, _)| bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)))
}

fn is_authority(text: &str) -> bool {
    let (user, host) = text.rsplit_once('@').unwrap_or(("", text));
    let in_user = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !user.chars().all(in_user) || !is_escaped(user) {
        return false;
    }
    let is_port = |text: &str| {
        text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
    };
    if let Some(literal) = host.strip_prefix('[') {
        let Some((address, port)) = literal.rsplit_once(']') else { return false };
        return is_port(port) && is_ip(address.split('%').next().unwrap_or(address), false);
    }
    if host.contains(['[', ']']) && !host.contains('%') {
        return false;
    }
    let (name, port) = host.rfind(':').map_or((host, ""), |at| host.split_at(at));
    let in_host = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(c);
    is_port(port) && !name.contains(':') && name.chars().all(in_host) && is_escaped(name)
}

/// `a@b`, `Name <a@b>`, `"Quoted" <a@b>`.
pub(super) fn is_email(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t']);
    let comment = text.strip_suffix(')').and_then(|text| text.split_once('('));
    let text = comment.filter(|(_, inner)| !inner.contains(['(', ')'])).map_or(text, |(text, _)| text.trim_end());
    if is_address(text) {
        return true;
    }
    let Some((name, address)) = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) else { return false };
    is_display_name(name.trim_matches([' ', '\t'])) && is_address(address)
}

fn is_address(text: &str) -> bool {
    let Some(at) = text.rfind('@') else { return false };
    let (local, domain) = (&text[..at], &text[at + 1..]);
    let quoted = local.len() > 2 && is_quoted(local);
    let literal = domain.strip_prefix('[').and_then(|domain| domain.strip_suffix(']'));
    (quoted || is_dot_atom(local)) && literal.map_or_else(|| is_dot_atom(domain), is_literal)
}

fn is_literal(literal: &str) -> bool {
    is_ip(literal, false) || literal.strip_prefix("IPv6:").is_some_and(|address| is_ip(address, false))
}

fn is_dot_atom(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom_char))
}

fn is_atom_char(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

fn is_quoted(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return false };
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next) if next == ' ' || next == '\t' || !next.is_control() => {}
                _ => return false,
            },
            '"' => return false,
            c if c == ' ' || c == '\t' || !c.is_control() => {}
            _ => return false,
        }
    }
    true
}

fn is_display_name(text: &str) -> bool {
    let word = |word: &str| word.chars().all(|c| is_atom_char(c) || c == '.');
    is_quoted(text) || text.split([' ', '\t']).all(word)
}
