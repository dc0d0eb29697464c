//! Why a template is where it is: the decision anew, with its winner, its losers and a reason for every cluster.
//!
//! Reads only, with the rights of whoever asks; writes and caches nothing.

use std::collections::BTreeMap;

use federation_types::{Cluster, Gvr, Placement, PlacementBinding, label, text};
use hub_client::caller::At;
use hub_client::{ApiError, Hub};
use serde_json::Value;

use crate::bind::binding_name;
use crate::interpret;
use crate::schedule::{ClusterFacts, Decision, DefaultPlacement, Inputs, Policy, Previous, Template, decide};
use crate::world::all_of;

/// What stands and what would be decided now.
#[derive(Debug, Clone)]
pub struct Explanation {
    pub decision: Decision,
    /// The stored result; `None` where there is none, or whoever asks may not read it.
    pub binding: Option<PlacementBinding>,
}

/// Explains the template at `at`; `None` where it is not there.
///
/// # Errors
/// As the hub answers; policies that may not be read are an error, since they could decide.
pub async fn explain(hub: &Hub, at: At<'_>, default: DefaultPlacement) -> Result<Option<Explanation>, ApiError> {
    let Some(template) = hub.get(at.gvr, at.namespace, at.name).await? else { return Ok(None) };
    let facts = Template::of(&template);
    let clusters: Vec<ClusterFacts> =
        typed::<Cluster>(hub.list(&all_of("clusters")).await?.items).map(|member| ClusterFacts::of(&member)).collect();
    let mut policies: Vec<Policy> =
        typed::<Placement>(hub.list(&all_of("clusterplacements")).await?.items).map(|p| Policy::of(&p)).collect();
    let mut annotations = BTreeMap::new();
    if !at.namespace.is_empty() {
        let near = hub.list(&all_of("placements").within(at.namespace)).await?.items;
        policies.extend(typed::<Placement>(near).map(|p| Policy::of(&p)));
        if let Some(namespace) = hub.get(&Gvr::new("v1", "namespaces"), "", at.namespace).await? {
            annotations = Template::of(&namespace).annotations;
        }
    }
    let name = binding_name(&facts.gvk, at.namespace, at.name, text::uid(&template));
    let bindings = crate::world::ours("placementbindings");
    let binding = match hub.get(&bindings, label::SYSTEM_NAMESPACE, &name).await {
        Ok(found) => found.and_then(|object| serde_json::from_value::<PlacementBinding>(object).ok()),
        Err(e) if e.code() == 403 => None,
        Err(e) => return Err(e),
    };
    let inputs = Inputs {
        template: &facts,
        policies: &policies,
        namespace_annotations: &annotations,
        clusters: &clusters,
        previous: binding.as_ref().map(|b| Previous { spec: &b.spec, status: b.status.as_ref() }),
        referrers: &[],
        // Who needs it is not read here: what follows its pods is explained by what stands.
        referrers_known: false,
        denied: &BTreeMap::new(),
        default,
    };
    let decision = decide(&inputs, interpret::scope(&template));
    Ok(Some(Explanation { decision, binding }))
}

/// Objects of one of our kinds; one of another shape is left out, as the controllers do.
fn typed<T: serde::de::DeserializeOwned>(items: Vec<Value>) -> impl Iterator<Item = T> {
    items.into_iter().filter_map(|object| serde_json::from_value(object).ok())
}
