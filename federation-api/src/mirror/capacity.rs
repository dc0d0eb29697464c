//! What a member has and what its pods ask for, summed from the objects that pass the feeds.
//!
//! Keeps three numbers an object, never the object.

use std::collections::{BTreeMap, HashMap};

use federation_schema::quantity::{Quantity, QuantityFormat};
use federation_types::cluster::NodeCount;
use federation_types::text;
use parking_lot::Mutex;
use serde_json::Value;

use super::rename::Kind;

/// The sums of one member.
#[derive(Default)]
pub struct Tally {
    /// Guards the numbers below; held for one map operation or one sum.
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    nodes: HashMap<String, Node>,
    pods: HashMap<String, Amount>,
}

struct Node {
    ready: bool,
    allocatable: Amount,
}

/// Milli-CPUs, bytes and pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    cpu_millis: i64,
    memory: i64,
    pods: i64,
}

/// The sums as a Cluster's status has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    pub nodes: NodeCount,
    pub capacity: BTreeMap<String, String>,
    pub requested: BTreeMap<String, String>,
}

impl Tally {
    /// Takes an object into account, or another state of it.
    pub fn put(&self, kind: Kind, object: &Value) {
        let mut books = self.books.lock();
        match kind {
            Kind::Node => {
                books.nodes.insert(key(object), node(object));
            }
            Kind::Pod if is_ended(object) => {
                books.pods.remove(&key(object));
            }
            Kind::Pod => {
                books.pods.insert(key(object), requests(object));
            }
            Kind::EndpointSlice => {}
        }
    }

    /// The object is gone.
    pub fn remove(&self, kind: Kind, object: &Value) {
        let mut books = self.books.lock();
        match kind {
            Kind::Node => drop(books.nodes.remove(&key(object))),
            Kind::Pod => drop(books.pods.remove(&key(object))),
            Kind::EndpointSlice => {}
        }
    }

    /// Forgets all of a kind, before a complete list is taken in.
    pub fn clear(&self, kind: Kind) {
        let mut books = self.books.lock();
        match kind {
            Kind::Node => books.nodes.clear(),
            Kind::Pod => books.pods.clear(),
            Kind::EndpointSlice => {}
        }
    }

    /// The sums at this moment.
    pub fn sums(&self) -> Sums {
        let books = self.books.lock();
        let ready: Vec<&Node> = books.nodes.values().filter(|node| node.ready).collect();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Sums {
            nodes: NodeCount { total: count(books.nodes.len()), ready: count(ready.len()) },
            capacity: quantities(ready.iter().map(|node| node.allocatable)),
            requested: quantities(books.pods.values().copied()),
        }
    }
}

fn quantities(amounts: impl Iterator<Item = Amount>) -> BTreeMap<String, String> {
    let sum = amounts.fold(Amount::default(), Amount::plus);
    BTreeMap::from([
        ("cpu".to_owned(), Quantity::from_millis(sum.cpu_millis, QuantityFormat::DecimalSi).to_string()),
        ("memory".to_owned(), Quantity::from_units(sum.memory, QuantityFormat::BinarySi).to_string()),
        ("pods".to_owned(), sum.pods.to_string()),
    ])
}

impl Amount {
    fn plus(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory: self.memory.saturating_add(other.memory),
            pods: self.pods.saturating_add(other.pods),
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.max(other.cpu_millis),
            memory: self.memory.max(other.memory),
            pods: self.pods.max(other.pods),
        }
    }

    fn read(resources: Option<&Value>) -> Self {
        let quantity = |name: &str| Quantity::from_value(resources?.get(name)?).ok();
        Self {
            cpu_millis: quantity("cpu").and_then(|q| q.millis()).unwrap_or(0),
            memory: quantity("memory").and_then(|q| q.units()).unwrap_or(0),
            pods: quantity("pods").and_then(|q| q.units()).unwrap_or(0),
        }
    }
}

fn key(object: &Value) -> String {
    format!("{}/{}", text::namespace(object), text::name(object))
}

fn is_ended(pod: &Value) -> bool {
    matches!(text::str_at(pod, &["status", "phase"]), "Succeeded" | "Failed")
}

fn node(object: &Value) -> Node {
    let ready = text::list_at(object, &["status", "conditions"])
        .any(|c| text::str_at(c, &["type"]) == "Ready" && text::str_at(c, &["status"]) == "True");
    Node { ready, allocatable: Amount::read(text::at(object, &["status", "allocatable"])) }
}

/// Containers run together, init containers before them: the larger of the two counts.
fn requests(pod: &Value) -> Amount {
    let of = |list: &str| {
        text::list_at(pod, &["spec", list]).map(|c| Amount::read(text::at(c, &["resources", "requests"]))).collect()
    };
    let (containers, init): (Vec<Amount>, Vec<Amount>) = (of("containers"), of("initContainers"));
    let together = containers.into_iter().fold(Amount::default(), Amount::plus);
    let before = init.into_iter().fold(Amount::default(), Amount::max);
    Amount { pods: 1, ..together.max(before) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::rename::Kind;
    use super::Tally;

    #[test]
    fn ready_nodes_and_running_pods_are_summed() {
        let tally = Tally::default();
        for (name, ready) in [("a", "True"), ("b", "False")] {
            tally.put(
                Kind::Node,
                &json!({"metadata": {"name": name}, "status": {
                "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": ready}]}}),
            );
        }
        let pod = |name: &str, phase: &str| {
            json!({"metadata": {"name": name}, "status": {"phase": phase}, "spec": {
                "initContainers": [{"resources": {"requests": {"cpu": "1"}}}],
                "containers": [{"resources": {"requests": {"cpu": "250m", "memory": "1Gi"}}}, {}]}})
        };
        tally.put(Kind::Pod, &pod("x", "Running"));
        tally.put(Kind::Pod, &pod("y", "Succeeded"));
        let sums = tally.sums();
        assert_eq!((sums.nodes.total, sums.nodes.ready), (2, 1));
        assert_eq!(sums.capacity["memory"], "8Gi");
        assert_eq!(sums.requested["cpu"], "1");
        assert_eq!(sums.requested["pods"], "1");
        tally.remove(Kind::Pod, &pod("x", "Running"));
        assert_eq!(tally.sums().requested["pods"], "0");
    }
}
