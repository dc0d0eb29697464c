//! Addresses of Services: handed out from a range, because clients expect them; they never travel to a member.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::Review;
use crate::cache::Scope;
use crate::call::Call;
use crate::error::ApiError;
use crate::object;

/// How long an address is kept for a Service whose creation has not shown yet.
const RESERVED_FOR: Duration = Duration::from_secs(60);
/// Ranges of more addresses than this are not searched further.
const MAX_ADDRESSES: u32 = 1 << 20;

/// The range that Services get their clusterIP from.
#[derive(Debug, Clone)]
pub struct ServiceRange {
    first: u32,
    count: u32,
    /// As it was named: `network/prefix`.
    cidr: String,
    /// Guards addresses that were handed out and have not shown in the cache yet; held for one search.
    reserved: Arc<Mutex<HashMap<u32, Instant>>>,
}

impl ServiceRange {
    /// The addresses of `network/prefix`, without the first and the last.
    ///
    /// None where the range has no address to hand out.
    #[must_use]
    pub fn new(network: Ipv4Addr, prefix: u8) -> Option<Self> {
        let size = 1_u32.checked_shl(32_u32.checked_sub(u32::from(prefix))?)?;
        let base = u32::from(network) & !(size - 1);
        let count = size.checked_sub(2).filter(|count| *count > 0)?.min(MAX_ADDRESSES);
        let cidr = format!("{}/{prefix}", Ipv4Addr::from(base));
        Some(Self { first: base + 1, count, cidr, reserved: Arc::default() })
    }

    /// The range as `network/prefix`, what the default ServiceCIDR says.
    #[must_use]
    pub fn cidr(&self) -> &str {
        &self.cidr
    }

    /// Whether an address is of this range.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address).checked_sub(self.first).is_some_and(|at| at < self.count)
    }

    /// An address that nobody has, near a place that depends on `seed`.
    fn pick(&self, taken: &HashSet<u32>, seed: u64) -> Option<Ipv4Addr> {
        let now = Instant::now();
        let mut reserved = self.reserved.lock();
        reserved.retain(|_, until| *until > now);
        let start = u32::try_from(seed % u64::from(self.count)).expect("below a u32");
        let address = (0..self.count)
            .map(|step| self.first + (start + step) % self.count)
            .find(|address| !taken.contains(address) && !reserved.contains_key(address))?;
        reserved.insert(address, now + RESERVED_FOR);
        Some(Ipv4Addr::from(address))
    }
}

/// Gives a Service its address.
///
/// # Errors
/// 500 where the range is used up.
pub(crate) fn admit(call: &Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    let Some(range) = call.server.service_range.clone() else { return Ok(()) };
    if !call.kind.group.is_empty() || call.kind.plural != "services" {
        return Ok(());
    }
    service(call, &range, new, review)
}

fn service(call: &Call, range: &ServiceRange, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    let sent = text(new, "/spec/clusterIP");
    let before = review.old.map(|old| text(old, "/spec/clusterIP")).unwrap_or_default();
    if text(new, "/spec/type") == "ExternalName" || sent == "None" {
        if sent == "None" {
            set_addresses(new, "None");
        }
        return Ok(());
    }
    let address = match (sent.as_str(), before.as_str()) {
        ("", "" | "None") => {
            let seed = uuid::Uuid::parse_str(object::uid(new)).map_or(0, |uid| uid.as_u64_pair().0);
            let address = range
                .pick(&taken(call), seed)
                .ok_or_else(|| ApiError::Internal("failed to allocate a serviceIP: range is full".to_owned()))?;
            address.to_string()
        }
        ("", before) => before.to_owned(),
        (sent, _) => sent.to_owned(),
    };
    set_addresses(new, &address);
    Ok(())
}

fn set_addresses(service: &mut Value, address: &str) {
    let Some(map) = service.as_object_mut() else { return };
    let spec = map.entry("spec").or_insert_with(|| json!({}));
    if let Some(spec) = spec.as_object_mut() {
        spec.insert("clusterIP".to_owned(), address.into());
        spec.insert("clusterIPs".to_owned(), json!([address]));
        spec.entry("ipFamilies").or_insert_with(|| json!(["IPv4"]));
        spec.entry("ipFamilyPolicy").or_insert_with(|| json!("SingleStack"));
    }
}

fn taken(call: &Call) -> HashSet<u32> {
    let services = call.server.cache.resource("core/services");
    let snapshot = services.snapshot();
    let address = |text: String| match text.parse() {
        Ok(IpAddr::V4(address)) => Some(u32::from(address)),
        _ => None,
    };
    snapshot.range(&Scope::All, "").filter_map(|entry| entry.text(&["spec", "clusterIP"]).and_then(address)).collect()
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned()
}
