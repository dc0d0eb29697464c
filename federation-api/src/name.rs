//! Generated names. Which names a kind takes is the schema's business.
//!
//! Source: k8s.io/apiserver `pkg/storage/names`.

use rand::RngExt;

/// Longest base of a generated name.
const MAX_BASE_BYTES: usize = 58;
const SUFFIX_CHARS: usize = 5;
/// No vowels, so that no words come out.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// `base` and five random characters.
#[must_use]
pub fn generate(base: &str) -> String {
    let mut end = base.len().min(MAX_BASE_BYTES);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut rng = rand::rng();
    let suffix = (0..SUFFIX_CHARS).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]));
    base[..end].chars().chain(suffix).collect()
}
