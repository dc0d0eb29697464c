//! Ranges of numbers that never overflow.

/// From at least to at most; the largest number stands for anything beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CostRange {
    pub min: u64,
    pub max: u64,
}

impl CostRange {
    pub(crate) const UNKNOWN: CostRange = CostRange { min: 0, max: u64::MAX };

    pub(crate) const fn fixed(value: u64) -> CostRange {
        CostRange { min: value, max: value }
    }

    #[must_use]
    pub(crate) fn add(self, other: CostRange) -> CostRange {
        CostRange { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    #[must_use]
    pub(crate) fn multiply(self, other: CostRange) -> CostRange {
        CostRange { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// Rounded up.
    #[must_use]
    pub(crate) fn scale(self, factor: f64) -> CostRange {
        // Casts from floating point saturate.
        let scaled = |value: u64| (value as f64 * factor).ceil() as u64;
        CostRange { min: scaled(self.min), max: scaled(self.max) }
    }

    #[must_use]
    pub(crate) fn union(self, other: CostRange) -> CostRange {
        CostRange { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}
