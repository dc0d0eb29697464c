//! A range of addresses, to tell those that the hub gave out from those that a user wrote.

use std::net::IpAddr;

/// One CIDR of either family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpRange {
    base: IpAddr,
    bits: u8,
}

impl IpRange {
    /// Reads `10.0.0.0/16` or `fd00::/64`.
    ///
    /// # Errors
    /// A sentence that quotes the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no range of addresses such as 10.0.0.0/16");
        let (base, bits) = text.split_once('/').ok_or_else(wrong)?;
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let bits: u8 = bits.parse().map_err(|_| wrong())?;
        if bits > if base.is_ipv4() { 32 } else { 128 } { Err(wrong()) } else { Ok(Self { base, bits }) }
    }

    /// Whether `text` is an address of this range.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        match (self.base, text.parse::<IpAddr>()) {
            (IpAddr::V4(base), Ok(IpAddr::V4(ip))) => {
                same(u32::from(base).into(), u32::from(ip).into(), 32 - self.bits)
            }
            (IpAddr::V6(base), Ok(IpAddr::V6(ip))) => same(base.into(), ip.into(), 128 - self.bits),
            _ => false,
        }
    }
}

fn same(a: u128, b: u128, ignored: u8) -> bool {
    a.checked_shr(ignored.into()).unwrap_or(0) == b.checked_shr(ignored.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::IpRange;

    #[test]
    fn ranges_contain_their_addresses() {
        let v4 = IpRange::parse("10.9.0.0/16").unwrap();
        assert!(v4.contains("10.9.255.1") && !v4.contains("10.10.0.1") && !v4.contains("x") && !v4.contains("fd00::1"));
        let v6 = IpRange::parse("fd00::/64").unwrap();
        assert!(v6.contains("fd00::1") && !v6.contains("fd01::1"));
        assert!(IpRange::parse("0.0.0.0/0").unwrap().contains("192.0.2.1"));
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "x/8", "fd00::/129"] {
            assert!(IpRange::parse(bad).is_err(), "{bad}");
        }
    }
}
