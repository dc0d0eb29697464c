//! Parts of a pod that have an endpoint of their own: its ephemeral containers, and the resources of its containers.
//!
//! Served for pods that only the hub knows; what a member runs is changed there, and refused here by name.
//! Source: k8s.io/kubernetes `pkg/registry/core/pod/strategy.go`.

use federation_schema::decode::Expected;
use serde_json::Value;

use crate::answer::Answer;
use crate::call::Call;
use crate::decode;
use crate::error::{ApiError, Cause};
use crate::kind;
use crate::mirror::stream;
use crate::object;
use crate::request::options::WriteOptions;
use crate::verb::patch::Patch;
use crate::verb::write::{self, Intent, Part};

/// Answers PUT and PATCH to `pods/NAME/ephemeralcontainers` and `pods/NAME/resize`.
///
/// # Errors
/// 404; 405 where a member runs the pod; 422 where the part is changed in a way that it cannot be.
pub(crate) async fn write(call: &mut Call) -> Result<Answer, ApiError> {
    if let Some(cluster) = stream::runs_in(call) {
        return Err(ApiError::NotSupported(format!(
            "pods/{} is not supported for a pod that the member cluster {:?} runs; change it there",
            call.info.subresource,
            cluster.as_str()
        )));
    }
    let patches = call.info.verb == "patch";
    let options = WriteOptions::read(&call.query, if patches { "PatchOptions" } else { "UpdateOptions" })?;
    let body = call.read_body().await?;
    let kind = call.kind.clone();
    let patch = if patches { Some(Patch::read(call, &body, options.validation)?) } else { None };
    let sent = match &patch {
        Some(_) => None,
        None => {
            let sent = decode::object(call, &body, Expected::object(&kind), options.validation)?;
            decode::check_name(call, &sent)?;
            Some(sent)
        }
    };
    let intent = Intent { options: &options, part: Part::Main, creates: false, applies: false };
    let written = write::update(call, intent, |call, old| {
        let old = old.ok_or_else(|| ApiError::NotFound(call.subject()))?;
        let wanted = match (&patch, &sent) {
            (Some(patch), _) => patch.patched(call, old)?,
            (None, Some(sent)) => sent.clone(),
            (None, None) => old.clone(),
        };
        let mut new = match &*call.info.subresource {
            "resize" => resized(old, &wanted),
            _ => debugged(call, old, &wanted)?,
        };
        object::copy_meta(&mut new, &wanted, "resourceVersion");
        Ok(new)
    })
    .await?;
    Ok(written.into_answer(call))
}

/// The pod with the ephemeral containers that are wanted: there may be more, and those that are there stay.
fn debugged(call: &Call, old: &Value, wanted: &Value) -> Result<Value, ApiError> {
    let list = |pod: &Value| -> Vec<Value> {
        let list = pod.pointer("/spec/ephemeralContainers").and_then(Value::as_array);
        list.cloned().unwrap_or_else(Vec::new)
    };
    let (had, wants) = (list(old), list(wanted));
    for container in &had {
        let same = wants.iter().find(|other| other["name"] == container["name"]);
        let name = container["name"].as_str().unwrap_or("");
        let complaint = match same {
            None => format!("existing ephemeral containers {name:?} may not be removed\n"),
            Some(other) if without_nulls(other) != without_nulls(container) => {
                format!("existing ephemeral containers {name:?} may not be changed\n")
            }
            Some(_) => continue,
        };
        let cause = Cause::forbidden("spec.ephemeralContainers", &complaint);
        return Err(ApiError::invalid(kind::kind_subject(&call.kind, object::name(old)), cause));
    }
    let mut new = old.clone();
    if let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut)
        && !wants.is_empty()
    {
        spec.insert("ephemeralContainers".to_owned(), wants.into());
    }
    Ok(new)
}

/// Empty resources are printed in one place and not in another.
fn without_nulls(container: &Value) -> Value {
    let mut container = container.clone();
    if let Some(map) = container.as_object_mut() {
        map.retain(|_, value| !value.is_null() && value.as_object().is_none_or(|value| !value.is_empty()));
    }
    container
}

/// The pod with the resources that are wanted, container by container.
fn resized(old: &Value, wanted: &Value) -> Value {
    let mut new = old.clone();
    for list in ["containers", "initContainers"] {
        let wanted = wanted.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
        let Some(containers) = new.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut) else {
            continue;
        };
        for container in containers.iter_mut() {
            let same = wanted.into_iter().flatten().find(|other| other["name"] == container["name"]);
            for field in ["resources", "resizePolicy"] {
                if let Some(value) = same.and_then(|same| same.get(field)) {
                    container[field] = value.clone();
                }
            }
        }
    }
    new
}
