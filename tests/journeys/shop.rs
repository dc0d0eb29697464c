//! What several journeys look at: a Deployment in every member, its pods, its binding.

use serde_json::Value;
use testkit::wait::holds;
use testkit::{Federation, Kubectl, same};

pub const MEMBERS: [&str; 3] = ["east", "north", "west"];

/// Every member's own Deployment `name` wants that many replicas, all Ready and current.
pub async fn ready_in_each(federation: &Federation, name: &str, replicas: i64) -> Result<(), String> {
    for member in federation.members() {
        let copy = member.kubectl.get("deployments", name).await?;
        let status = &copy["status"];
        same(&format!("{} spec.replicas", member.name), copy["spec"]["replicas"].as_i64(), Some(replicas))?;
        for count in ["replicas", "readyReplicas", "updatedReplicas"] {
            same(&format!("{} status.{count}", member.name), status[count].as_i64(), Some(replicas))?;
        }
        same("observedGeneration", &status["observedGeneration"], &copy["metadata"]["generation"])?;
    }
    Ok(())
}

/// What `kubectl rollout status` waits for.
pub async fn rolled_out(hub: &Kubectl, name: &str, replicas: i64) -> Result<Value, String> {
    let template = hub.get("deployments", name).await?;
    let status = &template["status"];
    same("observedGeneration", &status["observedGeneration"], &template["metadata"]["generation"])?;
    for count in ["replicas", "readyReplicas", "updatedReplicas", "availableReplicas"] {
        same(&format!("status.{count}"), status[count].as_i64(), Some(replicas))?;
    }
    Ok(template)
}

/// The members that have the object, by name.
pub async fn members_with(federation: &Federation, resource: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for member in federation.members() {
        if member.inside.find(resource, name).await.is_some() {
            found.push(member.name.to_string());
        }
    }
    found
}

/// That the object is in these members and in no other.
pub async fn is_in(federation: &Federation, resource: &str, name: &str, wanted: &[&str]) -> Result<(), String> {
    let found = members_with(federation, resource, name).await;
    holds(found == wanted, || format!("{resource} {name} is in {found:?}, not in {wanted:?}"))
}

/// The binding of the template.
pub async fn binding(hub: &Kubectl, template: &str) -> Result<Value, String> {
    let all = hub.list("placementbindings", "").await?;
    let found = all.into_iter().find(|b| b["spec"]["template"]["name"] == template);
    found.ok_or_else(|| format!("no binding of {template}"))
}

/// What the binding says of one member.
pub async fn row(hub: &Kubectl, template: &str, member: &str) -> Result<Value, String> {
    let binding = binding(hub, template).await?;
    let rows = binding["status"]["clusters"].as_array().cloned().unwrap_or_default();
    let found = rows.into_iter().find(|row| row["name"] == member);
    found.ok_or_else(|| format!("the binding of {template} says nothing of {member}: {binding}"))
}

/// Name and UID of all objects of a resource in a member, whatever state it is in.
pub async fn uids(member: &testkit::Member, resource: &str) -> Vec<(String, String)> {
    let all = member.inside.list(resource, "").await.expect("the member's API answers inside");
    let text = |v: &Value| v.as_str().expect("every object has it").to_owned();
    let mut uids: Vec<_> = all.iter().map(|o| (text(&o["metadata"]["name"]), text(&o["metadata"]["uid"]))).collect();
    uids.sort();
    uids
}

/// The images of the Deployment's pods in every member that are not on their way out.
pub async fn images(federation: &Federation, name: &str) -> Result<Vec<String>, String> {
    let mut images = Vec::new();
    for member in federation.members() {
        for pod in member.kubectl.list("pods", &format!("app={name}")).await? {
            if pod["metadata"]["deletionTimestamp"].is_null() {
                images.push(pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
    Ok(images)
}
