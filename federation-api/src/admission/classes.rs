//! Classes that an object names, or that are the default: of priority, of runtime, of Ingresses, of storage.
//!
//! What is filled into a Pod never travels to members (`defaults::strip_defaults`); the class of an Ingress or of a
//! claim does: it is the user's own default.
//! Source: k8s.io/kubernetes `plugin/pkg/admission/{priority,runtimeclass,network/defaultingressclass,storage/storageclass/setdefault}`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Operation, Review};
use crate::cache::{Entry, Scope};
use crate::call::Call;
use crate::error::ApiError;
use crate::kind;
use crate::object;
use crate::verb::write::Part;

const PRIORITIES: &str = "scheduling.k8s.io/priorityclasses";
const PREEMPT: &str = "PreemptLowerPriority";

fn is(call: &Call, group: &str, plural: &str) -> bool {
    call.kind.group == group && call.kind.plural == plural
}

fn forbidden(call: &Call, new: &Value, text: String) -> ApiError {
    ApiError::Forbidden(kind::subject(&call.kind, object::name(new)), text)
}

fn all(call: &Call, storage: &str) -> Vec<Arc<Entry>> {
    call.server.cache.resource(storage).snapshot().range(&Scope::All, "").cloned().collect()
}

/// Gives a Pod the priority of its class; an update keeps it.
///
/// # Errors
/// 403 where there is no such class, or the Pod says something else.
pub(crate) fn priority(call: &mut Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    if !is(call, "", "pods") || review.part != Part::Main || !new.get("spec").is_some_and(Value::is_object) {
        return Ok(());
    }
    if let Some(old) = review.old {
        for field in ["priority", "preemptionPolicy"] {
            let had = old.pointer("/spec").and_then(|spec| spec.get(field));
            if let (Some(had), true) = (had, new["spec"].get(field).is_none_or(Value::is_null)) {
                new["spec"][field] = had.clone();
            }
        }
        return Ok(());
    }
    let named = new.pointer("/spec/priorityClassName").and_then(Value::as_str).unwrap_or("").to_owned();
    let class = if named.is_empty() {
        default_priority(call, None)
    } else {
        let found = call.server.cache.resource(PRIORITIES).get(&named).map(|class| class.value());
        let missing = || forbidden(call, new, format!("no PriorityClass with name {named} was found"));
        Some(found.ok_or_else(missing)?)
    };
    let value = class.as_ref().and_then(|class| class.get("value")?.as_i64()).unwrap_or(0);
    let policy = class.as_ref().and_then(|class| class.get("preemptionPolicy")?.as_str()).unwrap_or(PREEMPT);
    let of_controller = "priority admission controller computed";
    if let Some(sent) = new.pointer("/spec/priority").and_then(Value::as_i64).filter(|sent| *sent != value) {
        let text = format!(
            "the integer value of priority ({sent}) must not be provided in pod spec; {of_controller} {value} from the given PriorityClass name"
        );
        return Err(forbidden(call, new, text));
    }
    if let Some(sent) = new.pointer("/spec/preemptionPolicy").and_then(Value::as_str).filter(|sent| *sent != policy) {
        let text = format!(
            "the string value of PreemptionPolicy ({sent}) must not be provided in pod spec; {of_controller} {policy} from the given PriorityClass name"
        );
        return Err(forbidden(call, new, text));
    }
    let spec = &mut new["spec"];
    spec["priority"] = value.into();
    spec["preemptionPolicy"] = policy.into();
    if let Some(class) = &class {
        spec["priorityClassName"] = object::name(class).into();
    }
    Ok(())
}

/// The default class, the lowest where there are several, but for the one of that name.
fn default_priority(call: &Call, but: Option<&str>) -> Option<Value> {
    let marked = |entry: &Arc<Entry>| entry.field(&["globalDefault"]) == Some(b"true") && Some(entry.name()) != but;
    let classes = all(call, PRIORITIES).into_iter().filter(marked).map(|entry| entry.value());
    classes.min_by_key(|class| class.get("value").and_then(Value::as_i64).unwrap_or(0))
}

/// Refuses a second default class of priority.
///
/// # Errors
/// 403 naming the first.
pub(crate) fn one_default_priority(call: &Call, new: &Value, review: &Review<'_>) -> Result<(), ApiError> {
    if !is(call, "scheduling.k8s.io", "priorityclasses") || new.get("globalDefault") != Some(&Value::Bool(true)) {
        return Ok(());
    }
    let but = (review.operation == Operation::Update).then(|| object::name(new));
    match default_priority(call, but) {
        None => Ok(()),
        Some(other) => {
            let name = object::name(&other);
            let text = format!("PriorityClass {name} is already marked as default. Only one default can exist");
            Err(forbidden(call, new, text))
        }
    }
}

