//! What the API asks of placement while it answers a request: pure answers over a projection of the bindings.
//!
//! Implements the extension trait of federation-types; the composition root injects it.

use std::collections::BTreeMap;
use std::sync::Arc;

use federation_types::binding::Phase;
use federation_types::extension::PlacementView;
use federation_types::{PlacementBinding, label, text};
use hub_client::{Collection, Hub, Reflection, Reflector};
use parking_lot::RwLock;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::bind::binding_name;
use crate::interpret::{self, Scope};
use crate::schedule::annotation::Annotated;
use crate::schedule::{DefaultPlacement, Policy, Template, selects_template};
use crate::world::{NamespaceSeen, all_of, policy};

/// Placement's knowledge for the API server; empty until [`View::follow`] has read the hub.
pub struct View {
    default: DefaultPlacement,
    /// Set once the reflections run. Guards the handles; held for cloning them.
    known: RwLock<Option<Arc<Known>>>,
}

struct Known {
    bindings: Reflection<String>,
    placements: Reflection<Policy>,
    wide: Reflection<Policy>,
    namespaces: Reflection<NamespaceSeen>,
}

impl View {
    /// A view that knows nothing yet.
    #[must_use]
    pub fn new(default: DefaultPlacement) -> Arc<Self> {
        Arc::new(Self { default, known: RwLock::new(None) })
    }

    /// Follows bindings and policies of `hub` until `stop`.
    pub async fn follow(self: Arc<Self>, hub: Hub, stop: CancellationToken) {
        let bindings = Reflector::new(hub.clone(), all_of("placementbindings"), |object| {
            serde_json::from_value::<PlacementBinding>(object).ok().map(|b| cell(&b))
        });
        let placements = Reflector::new(hub.clone(), all_of("placements"), policy);
        let wide = Reflector::new(hub.clone(), all_of("clusterplacements"), policy);
        let namespaces = Collection::all(federation_types::Gvr::new("v1", "namespaces"));
        let namespaces = Reflector::new(hub, namespaces, |object| Some(NamespaceSeen::of(&object)));
        *self.known.write() = Some(Arc::new(Known {
            bindings: bindings.reflection(),
            placements: placements.reflection(),
            wide: wide.reflection(),
            namespaces: namespaces.reflection(),
        }));
        tokio::join!(
            bindings.run(stop.clone()),
            placements.run(stop.clone()),
            wide.run(stop.clone()),
            namespaces.run(stop)
        );
    }

    fn known(&self) -> Option<Arc<Known>> {
        self.known.read().clone()
    }
}

/// `east:3 west:2`, `east west` for kinds without replicas; `!` marks a copy that is not applied.
fn cell(binding: &PlacementBinding) -> String {
    let applied: BTreeMap<&str, Phase> =
        binding.status.iter().flat_map(|s| &s.clusters).map(|r| (r.name.as_str(), r.phase)).collect();
    let shown: Vec<String> = binding
        .spec
        .clusters
        .iter()
        .filter(|row| !row.withdraw && row.replicas != Some(0))
        .map(|row| {
            let mark = match applied.get(row.name.as_str()) {
                Some(Phase::Failed | Phase::Conflict | Phase::Unreachable) => "!",
                _ => "",
            };
            row.replicas.map_or_else(|| format!("{}{mark}", row.name), |n| format!("{}:{n}{mark}", row.name))
        })
        .collect();
    shown.join(" ")
}

impl PlacementView for View {
    fn unplaced_warning(&self, template: &Value) -> Option<String> {
        let gvk = interpret::gvk(template);
        if !interpret::runs_pods(&gvk) || interpret::scope(template) != Scope::Ordinary {
            return None;
        }
        let facts = Template::of(template);
        let how = "annotate it (or its namespace) with fedgate.dev/clusters, for example \"*\" or \"east,west\", or write a Placement";
        match Annotated::read(&facts.annotations) {
            Err(wrong) => return Some(format!("nothing is placed: {wrong}")),
            Ok(near) if near.clusters.is_some() => return None,
            Ok(_) => {}
        }
        if self.default != DefaultPlacement::None {
            return None;
        }
        // Before the first list nothing is known, and a warning might be wrong.
        let known = self.known().filter(|k| k.placements.state().synced && k.wide.state().synced)?;
        let near = known.placements.within(&facts.namespace);
        let selected = near
            .iter()
            .chain(&known.wide.all())
            .any(|(_, policy)| matches!(selects_template(&policy.spec.select, &facts), Ok(Some(_))));
        let by_namespace =
            known.namespaces.get("", &facts.namespace).is_some_and(|n| n.annotations.contains_key(label::CLUSTERS));
        (!selected && !by_namespace)
            .then(|| format!("no policy places this {} on any member cluster, so it stays on the hub; {how}", gvk.kind))
    }

    fn clusters_cell(&self, template: &Value) -> Option<String> {
        if matches!(interpret::scope(template), Scope::Never(_)) {
            return None;
        }
        let name = binding_name(
            &interpret::gvk(template),
            text::namespace(template),
            text::name(template),
            text::uid(template),
        );
        let shown = self.known().and_then(|k| k.bindings.get(label::SYSTEM_NAMESPACE, &name));
        Some(shown.map(|cell| (*cell).clone()).unwrap_or_default())
    }

    fn is_template(&self, object: &Value) -> bool {
        !matches!(interpret::scope(object), Scope::Never(_))
    }
}

#[cfg(test)]
mod tests {
    use federation_types::PlacementBinding;
    use federation_types::extension::PlacementView;
    use serde_json::json;

    use super::{View, cell};
    use crate::schedule::DefaultPlacement;

    #[test]
    fn the_cell_names_clusters_and_replicas() {
        let binding: PlacementBinding = serde_json::from_value(json!({
            "spec": {"clusters": [
                {"name": "east", "replicas": 3}, {"name": "north", "replicas": 0}, {"name": "old", "replicas": 1, "withdraw": true},
                {"name": "west", "replicas": 2},
            ]},
            "status": {"clusters": [{"name": "west", "phase": "Unreachable"}, {"name": "east", "phase": "Applied"}]},
        }))
        .expect("a binding");
        assert_eq!(cell(&binding), "east:3 west:2!");
        let whole: PlacementBinding =
            serde_json::from_value(json!({"spec": {"clusters": [{"name": "east"}, {"name": "west"}]}}))
                .expect("a binding");
        assert_eq!(cell(&whole), "east west");
    }

    #[test]
    fn warnings_are_for_what_runs_pods_and_is_not_placed() {
        let view = View::new(DefaultPlacement::None);
        let deployment = |annotations: serde_json::Value| json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w", "namespace": "s", "annotations": annotations}});
        // Nothing read yet: only what is certainly wrong is said.
        assert_eq!(view.unplaced_warning(&deployment(json!({}))), None);
        let wrong = view.unplaced_warning(&deployment(json!({"fedgate.dev/clusters": "East"}))).expect("a warning");
        assert!(wrong.contains("fedgate.dev/clusters"), "{wrong}");
        assert_eq!(view.unplaced_warning(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})), None);
        assert!(!view.is_template(&json!({"apiVersion": "v1", "kind": "Event", "metadata": {}})));
    }
}
