//! Subresources: status, scale, a namespace's finalize, a service account's token, parts of a pod and its eviction.
//!
//! What the table of kinds lists and this file does not serve is refused by name.

use bytes::Bytes;
use federation_schema::decode::{Expected, Finding};
use federation_schema::facts::TypeId;
use federation_schema::managed::{self, scale::SCALE_VERSION};
use federation_schema::structural::custom::Scale;
use serde_json::{Value, json};

use crate::admission;
use crate::answer::Answer;
use crate::cache::Clock;
use crate::call::Call;
use crate::custom::scale;
use crate::decode;
use crate::error::ApiError;
use crate::kind;
use crate::mirror::stream;
use crate::object;
use crate::record::{self, Scaling};
use crate::request::options::WriteOptions;
use crate::verb::patch::Patch;
use crate::verb::write::{self, Intent, Part, Written};
use crate::verb::{apply, eviction, get, patch, pod_parts, token, update};

/// Answers a request for `resource/name/subresource`.
///
/// # Errors
/// 404 for subresources that the kind does not have, 405 for verbs that they do not have.
pub(crate) async fn dispatch(call: &mut Call) -> Result<Answer, ApiError> {
    let of_kind = call.kind.clone();
    let Some(of) = of_kind.subresource(&call.info.subresource) else {
        let custom = call.kind.custom().is_some();
        return Err(if custom { ApiError::NotFound(call.subject()) } else { ApiError::UnknownPath });
    };
    let named = if call.kind.namespaced { !call.info.namespace.is_empty() } else { true };
    if !named || call.info.name.is_empty() {
        return Err(ApiError::UnknownPath);
    }
    let verb = call.info.verb.clone();
    let not_allowed = || ApiError::MethodNotAllowed {
        action: verb.clone(),
        resource: format!("{}/{}", kind::qualified(&call.kind), of.name),
    };
    match (&*of.name, verb.as_str()) {
        ("status", "get") => get::get(call).await,
        ("status", "update") => update::replace(call, Part::Status, false).await,
        ("status", "patch") => patch::patch_part(call, Part::Status).await,
        ("scale", "get") => scale_get(call).await,
        ("scale", "update" | "patch") => scale_write(call).await,
        ("finalize", "update") if kind::is_namespace(&call.kind) => update::replace(call, Part::Finalize, false).await,
        ("token", "create") => token::create(call).await,
        ("log", "get") if serves_streams(call) => stream::log(call).await,
        ("exec" | "attach" | "portforward", "get" | "create") if serves_streams(call) => {
            admission::connects(call).await?;
            stream::upgrade(call).await
        }
        ("approval", "get") => get::get(call).await,
        ("approval", "update") => update::replace(call, Part::Status, false).await,
        ("approval", "patch") => patch::patch_part(call, Part::Status).await,
        ("eviction", "create") => eviction::create(call).await,
        ("ephemeralcontainers" | "resize", "get") => get::get(call).await,
        ("ephemeralcontainers" | "resize", "update" | "patch") => pod_parts::write(call).await,
        ("status" | "scale" | "finalize" | "token" | "approval" | "eviction" | "ephemeralcontainers" | "resize", _) => {
            Err(not_allowed())
        }
        (name, _) => Err(ApiError::NotSupported(format!(
            "{}/{name} is not supported by this server yet",
            kind::qualified(&call.kind)
        ))),
    }
}

/// Whether this server has members whose pods can be talked to; it runs none itself.
fn serves_streams(call: &Call) -> bool {
    call.kind.group.is_empty() && call.kind.plural == "pods" && matches!(call.cache.clock(), Clock::Own { .. })
}

async fn scale_get(call: &mut Call) -> Result<Answer, ApiError> {
    let entry = get::entry(call).await?;
    let scale = shown_scale(call, &entry.value())?;
    if let Some(paths) = scale_paths(call) {
        scale::require(paths, &scale)?;
    }
    Ok(Answer::ok(crate::json::canonical(&scale)))
}

async fn scale_write(call: &mut Call) -> Result<Answer, ApiError> {
    let patches = call.info.verb == "patch";
    let options = WriteOptions::read(&call.query, if patches { "PatchOptions" } else { "UpdateOptions" })?;
    let body = call.read_body().await?;
    let of = call.kind.clone();
    let expected = of.subresource("scale").and_then(Expected::subresource);
    let expected = expected.ok_or_else(|| ApiError::Internal("scale has no type".to_owned()))?;
    let write = ScaleWrite::read(call, (&body, &expected), &options, patches)?;
    let applies = matches!(write, ScaleWrite::Apply(..));
    let intent = Intent { options: &options, part: Part::Scale, creates: false, applies };
    let written = write::update(call, intent, |call, old| {
        let old = old.ok_or_else(|| ApiError::NotFound(call.subject()))?;
        let before = shown_scale(call, old)?;
        let (scale, entries) = write.run(call, (old, &before), expected.ty, &options)?;
        let mut new = scaled(call, old, &scale, patches)?;
        match entries {
            Some(entries) => {
                let entries = managed::decode(&entries).map_err(ApiError::Plain)?;
                record::adopt_scale(call, old, &mut new, &entries);
            }
            None => {
                let scaling = Scaling { old, scales: (&before, &scale), ty: expected.ty };
                record::track_scale(call, &scaling, &mut new, intent);
            }
        }
        Ok(new)
    })
    .await?;
    let scale = shown_scale(call, &with_revision(&written))?;
    Ok(Answer::object(written.code, crate::json::canonical(&scale)))
}

