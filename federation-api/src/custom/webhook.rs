//! Conversion by a webhook: what is asked of it, and what is believed of its answer.
//!
//! Source: k8s.io/apiextensions-apiserver `pkg/apiserver/conversion/webhook_converter.go`, whose words these are.

use std::time::Duration;

use federation_schema::field::quote::go_type;
use federation_schema::field::{FieldError, FieldPath, aggregate};
use federation_schema::validate;
use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::hook::Destination;
use crate::json;
use crate::server::Server;

/// How long a webhook may take; upstream's default for its client.
const TIMEOUT: Duration = Duration::from_secs(30);
/// More is asked for in several reviews: an answer may be longer than its question, and is read up to a limit.
const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// `spec.conversion.webhook`.
#[derive(Debug)]
pub(crate) struct Webhook {
    destination: Option<Destination>,
    /// The version of ConversionReview that both sides know.
    version: Option<&'static str>,
}

impl Webhook {
    pub(super) fn read(webhook: &Value) -> Self {
        let mut wanted = webhook["conversionReviewVersions"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let known = |version: &str| ["v1", "v1beta1"].into_iter().find(|known| *known == version);
        Self { destination: Destination::read(&webhook["clientConfig"]), version: wanted.find_map(known) }
    }

    /// Converts objects of one kind, all of which are of other versions; several in one review, unless they are too long.
    ///
    /// # Errors
    /// 500, saying which kind could not be converted and why.
    pub(super) async fn convert(&self, server: &Server, to: &str, objects: Vec<Value>) -> Result<Vec<Value>, ApiError> {
        let is_list = objects.len() > 1;
        let mut done = Vec::with_capacity(objects.len());
        for batch in batches(objects) {
            done.extend(self.review(server, to, (batch, is_list)).await?);
        }
        Ok(done)
    }

    async fn review(
        &self,
        server: &Server,
        to: &str,
        (objects, is_list): (Vec<Value>, bool),
    ) -> Result<Vec<Value>, ApiError> {
        let about = objects.first().map_or_else(String::new, gvk);
        let failed = |why: String| ApiError::Plain(format!("conversion webhook for {about} failed: {why}"));
        let Some(version) = self.version else {
            return Err(ApiError::Plain("no supported conversion review versions".to_owned()));
        };
        let Some(destination) = &self.destination else {
            return Err(failed("the webhook has neither a service nor a URL".to_owned()));
        };
        let uid = uuid::Uuid::new_v4().to_string();
        let review = json!({
            "kind": "ConversionReview",
            "apiVersion": format!("apiextensions.k8s.io/{version}"),
            "request": {"uid": uid, "desiredAPIVersion": to, "objects": objects},
        });
        let answer = server.hooks.post(server, destination, &review, TIMEOUT).await;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        let converted = converted(&answer, version, &uid).map_err(failed)?;
        if converted.len() != objects.len() {
            let (got, wanted) = (converted.len(), objects.len());
            return Err(ApiError::Plain(format!(
                "conversion webhook for {about} returned {got} objects, expected {wanted}"
            )));
        }
        let pairs = objects.iter().zip(converted).enumerate();
        pairs
            .map(|(at, (original, converted))| {
                let at = is_list.then_some(at);
                checked(original, converted, to)
                    .map_err(|invalid| ApiError::Plain(format!("conversion webhook for {about} {}", invalid.said(at))))
            })
            .collect()
    }
}

/// Objects in the same order, in parts that fit into one review.
fn batches(objects: Vec<Value>) -> Vec<Vec<Value>> {
    let mut batches: Vec<Vec<Value>> = Vec::new();
    let mut room = 0;
    for object in objects {
        let size = json::to_vec(&object).len();
        match batches.last_mut().filter(|_| size <= room) {
            Some(batch) => batch.push(object),
            None => {
                room = MAX_BATCH_BYTES;
                batches.push(vec![object]);
            }
        }
        room = room.saturating_sub(size);
    }
    batches
}

/// What is wrong with a converted object.
#[derive(Debug, PartialEq, Eq)]
enum Invalid {
    /// It is of another kind or version.
    Type(String),
    /// It is another object.
    Identity(String),
    Metadata(String),
}

impl Invalid {
    /// Upstream has other words for objects of a list.
    fn said(&self, index: Option<usize>) -> String {
        match (self, index) {
            (Self::Type(why) | Self::Identity(why), Some(at)) => {
                format!("returned invalid converted object at index {at}: {why}")
            }
            (Self::Metadata(why), Some(at)) => format!("returned invalid metadata in object at index {at}: {why}"),
            (Self::Type(why), None) => format!("returned invalid object at index 0: {why}"),
            (Self::Identity(why), None) => format!("returned invalid object: {why}"),
            (Self::Metadata(why), None) => format!("returned invalid metadata: {why}"),
        }
    }
}

/// `GROUP/VERSION, Kind=KIND`, as Go prints it.
fn gvk(object: &Value) -> String {
    let text = |key: &str| object[key].as_str().unwrap_or("");
    format!("{}, Kind={}", text("apiVersion"), text("kind"))
}

/// The objects of an answer.
///
/// # Errors
/// Why it is none.
fn converted(answer: &Value, version: &str, uid: &str) -> Result<Vec<Value>, String> {
    let text = |of: &Value, key: &str| of[key].as_str().unwrap_or("").to_owned();
    let wanted = format!("apiextensions.k8s.io/{version}");
    if version == "v1" && (text(answer, "apiVersion") != wanted || text(answer, "kind") != "ConversionReview") {
        return Err(format!("expected webhook response of {wanted}, Kind=ConversionReview, got {}", gvk(answer)));
    }
    let response = answer.get("response").filter(|response| response.is_object());
    let response = response.ok_or_else(|| "no response provided".to_owned())?;
    let own = text(response, "uid");
    if version == "v1" && own != uid {
        return Err(format!("expected response.uid={uid:?}, got {own:?}"));
    }
    let result = &response["result"];
    let status = text(result, "status");
    if status != "Success" {
        let message = text(result, "message");
        return Err(if message.is_empty() {
            format!("response.result.status was '{status}', not 'Success'")
        } else {
            message
        });
    }
    Ok(response["convertedObjects"].as_array().cloned().unwrap_or_else(Vec::new))
}

/// The converted object with the metadata of the original, but for labels and annotations.
///
/// # Errors
/// What is invalid, and why.
fn checked(original: &Value, mut converted: Value, to: &str) -> Result<Value, Invalid> {
    let text = |of: &Value, key: &str| of[key].as_str().unwrap_or("").to_owned();
    let got = text(&converted, "apiVersion");
    if got != to {
        return Err(Invalid::Type(format!("invalid groupVersion (expected {to}, received {got})")));
    }
    let (wanted, got) = (text(original, "kind"), text(&converted, "kind"));
    if wanted != got {
        return Err(Invalid::Type(format!("invalid kind (expected {wanted}, received {got})")));
    }
    for (field, name) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
        let (wanted, got) = (meta(original, field), meta(&converted, field));
        if wanted != got {
            return Err(Invalid::Identity(format!("must have the same {name}: {wanted} != {got}")));
        }
    }
    converted["metadata"] = restored(original, &converted).map_err(Invalid::Metadata)?;
    Ok(converted)
}

