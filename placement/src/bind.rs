//! Controller: template + policies + clusters → PlacementBinding.
//!
//! Level-triggered: reads the template and its binding afresh, decides purely, writes the binding's spec once.

mod author;
pub mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use federation_types::binding::TemplateRef;
use federation_types::{Gvk, PlacementBinding, label, text};
use hub_client::caller::At;
use hub_client::{ApiError, Collection, DeleteOptions, ReconcileError, WriteOptions};
use serde_json::{Value, json};

use crate::interpret;
use crate::namespaces;
use crate::render::{content_hash, overrides_for, short_hash};
use crate::schedule::{Decision, Inputs, Previous, Referrer, Template, decide};
use crate::world::{TemplateKey, TemplateSeen, World, ours};
use plan::{Action, Wanted};

/// Wait before an author without rights is asked about again.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Annotation of a binding: hash of the template's content and of the overrides that mean it.
pub(crate) const CONTENT: &str = "fedgate.dev/content";
/// Annotation of a binding: how the user wanted the template's dependents treated, recorded before it goes.
pub(crate) const CASCADE: &str = "fedgate.dev/cascade";

/// The name of the binding of one template: bound to its UID, so that a successor never inherits it.
#[must_use]
pub fn binding_name(gvk: &Gvk, namespace: &str, name: &str, uid: &str) -> String {
    short_hash(&[&gvk.group, &gvk.kind, namespace, name, uid])
}

/// Brings the binding of one template up to date.
pub(crate) async fn reconcile(world: Arc<World>, key: TemplateKey) -> Result<(), ReconcileError> {
    if namespaces::is_namespace(&key) {
        return Ok(());
    }
    // A kind that is not served now says nothing about its objects.
    let Some(kind) = world.kind_of(&key.gvr) else { return Ok(()) };
    let gvk = kind.gvk();
    let template = world.hub.get(&key.gvr, &key.namespace, &key.name).await.map_err(retry)?;
    let uid = template.as_ref().map(|t| text::uid(t).to_owned());
    for stale in world.bindings_of(&gvk, &key) {
        if uid.as_deref() == Some(stale.spec.template.uid.as_str()) {
            continue;
        }
        if template.is_none() {
            confirm_gone(&world, &key).await?;
        }
        let Some(fresh) = read(&world, &stale.metadata.name).await? else { continue };
        let known = |name: &str| world.clusters.get("", name).is_some();
        let action = plan::withdraw(&fresh.binding, known);
        commit(&world, &fresh.binding.metadata.name, Some(&fresh), action, None).await?;
    }
    match template {
        Some(template) => present(&world, &key, &gvk, &template).await,
        None => Ok(()),
    }
}

/// A single 404 may also mean that the kind is not served: only a list that comes back empty is proof.
async fn confirm_gone(world: &World, key: &TemplateKey) -> Result<(), ReconcileError> {
    let mut of = Collection::all(key.gvr.clone()).with_fields(format!("metadata.name={}", key.name));
    if !key.namespace.is_empty() {
        of = of.within(key.namespace.clone());
    }
    let listed = world.hub.list(&of).await.map_err(retry)?;
    if listed.items.iter().any(|o| text::name(o) == key.name) {
        return Err(ReconcileError::Retry("the template is there again".to_owned()));
    }
    Ok(())
}

/// A binding as it stands in the store.
pub(crate) struct Fresh {
    pub binding: PlacementBinding,
    object: Value,
}

/// Reads a binding afresh.
pub(crate) async fn read(world: &World, name: &str) -> Result<Option<Fresh>, ReconcileError> {
    let found = world.hub.get(&ours("placementbindings"), label::SYSTEM_NAMESPACE, name).await.map_err(retry)?;
    found
        .map(|object| {
            serde_json::from_value(object.clone())
                .map(|binding| Fresh { binding, object })
                .map_err(|e| ReconcileError::Reject(format!("binding {name} is not of its shape: {e}")))
        })
        .transpose()
}

async fn present(world: &World, key: &TemplateKey, gvk: &Gvk, template: &Value) -> Result<(), ReconcileError> {
    let name = binding_name(gvk, &key.namespace, &key.name, text::uid(template));
    let fresh = read(world, &name).await?;
    if text::at(template, &["metadata", "deletionTimestamp"]).is_some() {
        return record_cascade(world, template, fresh).await;
    }
    let facts = Template::of(template);
    let (decision, denied) = decided(world, key, template, fresh.as_ref().map(|f| &f.binding)).await?;
    let reference = TemplateRef {
        api_version: gvk.api_version(),
        kind: gvk.kind.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        uid: text::uid(template).to_owned(),
        generation: text::int_at(template, &["metadata", "generation"]).unwrap_or(0),
    };
    let content = content(world, (&facts, template), &reference);
    let standing = fresh.as_ref().map(|f| (&f.binding, f.binding.metadata.annotations.get(CONTENT).map_or("", |c| c)));
    let action = plan::plan(&Wanted { template: &reference, decision: &decision, content: &content }, standing);
    commit(world, &name, fresh.as_ref(), action, Some(&content)).await?;
    // Rights come without a sign.
    if denied { Err(ReconcileError::Wait(ASK_AGAIN, "an author may not act everywhere".to_owned())) } else { Ok(()) }
}