/// How a request writes a scale.
enum ScaleWrite {
    Put(Value),
    Patch(Patch),
    Apply(Value, Vec<Finding>),
}

impl ScaleWrite {
    fn read(
        call: &mut Call,
        (body, expected): (&Bytes, &Expected<'_>),
        options: &WriteOptions,
        patches: bool,
    ) -> Result<Self, ApiError> {
        if !patches {
            let sent = decode::object(call, body, *expected, options.validation)?;
            decode::check_name(call, &sent)?;
            return Ok(Self::Put(sent));
        }
        if call.content_type() != apply::MEDIA_TYPE {
            patch::check_force(options)?;
            return Patch::read(call, body, options.validation).map(Self::Patch);
        }
        apply::check_manager(options)?;
        let (config, findings) = decode::configuration(body)?;
        apply::check(&config, (SCALE_VERSION, "Scale"))?;
        Ok(Self::Apply(config, findings))
    }

    /// The new scale; with an apply its managed fields, too.
    fn run(
        &self,
        call: &mut Call,
        (old, before): (&Value, &Value),
        ty: TypeId,
        options: &WriteOptions,
    ) -> Result<(Value, Option<Value>), ApiError> {
        match self {
            Self::Put(sent) => Ok((sent.clone(), None)),
            Self::Patch(patch) => Ok((patch.run(call, ty, before.clone())?, None)),
            Self::Apply(config, findings) => {
                let mut live = before.clone();
                managed::set_managed_fields(&mut live, record::scale_entries(call, old));
                let scale = apply::applied_scale(call, (&live, config), ty, options)?;
                apply::judge(call, findings, options.validation)?;
                let entries = managed::managed_fields(&scale).clone();
                Ok((scale, Some(entries)))
            }
        }
    }
}

/// The object with the replicas of the scale, pinned to the revision that the scale names.
fn scaled(call: &Call, old: &Value, scale: &Value, patched: bool) -> Result<Value, ApiError> {
    let replicas = match scale.pointer("/spec/replicas") {
        None => 0,
        Some(value) => value.as_i64().filter(|n| (0..=i64::from(i32::MAX)).contains(n)).ok_or_else(|| {
            let cause = crate::error::Cause::field(
                "FieldValueInvalid",
                "spec.replicas",
                format!("Invalid value: {value}: must be greater than or equal to 0"),
            );
            ApiError::invalid(crate::error::Subject::new("autoscaling", "Scale", &call.info.name), cause)
        })?,
    };
    let mut new = old.clone();
    if let Some(paths) = scale_paths(call) {
        let asked = scale.pointer("/spec/replicas").and_then(Value::as_i64);
        let had = scale::read(paths, old)?.pointer("/spec/replicas").is_some();
        scale::write(paths, &mut new, asked.or(had.then_some(0)))?;
    } else if let Some(map) = new.as_object_mut() {
        let spec = map.entry("spec").or_insert_with(|| json!({}));
        if let Some(spec) = spec.as_object_mut() {
            spec.insert("replicas".to_owned(), replicas.into());
        }
    }
    let (sent, own) = (object::meta_text(scale, "resourceVersion"), object::meta_text(old, "resourceVersion"));
    let pinned = if patched && sent == own { "" } else { sent };
    object::set_meta(&mut new, "resourceVersion", pinned.to_owned());
    let uid = object::uid(scale);
    if !uid.is_empty() {
        object::set_meta(&mut new, "uid", uid.to_owned());
    }
    Ok(new)
}

fn with_revision(written: &Written) -> Value {
    let mut object = written.object.clone();
    if let Some(rev) = written.rev {
        object::set_meta(&mut object, "resourceVersion", rev.to_string());
    }
    object
}

/// Where the replicas of a custom kind stand.
fn scale_paths(call: &Call) -> Option<&Scale> {
    call.kind.custom()?.version().shape.scale()
}

/// The Scale of an object of the request's kind.
fn shown_scale(call: &Call, object: &Value) -> Result<Value, ApiError> {
    match scale_paths(call) {
        Some(paths) => scale::read(paths, object),
        None => Ok(scale_of(object)),
    }
}

/// `autoscaling/v1` Scale of an object with replicas and a selector.
pub(crate) fn scale_of(object: &Value) -> Value {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let mut metadata = serde_json::Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        let text = object::meta_text(object, field);
        if !text.is_empty() {
            metadata.insert(field.to_owned(), text.into());
        }
    }
    let mut status = json!({"replicas": number("/status/replicas")});
    let selector = selector_text(object.pointer("/spec/selector"));
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    let replicas = number("/spec/replicas");
    let spec = if replicas == 0 { json!({}) } else { json!({"replicas": replicas}) };
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status})
}

/// A label selector (or the plain map of a ReplicationController) as text.
fn selector_text(selector: Option<&Value>) -> String {
    let Some(selector) = selector else { return String::new() };
    let labelled = selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some();
    let object = if labelled { selector.clone() } else { json!({"matchLabels": selector}) };
    let path = federation_schema::field::FieldPath::root("spec.selector");
    match federation_schema::selector::LabelSelector::from_object(&object, &path) {
        Ok(parsed) => parsed.to_string(),
        Err(_) => String::new(),
    }
}
