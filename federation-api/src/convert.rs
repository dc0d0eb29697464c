//! Views: resources that show the objects of another resource in a shape of their own.
//!
//! Objects are stored in one shape; a view converts on the way in and out. Pure.
//! Source: k8s.io/kubernetes `pkg/apis/events/v1/conversion.go`.

use federation_schema::facts::{Facts, Resource};
use serde_json::Value;

/// Views: (group, plural) of the view, (group, version, plural) of what is stored, (view's field, stored field).
const VIEWS: &[View] = &[View {
    of: ("events.k8s.io", "events"),
    stored: ("", "v1", "events"),
    fields: &[
        ("regarding", "involvedObject"),
        ("note", "message"),
        ("deprecatedSource", "source"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
        ("reportingController", "reportingComponent"),
    ],
}];

/// One view: fields that have another name, everything else is the same.
struct View {
    of: (&'static str, &'static str),
    stored: (&'static str, &'static str, &'static str),
    fields: &'static [(&'static str, &'static str)],
}

fn view(kind: &Resource) -> Option<&'static View> {
    VIEWS.iter().find(|view| view.of == (&*kind.group, &*kind.plural))
}

/// The resource as whose objects those of `kind` are stored: itself, but for views.
#[must_use]
pub(crate) fn stored<'a>(facts: &'a Facts, kind: &'a Resource) -> &'a Resource {
    let of = view(kind).and_then(|view| facts.resource(view.stored.0, view.stored.1, view.stored.2));
    of.unwrap_or(kind)
}

/// Whether objects of `kind` are stored in another shape.
#[must_use]
pub(crate) fn is_view(kind: &Resource) -> bool {
    view(kind).is_some()
}

/// From the shape of `kind` to the stored one.
pub(crate) fn to_stored(kind: &Resource, stored: &Resource, object: &mut Value) {
    if let Some(view) = view(kind) {
        rename(object, stored, view.fields.iter().copied());
    }
}

/// From the stored shape to that of `kind`; leaves alone what is no object of the stored kind.
pub(crate) fn from_stored(kind: &Resource, stored: &Resource, object: &mut Value) {
    let is_stored = object.get("kind").and_then(Value::as_str) == Some(&*stored.kind);
    if let Some(view) = view(kind).filter(|_| is_stored) {
        rename(object, kind, view.fields.iter().map(|(own, stored)| (*stored, *own)));
    }
}

fn rename<'a>(object: &mut Value, to: &Resource, fields: impl Iterator<Item = (&'a str, &'a str)>) {
    let Some(map) = object.as_object_mut() else { return };
    for (from, to) in fields {
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
    map.insert("apiVersion".to_owned(), to.api_version().into());
    map.insert("kind".to_owned(), to.kind.to_string().into());
}

#[cfg(test)]
mod tests {
    use super::{from_stored, stored, to_stored};
    use federation_schema::facts::kubernetes;
    use serde_json::json;

    /// Protocol: B2
    #[test]
    fn an_event_keeps_everything_through_both_shapes() {
        let facts = kubernetes();
        let view = facts.resource("events.k8s.io", "v1", "events").expect("a view");
        let core = stored(facts, view);
        assert_eq!((&*core.group, &*core.plural), ("", "events"));
        let sent = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Because",
            "regarding": {"kind": "Pod"}, "note": "text", "reportingController": "c", "deprecatedCount": 2,
        });
        let mut object = sent.clone();
        to_stored(view, core, &mut object);
        assert_eq!(
            object,
            json!({
                "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Because",
                "involvedObject": {"kind": "Pod"}, "message": "text", "reportingComponent": "c", "count": 2,
            })
        );
        from_stored(view, core, &mut object);
        assert_eq!(object, sent);
    }
}
