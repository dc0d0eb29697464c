//! Tells in the status of a ValidatingAdmissionPolicy what is wrong with its expressions, for the kinds that it names.
//!
//! Admission does not wait for it. Source: kubernetes `pkg/controller/validatingadmissionpolicystatus`.

use federation_schema::{facts, policy};
use federation_types::Gvr;
use hub_client::{Collection, Hub, Queue, ReconcileError, Reflector, WriteOptions, drive};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const VERSION: &str = "admissionregistration.k8s.io/v1";
const MANAGER: &str = "validatingadmissionpolicy-status-controller";
/// Policies reconciled at once.
const WIDTH: usize = 2;

pub(super) async fn run(hub: Hub, stop: CancellationToken) {
    let gvr = Gvr::new(VERSION, "validatingadmissionpolicies");
    let queue: Queue<String> = Queue::new();
    let add = queue.clone();
    let reflector = Reflector::new(hub.clone(), Collection::all(gvr.clone()), |_| Some(()))
        .on_change(move |change| add.add(change.key.1.clone()));
    let reconcile = |name: String| {
        let (hub, gvr) = (&hub, &gvr);
        async move { tell(hub, gvr, &name).await }
    };
    tokio::join!(reflector.run(stop.clone()), drive("policies", queue.clone(), WIDTH, reconcile, stop));
}

async fn tell(hub: &Hub, gvr: &Gvr, name: &str) -> Result<(), ReconcileError> {
    let Some(stored) = hub.get(gvr, "", name).await? else { return Ok(()) };
    let Some(status) = plan(&stored) else { return Ok(()) };
    let object = json!({
        "apiVersion": VERSION, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "status": status,
    });
    let how = WriteOptions { subresource: "status", field_manager: MANAGER, force: true, dry_run: false };
    match hub.apply(gvr, &object, &how).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The status to write; none where it is about this generation already.
fn plan(stored: &Value) -> Option<Value> {
    let generation = stored["metadata"]["generation"].as_i64().unwrap_or(0);
    if stored["status"]["observedGeneration"].as_i64() == Some(generation) {
        return None;
    }
    let warnings = policy::warnings(facts::kubernetes(), stored);
    let checking = if warnings.is_empty() { json!({}) } else { json!({"expressionWarnings": warnings}) };
    Some(json!({"observedGeneration": generation, "typeChecking": checking}))
}

#[cfg(test)]
mod tests {
    use super::plan;
    use serde_json::json;

    /// Protocol: A4
    #[test]
    fn expressions_are_checked_against_what_they_match() {
        let rules = json!([{"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"],
                            "operations": ["CREATE"]}]);
        let policy = |expression: &str| {
            json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}, "spec": {
                "matchConstraints": {"resourceRules": rules},
                "validations": [{"expression": expression}]}})
        };
        let status = plan(&policy("object.spec.replicas > '1'")).expect("a newer generation");
        let warning = &status["typeChecking"]["expressionWarnings"][0];
        assert_eq!(warning["fieldRef"], "spec.validations[0].expression");
        let text = warning["warning"].as_str().expect("a text");
        assert!(text.starts_with("apps/v1, Kind=Deployment: compilation failed: ERROR: <input>:1:22: "), "{text}");
        assert!(text.contains("found no matching overload for '_>_' applied to '(int, string)'"), "{text}");
        let status = plan(&policy("object.spec.replicas > 1")).expect("a newer generation");
        assert_eq!(status, json!({"observedGeneration": 2, "typeChecking": {}}));
        let mut done = policy("true");
        done["status"]["observedGeneration"] = json!(2);
        assert_eq!(plan(&done), None);
    }
}
