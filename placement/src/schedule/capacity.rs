//! How many replicas fit into a cluster: free resources against what one pod asks for.
//!
//! An estimate over the sums of a cluster, not a second scheduler: the member's own has the last word.

use std::collections::BTreeMap;

use federation_schema::quantity::Quantity;
use federation_types::text;
use serde_json::Value;

/// What one pod asks for: thousandths of a core, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    pub cpu_milli: u64,
    pub memory: u64,
}

/// What a cluster has left: thousandths of a core, bytes, pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Free {
    pub cpu_milli: u64,
    pub memory: u64,
    pub pods: u64,
}

impl Request {
    /// Sum over the containers, or the largest init container where that is more.
    #[must_use]
    pub fn of_pod(spec: Option<&Value>) -> Self {
        let Some(spec) = spec else { return Self::default() };
        let of = |container: &Value, name: &str| {
            let text = text::str_at(container, &["resources", "requests", name]);
            // A limit without a request is the request, as the member defaults it.
            if text.is_empty() { text::str_at(container, &["resources", "limits", name]) } else { text }.to_owned()
        };
        let sum = |name: &str| -> u64 {
            let main: u64 = text::list_at(spec, &["containers"]).map(|c| milli(&of(c, name)).unwrap_or(0)).sum();
            let init = text::list_at(spec, &["initContainers"]).map(|c| milli(&of(c, name)).unwrap_or(0)).max();
            main.max(init.unwrap_or(0))
        };
        Self { cpu_milli: sum("cpu"), memory: sum("memory").div_ceil(1000) }
    }
}

impl Free {
    /// Capacity less requests, never below zero; `None` where no pod capacity is reported.
    #[must_use]
    pub fn between(capacity: &BTreeMap<String, String>, requested: &BTreeMap<String, String>) -> Option<Self> {
        let of = |from: &BTreeMap<String, String>, name: &str| from.get(name).and_then(|q| milli(q));
        let left = |name: &str| Some(of(capacity, name)?.saturating_sub(of(requested, name).unwrap_or(0)));
        Some(Self { cpu_milli: left("cpu")?, memory: left("memory")? / 1000, pods: left("pods")? / 1000 })
    }

    /// How many more pods of this size fit.
    #[must_use]
    pub fn fits(&self, request: Request) -> u64 {
        let by = |free: u64, each: u64| free.checked_div(each).unwrap_or(u64::MAX);
        self.pods.min(by(self.cpu_milli, request.cpu_milli)).min(by(self.memory, request.memory))
    }
}

/// Thousandths of a quantity; `None` where the text is none, or negative.
fn milli(text: &str) -> Option<u64> {
    Quantity::parse(text).ok().and_then(|q| q.millis()).and_then(|m| u64::try_from(m).ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{Free, Request};

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn requests_sum_and_init_containers_count_by_the_largest() {
        let spec = json!({
            "containers": [
                {"resources": {"requests": {"cpu": "250m", "memory": "64Mi"}}},
                {"resources": {"limits": {"cpu": "1"}}},
            ],
            "initContainers": [{"resources": {"requests": {"memory": "1Gi"}}}],
        });
        assert_eq!(Request::of_pod(Some(&spec)), Request { cpu_milli: 1250, memory: 1 << 30 });
        assert_eq!(Request::of_pod(None), Request::default());
    }

    #[test]
    fn the_scarcest_resource_decides() {
        let capacity = map(&[("cpu", "12"), ("memory", "24Gi"), ("pods", "330")]);
        let requested = map(&[("cpu", "4"), ("memory", "6Gi"), ("pods", "320")]);
        let free = Free::between(&capacity, &requested).unwrap();
        assert_eq!(free, Free { cpu_milli: 8000, memory: 18 << 30, pods: 10 });
        assert_eq!(free.fits(Request { cpu_milli: 1000, memory: 0 }), 8);
        assert_eq!(free.fits(Request { cpu_milli: 1, memory: 1 }), 10);
        assert_eq!(Free::between(&map(&[]), &requested), None);
        let over = Free::between(&requested, &capacity).unwrap();
        assert_eq!(over.fits(Request { cpu_milli: 1, memory: 1 }), 0);
    }
}