/// Runs the decision over what is known now; asks whether the authors may act where it leads, and says if not.
async fn decided(
    world: &World,
    key: &TemplateKey,
    template: &Value,
    standing: Option<&PlacementBinding>,
) -> Result<(Decision, bool), ReconcileError> {
    let facts = Template::of(template);
    let (clusters, policies) = (world.facts(), world.policies(&key.namespace));
    let annotations = world.namespaces.get("", &key.namespace).map(|n| n.annotations.clone()).unwrap_or_default();
    let (referrers, referrers_known) = referrers(world, &facts.gvk, key);
    let nobody = BTreeMap::new();
    let inputs = Inputs {
        template: &facts,
        policies: &policies,
        namespace_annotations: &annotations,
        clusters: &clusters,
        previous: standing.map(|b| Previous { spec: &b.spec, status: b.status.as_ref() }),
        referrers: &referrers,
        referrers_known,
        denied: &nobody,
        default: world.default,
    };
    let scope = interpret::scope(template);
    let first = decide(&inputs, scope);
    let denied = author::denied(world, &inputs, &first).await?;
    if denied.is_empty() {
        return Ok((first, false));
    }
    Ok((decide(&Inputs { denied: &denied, ..inputs }, scope), true))
}

/// Templates whose pods need this one, where they follow their pods; and whether these are all.
fn referrers(world: &World, gvk: &Gvk, key: &TemplateKey) -> (Vec<Referrer>, bool) {
    let mut found = Vec::new();
    let mut known = world.knows_pods();
    for needing in world.needed_by(gvk, key) {
        let (Some(kind), Some(seen)) = (world.kind_of(&needing.gvr), world.template(&needing)) else {
            known = false;
            continue;
        };
        let name = binding_name(&kind.gvk(), &needing.namespace, &needing.name, &seen.uid);
        let Some(binding) = world.bindings.get(label::SYSTEM_NAMESPACE, &name) else { continue };
        if world.policy_of(&binding).is_some_and(|p| p.spec.dependencies == "Ignore") {
            continue;
        }
        let clusters: Vec<String> =
            binding.spec.clusters.iter().filter(|r| !r.withdraw).map(|r| r.name.clone()).collect();
        if !clusters.is_empty() {
            found.push(Referrer { kind: kind.kind, name: needing.name, clusters });
        }
    }
    found.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
    (found, known)
}

/// A hash of everything that shapes the manifests beside the row itself.
fn content(world: &World, (facts, template): (&Template, &Value), reference: &TemplateRef) -> String {
    let all = world.overrides(&facts.namespace);
    // An override that cannot be read fails when rendered, with its name; here it only has to change the hash.
    let meant = match overrides_for(facts, &all) {
        Ok(meant) => serde_json::to_value(meant.iter().map(|o| (&o.metadata.name, &o.spec)).collect::<Vec<_>>()),
        Err(wrong) => Ok(Value::String(wrong.to_string())),
    };
    let overrides = meant.map_or_else(|e| e.to_string(), |v| content_hash(&v));
    let autoscaled = if world.is_autoscaled(&reference.kind, reference) { "autoscaled" } else { "" };
    short_hash(&[&TemplateSeen::of(template).content, &overrides, autoscaled])
}

/// Writes what a plan says of one binding.
pub(crate) async fn commit(
    world: &World,
    name: &str,
    fresh: Option<&Fresh>,
    action: Action,
    content: Option<&str>,
) -> Result<(), ReconcileError> {
    let bindings = ours("placementbindings");
    match action {
        Action::Keep => {}
        Action::Create(spec) => {
            let object = json!({
                "apiVersion": label::API_VERSION,
                "kind": "PlacementBinding",
                "metadata": {
                    "namespace": label::SYSTEM_NAMESPACE,
                    "name": name,
                    "annotations": {CONTENT: content.unwrap_or_default()},
                },
                "spec": encoded(&spec)?,
            });
            world.hub.create(&bindings, label::SYSTEM_NAMESPACE, &object).await.map_err(retry)?;
        }
        Action::Write(spec) => {
            let Some(fresh) = fresh else {
                return Err(ReconcileError::Retry(format!("binding {name} is gone")));
            };
            let mut object = fresh.object.clone();
            object["spec"] = encoded(&spec)?;
            if let Some(content) = content {
                object["metadata"]["annotations"][CONTENT] = content.into();
            }
            world.hub.replace(&bindings, &object, &WriteOptions::default()).await.map_err(retry)?;
        }
        Action::Delete => {
            let at = At::new(&bindings, label::SYSTEM_NAMESPACE, name);
            let version = fresh.map(|f| f.binding.metadata.resource_version.as_str()).unwrap_or_default();
            let how = DeleteOptions { resource_version: version, ..DeleteOptions::default() };
            world.hub.delete(at, &how).await.map_err(retry)?;
        }
    }
    Ok(())
}

fn encoded(spec: &impl serde::Serialize) -> Result<Value, ReconcileError> {
    serde_json::to_value(spec).map_err(|e| ReconcileError::Reject(e.to_string()))
}

/// Keeps how the user wanted dependents treated, while the template can still say it.
async fn record_cascade(world: &World, template: &Value, fresh: Option<Fresh>) -> Result<(), ReconcileError> {
    let Some(fresh) = fresh else { return Ok(()) };
    let finalizers: Vec<&str> =
        text::list_at(template, &["metadata", "finalizers"]).filter_map(Value::as_str).collect();
    let cascade = match () {
        () if finalizers.contains(&"orphan") => "Orphan",
        () if finalizers.contains(&"foregroundDeletion") => "Foreground",
        () => return Ok(()),
    };
    if fresh.binding.metadata.annotations.get(CASCADE).is_some_and(|c| c == cascade) {
        return Ok(());
    }
    let mut object = fresh.object;
    object["metadata"]["annotations"][CASCADE] = cascade.into();
    world.hub.replace(&ours("placementbindings"), &object, &WriteOptions::default()).await.map_err(retry)?;
    Ok(())
}

/// The hub is ours: whatever it answers now, it may answer otherwise later.
pub(crate) fn retry(error: ApiError) -> ReconcileError {
    ReconcileError::Retry(error.to_string())
}