/// Gives a new Pod the overhead of its runtime class.
///
/// # Errors
/// 403 where there is no such class, or the Pod says something else.
pub(crate) fn runtime(call: &mut Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    if !is(call, "", "pods") || review.part != Part::Main || review.operation != Operation::Create {
        return Ok(());
    }
    let own = new.pointer("/spec/overhead").filter(|own| own.as_object().is_some_and(|own| !own.is_empty())).cloned();
    let Some(named) = new.pointer("/spec/runtimeClassName").and_then(Value::as_str).map(str::to_owned) else {
        let text = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
        return if own.is_some() { Err(forbidden(call, new, text.to_owned())) } else { Ok(()) };
    };
    let class = call.server.cache.resource("node.k8s.io/runtimeclasses").get(&named);
    let missing = || forbidden(call, new, format!("pod rejected: RuntimeClass {named:?} not found"));
    let class = class.ok_or_else(missing)?.value();
    let fixed = class.pointer("/overhead/podFixed").filter(|fixed| fixed.is_object());
    match (fixed, own) {
        (None, None) => Ok(()),
        (None, Some(_)) => {
            let text = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            Err(forbidden(call, new, text.to_owned()))
        }
        (Some(fixed), Some(own)) if own != *fixed => {
            let text = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
            Err(forbidden(call, new, text.to_owned()))
        }
        (Some(fixed), _) => {
            new["spec"]["overhead"] = fixed.clone();
            Ok(())
        }
    }
}

/// Tolerations that every Pod has, so that it leaves a node that is gone only after five minutes.
///
/// # Errors
/// None.
pub(crate) fn tolerations(call: &mut Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    if !is(call, "", "pods") || review.part != Part::Main || !new.get("spec").is_some_and(Value::is_object) {
        return Ok(());
    }
    let given = new.pointer("/spec/tolerations").and_then(Value::as_array).cloned().unwrap_or_else(Vec::new);
    let mut all = given.clone();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let text = |of: &Value, field: &str| of.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
        let covers = |one: &Value| {
            let (own, effect) = (text(one, "key"), text(one, "effect"));
            (own.is_empty() || own == key) && (effect.is_empty() || effect == "NoExecute")
        };
        if !given.iter().any(covers) {
            all.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
    if all.len() > given.len() {
        new["spec"]["tolerations"] = Value::Array(all);
    }
    Ok(())
}

/// Gives an Ingress without a class the default one.
///
/// # Errors
/// None.
pub(crate) fn ingress(call: &mut Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    let new_one = review.operation == Operation::Create && review.part == Part::Main;
    if !new_one || !is(call, "networking.k8s.io", "ingresses") {
        return Ok(());
    }
    let named = new.pointer("/spec/ingressClassName").is_some_and(|class| !class.is_null());
    if named || object::annotation(new, "kubernetes.io/ingress.class").is_some() {
        return Ok(());
    }
    if let Some(class) =
        default_class(call, "networking.k8s.io/ingressclasses", "ingressclass.kubernetes.io/is-default-class")
    {
        new["spec"]["ingressClassName"] = class.into();
    }
    Ok(())
}

/// Gives a claim without a class the default one.
///
/// # Errors
/// None.
pub(crate) fn storage(call: &mut Call, new: &mut Value, review: &Review<'_>) -> Result<(), ApiError> {
    let new_one = review.operation == Operation::Create && review.part == Part::Main;
    if !new_one || !is(call, "", "persistentvolumeclaims") {
        return Ok(());
    }
    let named = new.pointer("/spec/storageClassName").is_some_and(|class| !class.is_null());
    if named || object::annotation(new, "volume.beta.kubernetes.io/storage-class").is_some() {
        return Ok(());
    }
    if let Some(class) =
        default_class(call, "storage.k8s.io/storageclasses", "storageclass.kubernetes.io/is-default-class")
    {
        new["spec"]["storageClassName"] = class.into();
    }
    Ok(())
}

/// The newest class that is marked; of several as new the first by name.
fn default_class(call: &Call, storage: &str, mark: &str) -> Option<String> {
    let marked = |entry: &Arc<Entry>| entry.text(&["metadata", "annotations", mark]).as_deref() == Some("true");
    let classes = all(call, storage).into_iter().filter(marked);
    let made = |entry: &Entry| entry.text(&["metadata", "creationTimestamp"]).unwrap_or_default();
    let newest = classes.max_by(|a, b| made(a).cmp(&made(b)).then_with(|| b.name().cmp(a.name())));
    newest.map(|entry| entry.name().to_owned())
}
