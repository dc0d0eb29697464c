//! Label selectors as objects, against labels: the schema's matching, with its complaints as one sentence.

use std::collections::BTreeMap;

use federation_schema::field::{FieldPath, aggregate};
use federation_schema::selector::LabelSelector;
use serde_json::Value;

/// Whether `labels` match a `metav1.LabelSelector` object.
///
/// # Errors
/// What is wrong with the selector, by its path below `labelSelector`.
pub fn matches(selector: &Value, labels: &BTreeMap<String, String>) -> Result<bool, String> {
    let selector = LabelSelector::from_object(selector, &FieldPath::root("labelSelector"))
        .map_err(|complaints| aggregate(&complaints))?;
    Ok(selector.matches(labels))
}
