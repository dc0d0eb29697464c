//! Whose object a name is: at the hub `NAME.CLUSTER` belongs to that member, unless the hub stores it.
//!
//! The one place that knows which writes a member's object takes here. Asks nobody: the answer is in the cache.

use federation_types::{ClusterName, Gvr};

use super::rename::Kind;
use super::{MIRRORED, Mirrored};
use crate::cache::Clock;
use crate::call::Call;
use crate::error::{ApiError, Cause};
use crate::kind;

/// A member's object, as a request at the hub names it.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) cluster: ClusterName,
    /// Empty for cluster-scoped kinds.
    pub(crate) namespace: String,
    /// Its name in the member.
    pub(crate) name: String,
    /// Its name at the hub.
    pub(crate) shown: String,
    kind: Kind,
    gvr: Gvr,
}

impl Owned {
    /// The member's object of that key; none where the hub stores the key, or its tail names no member.
    pub(crate) fn of(call: &Call, key: &str) -> Option<Self> {
        let mirrored = mirrored(call)?;
        let (namespace, shown) = key.split_once('/').unwrap_or(("", key));
        let (name, cluster) = ClusterName::split_suffix(shown)?;
        let found = call.cache.get(key);
        if found.as_ref().is_some_and(|entry| entry.stored() != 0) {
            return None;
        }
        let clusters = call.server.cache.resource("fedgate.dev/clusters");
        let known = found.is_some() || clusters.get(cluster.as_str()).is_some();
        (known && fits_path(namespace, name)).then(|| Self::new(mirrored, cluster, (namespace, name, shown)))
    }

    /// The object that a member makes of a template: the same names as here.
    pub(crate) fn of_template(call: &Call, cluster: ClusterName) -> Option<Self> {
        let (namespace, name) = (call.namespace(), call.info.name.as_str());
        let mirrored = mirrored(call)?;
        fits_path(namespace, name).then(|| Self::new(mirrored, cluster, (namespace, name, name)))
    }

    fn new(mirrored: &Mirrored, cluster: ClusterName, (namespace, name, shown): (&str, &str, &str)) -> Self {
        let gvr = Gvr {
            group: mirrored.group.to_owned(),
            version: mirrored.version.to_owned(),
            resource: mirrored.resource.to_owned(),
        };
        let [namespace, name, shown] = [namespace, name, shown].map(str::to_owned);
        Self { cluster, namespace, name, shown, kind: mirrored.kind, gvr }
    }

    /// Its path in the member.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.gvr.path(Some(&self.namespace)), self.name)
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether a deletion is handed on to the member: of what its controllers make anew.
    pub(crate) fn takes_delete(&self) -> bool {
        self.kind == Kind::Pod
    }

    /// The refusal of a write that only the member itself can make.
    pub(crate) fn refuse(&self, verb: &str) -> ApiError {
        let cluster = &self.cluster;
        let instead = match self.kind {
            Kind::Pod => "change the template that it was made from, or delete it".to_owned(),
            Kind::Node => format!(
                "change the node {:?} in that cluster, or the taints of clusters.fedgate.dev {:?}",
                self.name,
                cluster.as_str()
            ),
            Kind::EndpointSlice => "change the Service that it belongs to".to_owned(),
        };
        ApiError::NotSupported(format!(
            "{verb} is not supported: {} {:?} belongs to the member cluster {:?}; {instead} instead",
            self.gvr.resource,
            self.shown,
            cluster.as_str()
        ))
    }
}

/// Refuses updates and patches of a member's object, whatever part of it they are about.
///
/// # Errors
/// 405 naming the member.
pub(crate) fn check_write(call: &Call) -> Result<(), ApiError> {
    let verb = call.info.verb.as_str();
    if !matches!(verb, "update" | "patch") || !call.info.named_by_path {
        return Ok(());
    }
    let key = call.key();
    match Owned::of(call, &key).filter(|_| call.cache.get(&key).is_some()) {
        Some(owned) => Err(owned.refuse(verb)),
        None => Ok(()),
    }
}

/// Refuses to create what a member's object is called, or may be called one day.
///
/// # Errors
/// 405 where the member's object is there, 422 where only its cluster is.
pub(crate) fn check_new(call: &Call, name: &str) -> Result<(), ApiError> {
    let key = kind::object_key(&call.kind, call.namespace(), name);
    let Some(owned) = Owned::of(call, &key) else { return Ok(()) };
    if call.cache.get(&key).is_some() {
        return Err(owned.refuse("create"));
    }
    let cluster = owned.cluster.as_str();
    let detail =
        format!("ends in {:?}, as only names of objects in the member cluster {cluster:?} may", format!(".{cluster}"));
    let cause = Cause::invalid("metadata.name", name, &detail);
    Err(ApiError::invalid(kind::kind_subject(&call.kind, name), cause))
}

fn mirrored(call: &Call) -> Option<&'static Mirrored> {
    let own = matches!(call.cache.clock(), Clock::Own { .. });
    let same = |mirrored: &&Mirrored| *mirrored.group == call.kind.group && *mirrored.resource == call.kind.plural;
    MIRRORED.iter().find(same).filter(|_| own)
}

/// Whether the names can be put into a path as they are: all that Kubernetes allows for these kinds can.
fn fits_path(namespace: &str, name: &str) -> bool {
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b));
    let dots = |text: &str| text == "." || text == "..";
    plain(namespace) && plain(name) && !name.is_empty() && !dots(name) && !dots(namespace)
}
