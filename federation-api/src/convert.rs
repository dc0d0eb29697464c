//! Views: resources that show the objects of another resource in a shape of their own.
//!
//! Objects are stored in one shape; a view converts on the way in and out. Pure.
//! Source: k8s.io/kubernetes `pkg/apis/events/v1/conversion.go`.

use federation_schema::facts::{Facts, Resource};
use serde_json::Value;

mod autoscaling;

/// What is served in a shape that is not the stored one: other groups' views, older versions.
const VIEWS: &[View] = &[
    View {
        of: ("events.k8s.io", "v1", "events"),
        stored: ("", "v1", "events"),
        form: Form::Renamed(&[
            ("regarding", "involvedObject"),
            ("note", "message"),
            ("deprecatedSource", "source"),
            ("deprecatedFirstTimestamp", "firstTimestamp"),
            ("deprecatedLastTimestamp", "lastTimestamp"),
            ("deprecatedCount", "count"),
            ("reportingController", "reportingComponent"),
        ]),
    },
    View {
        of: ("autoscaling", "v1", "horizontalpodautoscalers"),
        stored: ("autoscaling", "v2", "horizontalpodautoscalers"),
        form: Form::Rebuilt { to_stored: autoscaling::from_v1, from_stored: autoscaling::to_v1 },
    },
];

/// One view: (group, version, plural) of the view and of what is stored, and how they differ.
struct View {
    of: (&'static str, &'static str, &'static str),
    stored: (&'static str, &'static str, &'static str),
    form: Form,
}

enum Form {
    /// (view's field, stored field); everything else is the same.
    Renamed(&'static [(&'static str, &'static str)]),
    Rebuilt {
        to_stored: fn(&mut Value),
        from_stored: fn(&mut Value),
    },
}

fn view(kind: &Resource) -> Option<&'static View> {
    VIEWS.iter().find(|view| view.of == (&*kind.group, &*kind.version, &*kind.plural))
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
    let Some(view) = view(kind) else { return };
    match &view.form {
        Form::Renamed(fields) => rename(object, fields.iter().copied()),
        Form::Rebuilt { to_stored, .. } => to_stored(object),
    }
    name(object, stored);
}

/// From the stored shape to that of `kind`; leaves alone what is no object of the stored kind.
pub(crate) fn from_stored(kind: &Resource, stored: &Resource, object: &mut Value) {
    let Some(view) = view(kind) else { return };
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or("");
    if text("kind") != stored.kind || text("apiVersion") != stored.api_version() {
        return;
    }
    match &view.form {
        Form::Renamed(fields) => rename(object, fields.iter().map(|(own, stored)| (*stored, *own))),
        Form::Rebuilt { from_stored, .. } => from_stored(object),
    }
    name(object, kind);
}

/// Whether this version is served beside the newest one, as a view of it.
#[must_use]
pub(crate) fn is_older_version(kind: &Resource) -> bool {
    view(kind).is_some_and(|view| view.of.0 == view.stored.0 && view.of.2 == view.stored.2)
}

fn rename<'a>(object: &mut Value, fields: impl Iterator<Item = (&'a str, &'a str)>) {
    let Some(map) = object.as_object_mut() else { return };
    for (from, to) in fields {
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}

fn name(object: &mut Value, of: &Resource) {
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".to_owned(), of.api_version().into());
        map.insert("kind".to_owned(), of.kind.to_string().into());
    }
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
