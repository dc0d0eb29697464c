//! Values for `X-Request-ID`: unique, not secret.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::HeaderValue;

/// A worker's source of ids: 64 random bits of this process, then 64 bits of a scrambled count.
pub struct RequestIds {
    high: u64,
    seed: u64,
    count: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        // RandomState is seeded by the operating system.
        let random = RandomState::new();
        Self { high: random.hash_one(0), seed: random.hash_one(1), count: AtomicU64::new(0) }
    }
}

impl RequestIds {
    /// A number that nobody else gets, for a session.
    pub fn number(&self) -> u64 {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        self.high ^ self.seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The next id.
    pub fn next(&self) -> HeaderValue {
        let digits = self.digits();
        HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&digits)).expect("hexadecimal digits are a header value")
    }

    /// The next id, 32 hexadecimal digits.
    pub fn digits(&self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut low = self.seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        low = (low ^ (low >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        low ^= low >> 31;
        let id = (u128::from(self.high) << 64) | u128::from(low);
        std::array::from_fn(|at| DIGITS[((id >> (124 - 4 * at)) & 0xf) as usize])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::RequestIds;

    #[test]
    fn ids_are_32_digits_and_differ() {
        let ids = RequestIds::default();
        let many: HashSet<_> = (0..1000).map(|_| ids.next().to_str().expect("text").to_owned()).collect();
        assert_eq!(many.len(), 1000);
        assert!(many.iter().all(|id| id.len() == 32));
    }
}
