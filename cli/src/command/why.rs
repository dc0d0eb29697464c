//! `fedgate why TYPE/NAME`: where a template runs, which policy won, and why each cluster was or was not chosen.
//!
//! Decides nothing: it shows what placement decides over what the asking user may read.

use std::path::Path;

use clap::Args;
use federation_types::{Gvr, PlacementBinding, text};
use hub_client::{At, Hub};
use placement::explain::Explanation;
use placement::schedule::DefaultPlacement;
use serde_json::{Value, json};

use super::cluster::Output;
use crate::failure::Failure;
use crate::kubeconfig;

/// Arguments of `why`.
#[derive(Debug, Args)]
pub struct Why {
    /// For example deploy/web or configmap/settings
    #[arg(value_name = "TYPE/NAME")]
    pub template: String,
    /// Namespace of the template
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// Prints the explanation.
///
/// # Errors
/// FG-CLI-001 for a type that the hub does not serve, FG-HUB where it does not answer or has no such object.
pub async fn why(why: &Why, hub_file: Option<&Path>) -> Result<(), Failure> {
    let hub = kubeconfig::hub(hub_file)?;
    let (kind, name) =
        why.template.split_once('/').filter(|(k, n)| !k.is_empty() && !n.is_empty()).ok_or_else(|| {
            Failure::new("FG-CLI-001", format!("{:?} is not TYPE/NAME", why.template))
                .fix("for example: fedgate why deploy/web")
        })?;
    let failed = |e| Failure::hub(&format!("cannot explain {}", why.template), &e);
    let (gvr, namespaced) = resolve(&hub, kind).await.map_err(failed)?.ok_or_else(|| {
        Failure::new("FG-CLI-001", format!("the hub serves no type {kind:?}")).fix("kubectl api-resources")
    })?;
    let namespace = if namespaced { why.namespace.as_str() } else { "" };
    let at = At::new(&gvr, namespace, name);
    let none = placement::explain::explain(&hub, at, DefaultPlacement::None).await.map_err(failed)?;
    let stood_by_default = |e: &Explanation| binding_kind(e.binding.as_ref()) == "Default";
    let found = match none {
        // The server's own default is not to be read from here, but what stands by it says so.
        Some(found) if stood_by_default(&found) => {
            placement::explain::explain(&hub, at, DefaultPlacement::All { divided: true }).await.map_err(failed)?
        }
        other => other,
    };
    let found = found.ok_or_else(|| Failure::new("FG-HUB-002", format!("there is no {} here", why.template)))?;
    match why.output {
        Output::Table => super::print(&table(&why.template, &found)),
        _ => super::cluster::print(&document(&found), why.output),
    }
}

fn binding_kind(binding: Option<&PlacementBinding>) -> &str {
    binding.and_then(|b| b.spec.placement.as_ref()).map_or("", |p| p.kind.as_str())
}

/// The resource that a user's word means: plural, singular, kind or short name, in the preferred versions.
async fn resolve(hub: &Hub, word: &str) -> Result<Option<(Gvr, bool)>, hub_client::ApiError> {
    let word = word.to_ascii_lowercase();
    let (word, wanted_group) = word.split_once('.').map_or((word.as_str(), None), |(w, g)| (w, Some(g)));
    let groups = hub.get_path("/apis").await?;
    let preferred = text::list_at(&groups, &["groups"]).map(|g| text::str_at(g, &["preferredVersion", "groupVersion"]));
    let mut lists = vec![("/api/v1".to_owned(), "v1".to_owned())];
    lists.extend(preferred.map(|version| (format!("/apis/{version}"), version.to_owned())));
    for (path, version) in lists {
        let served = hub.get_path(&path).await?;
        let found = text::list_at(&served, &["resources"]).find(|r| is_called(r, word));
        if let Some(found) = found {
            let gvr = Gvr::new(&version, text::str_at(found, &["name"]));
            if wanted_group.is_none_or(|group| group == gvr.group) {
                let namespaced = found.get("namespaced").and_then(Value::as_bool) == Some(true);
                return Ok(Some((gvr, namespaced)));
            }
        }
    }
    Ok(None)
}

fn is_called(resource: &Value, word: &str) -> bool {
    let name = text::str_at(resource, &["name"]);
    !name.contains('/')
        && (name == word
            || text::str_at(resource, &["singularName"]) == word
            || text::str_at(resource, &["kind"]).to_ascii_lowercase() == word
            || text::list_at(resource, &["shortNames"]).any(|short| short.as_str() == Some(word)))
}

fn table(template: &str, found: &Explanation) -> String {
    let decision = &found.decision;
    let policy = decision.winner.as_ref().map_or_else(|| "none".to_owned(), |w| format!("{}/{}", w.kind, w.name));
    let mut text = format!("{template}   policy: {policy}\n");
    let mut rows = vec![["CLUSTER", "VERDICT", "REPLICAS", "REASON"].map(str::to_owned)];
    for verdict in &decision.verdicts {
        let row = decision.rows.iter().find(|row| row.name == verdict.member);
        let replicas = row.and_then(|row| row.replicas).map_or_else(|| "-".to_owned(), |n| n.to_string());
        let word = match row {
            Some(row) if row.withdraw => "withdrawn",
            Some(row) if row.hold => "held",
            Some(_) if !verdict.chosen => "stays",
            _ if verdict.chosen => "chosen",
            _ => "refused",
        };
        rows.push([verdict.member.clone(), word.to_owned(), replicas, verdict.reason.clone()]);
    }
    text.push_str(&super::cluster::columns(&rows));
    if !decision.unschedulable.is_empty() {
        text.push_str(&format!("unschedulable: {}\n", decision.unschedulable));
    }
    for (policy, reason) in &decision.losers {
        text.push_str(&format!("not counted: {}/{}: {reason}\n", policy.kind, policy.name));
    }
    let status = found.binding.iter().filter_map(|b| b.status.as_ref()).flat_map(|s| &s.clusters);
    for row in status.filter(|row| !row.message.is_empty()) {
        text.push_str(&format!("{}: {:?}: {}\n", row.name, row.phase, row.message));
    }
    text
}

fn document(found: &Explanation) -> Value {
    let decision = &found.decision;
    let policy = |p: &federation_types::binding::PlacementRef| json!({"kind": p.kind, "name": p.name});
    let clusters: Vec<Value> = decision
        .verdicts
        .iter()
        .map(|verdict| {
            let row = decision.rows.iter().find(|row| row.name == verdict.member);
            json!({"name": verdict.member, "chosen": verdict.chosen, "reason": verdict.reason,
                "replicas": row.and_then(|r| r.replicas), "withdraw": row.is_some_and(|r| r.withdraw),
                "hold": row.is_some_and(|r| r.hold)})
        })
        .collect();
    let losers: Vec<Value> =
        decision.losers.iter().map(|(p, reason)| json!({"policy": policy(p), "reason": reason})).collect();
    json!({
        "winner": decision.winner.as_ref().map(policy), "losers": losers, "clusters": clusters,
        "unschedulable": decision.unschedulable, "binding": found.binding,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_called;

    #[test]
    fn a_type_has_many_names() {
        let deployments = json!({"name": "deployments", "singularName": "deployment", "kind": "Deployment",
            "shortNames": ["deploy"]});
        for name in ["deployments", "deployment", "deploy"] {
            assert!(is_called(&deployments, name), "{name}");
        }
        assert!(!is_called(&json!({"name": "deployments/scale", "kind": "Scale"}), "scale"));
    }
}
