//! Continue tokens: nothing opens that was not sealed for the same user and list.

use std::sync::LazyLock;

use federation_api::request::options::ListOptions;
use federation_api::request::page::{Seal, Token};
use federation_api::request::query::Query;

static SEAL: LazyLock<Seal> = LazyLock::new(|| Seal::of(b"a key that no input knows"));
const ABOUT: &str = "alice\n\nconfigmaps\ndefault";

/// The first byte says what the rest is: a query whose token came from outside, or a place in a list.
pub fn tokens(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    match first % 2 {
        0 => foreign(text),
        _ => own(*first, text),
    }
}

/// A forger without the key gets nowhere, whatever the query looks like.
fn foreign(raw: &str) {
    assert!(SEAL.decode(raw, ABOUT).is_err(), "nobody has sealed this");
    let Ok(query) = Query::parse(raw) else { return };
    let Ok(options) = ListOptions::for_list(&query) else { return };
    if !options.continue_token.is_empty() {
        assert!(SEAL.decode(&options.continue_token, ABOUT).is_err(), "nobody has sealed this");
    }
    // A refusal is an answer.
    drop(options.freshness());
}

/// What was sealed opens as what it was, for the same list alone; a changed text means the same or nothing.
fn own(first: u8, text: &str) {
    let (place, start) = text.split_once(' ').unwrap_or(("1", text));
    let token = Token { rev: place.parse().unwrap_or(-1), start: start.to_owned() };
    let sealed = SEAL.encode(&token, ABOUT);
    assert!(SEAL.decode(&sealed, "bob\n\nconfigmaps\ndefault").is_err(), "it is another's");
    if let Ok(opened) = SEAL.decode(&sealed, ABOUT) {
        assert_eq!(opened, token, "it opens as what it was");
        assert!(start.split('/').all(|part| !matches!(part, "" | "." | "..")), "no place climbs");
    }
    let mut bent = sealed.into_bytes();
    let at = usize::from(first) * 7 % bent.len();
    bent[at] ^= 1 << (first % 7);
    if let Ok(bent) = String::from_utf8(bent)
        && let Ok(opened) = SEAL.decode(&bent, ABOUT)
    {
        assert_eq!(opened, token, "a bent token means no other place");
    }
}