fn meta<'v>(object: &'v Value, field: &str) -> &'v str {
    object.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_str).unwrap_or("")
}

/// The metadata of the original with the labels and annotations of the converted object.
///
/// # Errors
/// Why those are none.
fn restored(original: &Value, converted: &Value) -> Result<Value, String> {
    let said = converted.get("metadata").ok_or_else(|| "missing metadata in converted object".to_owned())?;
    let said = said.as_object().ok_or_else(|| {
        let ty = go_type(said);
        format!("invalid metadata of type {ty} in converted object")
    })?;
    let mut kept = original["metadata"].as_object().cloned().unwrap_or_else(Map::new);
    for field in ["labels", "annotations"] {
        match said.get(field).filter(|said| !said.is_null()) {
            None => {
                kept.remove(field);
            }
            Some(Value::Object(entries)) => {
                if let Some((key, value)) = entries.iter().find(|(_, value)| !value.is_string()) {
                    let ty = go_type(value);
                    return Err(format!("metadata.{field}[{key}] must be a string, but is {ty} in converted object"));
                }
                kept.insert(field.to_owned(), entries.clone().into());
            }
            Some(other) => {
                let ty = go_type(other);
                return Err(format!("invalid metadata.{field} of type {ty} in converted object"));
            }
        }
    }
    let kept = Value::Object(kept);
    let errors = validate::embedded_metadata(&kept, &FieldPath::root("metadata"));
    for field in ["labels", "annotations"] {
        if kept[field] == original["metadata"][field] {
            continue;
        }
        let path = format!("metadata.{field}");
        let wrong: Vec<FieldError> = errors.iter().filter(|error| error.path.starts_with(&path)).cloned().collect();
        if !wrong.is_empty() {
            return Err(aggregate(&wrong));
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::{Invalid, MAX_BATCH_BYTES, batches, checked, converted};
    use serde_json::{Value, json};

    fn answer(change: &dyn Fn(&mut Value)) -> Value {
        let mut answer = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
            "response": {"uid": "u", "result": {"status": "Success"}, "convertedObjects": [{"a": 1}]},
        });
        change(&mut answer);
        answer
    }

    /// Protocol: R5
    #[test]
    fn answers_that_are_none() {
        /// What is done to a good answer, and what is said of it then.
        type Case<'a> = (&'a dyn Fn(&mut Value), &'a str);
        let cases: [Case<'_>; 5] = [
            (
                &|a| a["apiVersion"] = "apiextensions.k8s.io/v1beta1".into(),
                "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got apiextensions.k8s.io/v1beta1, Kind=ConversionReview",
            ),
            (&|a| a["response"] = Value::Null, "no response provided"),
            (&|a| a["response"]["uid"] = "x".into(), "expected response.uid=\"u\", got \"x\""),
            (&|a| a["response"]["result"] = json!({"status": "Failure", "message": "no way"}), "no way"),
            (&|a| a["response"]["result"] = json!({}), "response.result.status was '', not 'Success'"),
        ];
        for (change, expected) in cases {
            assert_eq!(converted(&answer(change), "v1", "u").expect_err("refused"), expected);
        }
        assert_eq!(converted(&answer(&|_| {}), "v1", "u").expect("an answer"), [json!({"a": 1})]);
    }

    /// Protocol: R5
    #[test]
    fn only_labels_and_annotations_of_the_metadata_are_believed() {
        let original = json!({"apiVersion": "g/v1", "kind": "K",
            "metadata": {"name": "n", "uid": "u", "generation": 4, "labels": {"a": "b"}}});
        let shape = |metadata: Value| json!({"apiVersion": "g/v2", "kind": "K", "metadata": metadata});
        let fine = shape(json!({"name": "n", "uid": "u", "generation": 9, "annotations": {"x": "y"}}));
        let made = checked(&original, fine, "g/v2").expect("valid");
        assert_eq!(made["metadata"], json!({"name": "n", "uid": "u", "generation": 4, "annotations": {"x": "y"}}));
        let ty = |why: &str| Invalid::Type(why.to_owned());
        let identity = |why: &str| Invalid::Identity(why.to_owned());
        let cases = [
            (
                json!({"apiVersion": "g/v1", "kind": "K", "metadata": {}}),
                ty("invalid groupVersion (expected g/v2, received g/v1)"),
            ),
            (json!({"apiVersion": "g/v2", "kind": "L", "metadata": {}}), ty("invalid kind (expected K, received L)")),
            (shape(json!({"name": "o", "uid": "u"})), identity("must have the same name: n != o")),
            (shape(json!({"name": "n", "uid": "v"})), identity("must have the same UID: u != v")),
            (
                shape(json!({"name": "n", "uid": "u", "labels": {"a": 1}})),
                Invalid::Metadata("metadata.labels[a] must be a string, but is int64 in converted object".to_owned()),
            ),
        ];
        for (converted, expected) in cases {
            assert_eq!(checked(&original, converted, "g/v2").expect_err("refused"), expected);
        }
    }

    #[test]
    fn what_is_long_is_asked_for_in_parts() {
        let long = json!({"a": "x".repeat(MAX_BATCH_BYTES * 2 / 3)});
        let short = json!({"a": "x"});
        let all = vec![short.clone(), long.clone(), long.clone(), short.clone(), short];
        let sizes: Vec<usize> = batches(all.clone()).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 3]);
        assert_eq!(batches(all.clone()).concat(), all);
        assert!(batches(Vec::new()).is_empty());
    }
}
