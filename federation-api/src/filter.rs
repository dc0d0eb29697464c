//! Which objects a list, watch or deletecollection is about: scope, label selector, field selector.
//!
//! Matches bytes: labels and plain fields are read in place, only odd fields cost a parse.

use std::borrow::Cow;

use federation_schema::selector::{FieldSelector, LabelSelector, Labels, SelectorError, selectable};

use crate::cache::{Entry, Scope};
use crate::call::Call;
use crate::convert;
use crate::error::ApiError;
use crate::json;
use crate::kinds::Kind;
use crate::request::options::ListOptions;

/// Fields whose value is not simply the scalar at their path, see `selectable::value`.
const COMPUTED_FIELDS: &[&str] = &[
    "source",
    "status.successful",
    "status.replicas",
    "spec.unschedulable",
    "spec.hostNetwork",
    "status.podIPs",
    "reportingComponent",
];

/// A conjunction of scope and selectors.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) scope: Scope,
    labels: LabelSelector,
    fields: FieldSelector,
    /// The kind and what it is stored as, where fields have other names than in the stored bytes.
    view: Option<(Kind, Kind)>,
}

impl Filter {
    /// Reads the selectors of a request.
    ///
    /// # Errors
    /// 400 for what cannot be read, and for fields that the kind does not offer.
    pub(crate) fn new(call: &Call, options: &ListOptions) -> Result<Self, ApiError> {
        let (kind, scope) = (&call.kind, call.scope());
        let bad = |error: SelectorError| ApiError::BadRequest(error.to_string());
        let labels = LabelSelector::parse(&options.label_selector)
            .map_err(|error| ApiError::BadRequest(format!("unable to parse requirement: {error}")))?;
        let fields = FieldSelector::parse(&options.field_selector).map_err(bad)?;
        let offered = |field: &str| {
            let own = kind.custom().is_some_and(|custom| custom.version().selectable.iter().any(|one| **one == *field));
            own || selectable::is_selectable(&kind.group, &kind.kind, field)
                && (kind.namespaced || field != "metadata.namespace")
        };
        fields.check(offered).map_err(|error| unknown_field(kind, &error))?;
        let view = convert::is_view(kind).then(|| (kind.clone(), call.stored.clone()));
        Ok(Self { scope, labels, fields, view })
    }

    /// Whether there are no selectors (the scope does not count).
    pub(crate) fn is_plain(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object within scope is selected.
    pub(crate) fn selects(&self, entry: &Entry) -> bool {
        if !self.labels.is_empty() {
            let labels = entry.field(&["metadata", "labels"]).map(RawLabels);
            if !self.labels.matches(&labels) {
                return false;
            }
        }
        self.fields.is_empty() || self.selects_fields(entry)
    }

    fn selects_fields(&self, entry: &Entry) -> bool {
        let computed = self.fields.terms().iter().any(|term| COMPUTED_FIELDS.contains(&term.field.as_str()));
        if computed || self.view.is_some() {
            let mut object = entry.value();
            if let Some((kind, stored)) = &self.view {
                convert::from_stored(kind, stored, &mut object);
            }
            return self.fields.matches(|field| selectable::value(&object, field));
        }
        self.fields.matches(|field| plain_field(entry, field))
    }
}

/// Kinds with fields of their own have their own words for it; upstream's.
fn unknown_field(kind: &Kind, error: &SelectorError) -> ApiError {
    ApiError::BadRequest(match error {
        SelectorError::UnsupportedField(field)
            if kind.custom().is_none() && selectable::fields(&kind.group, &kind.kind).is_empty() =>
        {
            format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        }
        SelectorError::UnsupportedField(field) if &*kind.group == "batch" => {
            format!("field label {field:?} not supported for {}", kind.kind)
        }
        other => other.to_string(),
    })
}

fn plain_field<'a>(entry: &'a Entry, field: &str) -> Option<Cow<'a, str>> {
    match field {
        "metadata.name" => return Some(entry.name().into()),
        "metadata.namespace" => return Some(entry.namespace().into()),
        _ => {}
    }
    let path: Vec<&str> = field.split('.').collect();
    let raw = entry.field(&path)?;
    match raw.first()? {
        b'"' => serde_json::from_slice::<Cow<'a, str>>(raw).ok().map(|text| Cow::Owned(text.into_owned())),
        b'{' | b'[' | b'n' => None,
        _ => std::str::from_utf8(raw).ok().map(Cow::Borrowed),
    }
}

/// The labels of an object, as they stand in its JSON. Keys and values that validation accepts hold
/// nothing that JSON escapes.
struct RawLabels<'a>(&'a [u8]);

impl Labels for RawLabels<'_> {
    fn label(&self, key: &str) -> Option<&str> {
        let at = json::member(self.0, 0..self.0.len(), key)?;
        let quoted = self.0.get(at)?;
        std::str::from_utf8(quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?).ok()
    }
}
