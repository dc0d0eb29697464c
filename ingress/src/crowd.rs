//! How many connections one address holds, over all workers and listeners.
//!
//! Touched when a connection comes and goes, never by a request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::Network;

/// Bits of an IPv6 address that one customer gets (RFC 6177).
const SITE: u32 = 64;

/// Open connections by address.
#[derive(Debug)]
pub struct Crowd {
    /// Guards the counts; held for one map operation.
    open: Mutex<HashMap<IpAddr, usize>>,
    most: usize,
    exempt: Arc<[Network]>,
}

/// One connection of an address, until dropped.
#[derive(Debug)]
pub struct Member(Option<(Arc<Crowd>, IpAddr)>);

impl Crowd {
    /// At most `most` for an address, except for those that speak for many.
    #[must_use]
    pub fn new(most: Option<usize>, exempt: Arc<[Network]>) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), most: most.unwrap_or(usize::MAX), exempt })
    }

    /// Counts one more connection, unless there are enough of this address.
    #[must_use]
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Member> {
        let address = address.to_canonical();
        if self.most == usize::MAX || self.exempt.iter().any(|network| network.holds(address)) {
            return Some(Member(None));
        }
        let site = site(address);
        let mut open = self.open.lock();
        let count = open.entry(site).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Member(Some((self.clone(), site))))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let Some((crowd, address)) = &self.0 else { return };
        let mut open = crowd.open.lock();
        if let Some(count) = open.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                open.remove(address);
            }
        }
    }
}

fn site(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> SITE << SITE).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::Crowd;

    /// Ingress: 17
    #[test]
    fn an_address_holds_so_many_and_its_places_come_back() {
        let crowd = Crowd::new(Some(2), vec!["10.0.0.0/8".parse().expect("a range")].into());
        let enter = |address: &str| crowd.enter(address.parse().expect("an address"));
        let held = [enter("192.0.2.1").expect("one"), enter("::ffff:192.0.2.1").expect("two")];
        assert!(enter("192.0.2.1").is_none() && enter("192.0.2.2").is_some());
        let six = [enter("2001:db8::1").expect("one"), enter("2001:db8::2").expect("two")];
        assert!(enter("2001:db8::3").is_none() && enter("2001:db8:0:1::1").is_some());
        assert!((0..10).all(|_| enter("10.1.1.1").is_some()), "a proxy speaks for many");
        drop((held, six));
        assert!(enter("192.0.2.1").is_some() && crowd.open.lock().is_empty());
        let open = Crowd::new(None, Vec::new().into());
        assert!((0..10).all(|_| open.enter([192, 0, 2, 1].into()).is_some()) && open.open.lock().is_empty());
    }
}
