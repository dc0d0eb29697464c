//! What the server itself writes into a few kinds when they are created, whatever the request says.
//!
//! Source: the strategies of k8s.io/kubernetes `pkg/registry/{core,certificates}`, of k8s.io/kube-aggregator
//! `pkg/registry/apiservice`.

use serde_json::{Value, json};

use super::{Operation, Review};
use crate::aggregation;
use crate::call::Call;
use crate::custom;

/// Fills in a new object's first status, and who asks for a certificate.
pub(crate) fn admit(call: &Call, new: &mut Value, review: &Review<'_>) {
    if review.operation != Operation::Create {
        if custom::is_definition(&call.kind) {
            federation_schema::crd::default(new);
            custom::status::keep_stored(new);
        }
        return;
    }
    match (&*call.kind.group, &*call.kind.plural) {
        ("", "pods") => {
            new["status"] = json!({"phase": "Pending", "qosClass": super::amounts::qos_class(new)});
        }
        ("", "persistentvolumeclaims" | "persistentvolumes") => {
            new["status"] = json!({"phase": "Pending"});
        }
        ("certificates.k8s.io", "certificatesigningrequests") => name_requestor(call, new),
        (aggregation::GROUP, aggregation::PLURAL) => {
            new["status"] = aggregation::condition::first_status(new, &call.server.timestamp());
        }
        (custom::GROUP, custom::PLURAL) => {
            federation_schema::crd::default(new);
            new["status"] = custom::status::initial(new);
        }
        _ => {}
    }
}

fn name_requestor(call: &Call, new: &mut Value) {
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let user = &call.user;
    spec.insert("username".to_owned(), user.name.clone().into());
    for (field, value) in [("uid", json!(user.uid)), ("groups", json!(user.groups)), ("extra", json!(user.extra))] {
        let empty = matches!(&value, Value::String(text) if text.is_empty())
            || matches!(&value, Value::Array(list) if list.is_empty())
            || matches!(&value, Value::Object(map) if map.is_empty());
        if empty {
            spec.remove(field);
        } else {
            spec.insert(field.to_owned(), value);
        }
    }
}
