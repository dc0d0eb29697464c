//! The options of list, watch, write and delete requests, checked as upstream checks them.
//!
//! Source: k8s.io/apimachinery `pkg/apis/meta/internalversion/validation`, `pkg/apis/meta/v1/validation`.

use federation_schema::decode::FieldValidation;
use serde::Deserialize;

use super::query::{Query, truthy};
use crate::error::{ApiError, Cause};

/// Longest `fieldManager`, in characters.
const MAX_MANAGER_BYTES: usize = 128;

/// How old an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As of now, whatever anyone has written before.
    Latest,
    /// Whatever is at hand.
    Any,
    /// Not older than that revision.
    NotOlderThan(u64),
    /// As of exactly that revision.
    Exact(u64),
}

/// Options of list and watch requests.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    pub label_selector: String,
    pub field_selector: String,
    /// 0: no limit.
    pub limit: usize,
    pub continue_token: String,
    /// As sent: empty, `0`, or a revision.
    pub resource_version: String,
    pub resource_version_match: String,
    pub timeout_s: Option<u64>,
    pub allow_bookmarks: bool,
    pub send_initial_events: Option<bool>,
}

/// Options of create, update and patch.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    pub dry_run: bool,
    pub field_manager: String,
    pub validation: FieldValidation,
    /// Only of an apply patch.
    pub force: bool,
}

/// Options of a delete, from its body or its query.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteOptions {
    #[serde(default)]
    pub grace_period_seconds: Option<i64>,
    #[serde(default)]
    pub preconditions: Option<Preconditions>,
    #[serde(default)]
    pub orphan_dependents: Option<bool>,
    #[serde(default)]
    pub propagation_policy: Option<String>,
    #[serde(default)]
    pub dry_run: Option<Vec<String>>,
}

/// What must hold for a delete to happen.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preconditions {
    #[serde(default)]
    pub uid: Option<String>,
    #[serde(default)]
    pub resource_version: Option<String>,
}

impl ListOptions {
    /// Reads the options of a list.
    ///
    /// # Errors
    /// 400 for what cannot be read, 422 for combinations that are not allowed.
    pub fn for_list(query: &Query) -> Result<Self, ApiError> {
        let options = Self::read(query)?;
        let causes = options.list_causes();
        if !causes.is_empty() {
            return Err(ApiError::invalid_options("ListOptions", causes));
        }
        if !options.continue_token.is_empty() && !matches!(options.resource_version.as_str(), "" | "0") {
            return Err(ApiError::BadRequest(
                "specifying resource version is not allowed when using continue".to_owned(),
            ));
        }
        Ok(options)
    }

    /// Reads the options of a watch.
    ///
    /// # Errors
    /// As [`ListOptions::for_list`].
    pub fn for_watch(query: &Query) -> Result<Self, ApiError> {
        let options = Self::read(query)?;
        let causes = options.watch_causes();
        if causes.is_empty() { Ok(options) } else { Err(ApiError::invalid_options("ListOptions", causes)) }
    }

    /// The revision that was sent; none for nothing and `0`.
    ///
    /// # Errors
    /// As [`revision`].
    pub fn revision(&self) -> Result<Option<u64>, ApiError> {
        revision(&self.resource_version)
    }

    /// How fresh a list has to be.
    ///
    /// # Errors
    /// 400 where the revision is no number.
    pub fn freshness(&self) -> Result<Freshness, ApiError> {
        let exact = self.resource_version_match == "Exact";
        let legacy_exact = self.resource_version_match.is_empty() && self.limit > 0;
        let rev =
            self.revision().map_err(|error| ApiError::BadRequest(format!("invalid resource version: {error}")))?;
        Ok(match (self.resource_version.as_str(), rev) {
            ("", _) => Freshness::Latest,
            (_, None) => Freshness::Any,
            (_, Some(rev)) if exact || legacy_exact => Freshness::Exact(rev),
            (_, Some(rev)) => Freshness::NotOlderThan(rev),
        })
    }

    fn read(query: &Query) -> Result<Self, ApiError> {
        let text = |key: &str| query.get(key).unwrap_or("").to_owned();
        Ok(Self {
            label_selector: text("labelSelector"),
            field_selector: text("fieldSelector"),
            limit: number(query, "limit")?.map_or(0, |limit| usize::try_from(limit).unwrap_or(0)),
            continue_token: text("continue"),
            resource_version: text("resourceVersion"),
            resource_version_match: text("resourceVersionMatch"),
            timeout_s: number(query, "timeoutSeconds")?.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0),
            allow_bookmarks: query.get("allowWatchBookmarks").is_some_and(truthy),
            send_initial_events: query.filled("sendInitialEvents").map(truthy),
        })
    }

    fn list_causes(&self) -> Vec<Cause> {
        let field = "resourceVersionMatch";
        let mut causes = Vec::new();
        if !self.resource_version_match.is_empty() {
            if self.resource_version.is_empty() {
                causes.push(Cause::forbidden(
                    field,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if !self.continue_token.is_empty() {
                causes.push(Cause::forbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
            }
            if !matches!(self.resource_version_match.as_str(), "Exact" | "NotOlderThan") {
                let supported = ["Exact", "NotOlderThan", ""];
                causes.push(Cause::not_supported(field, &self.resource_version_match, &supported));
            }
            if self.resource_version_match == "Exact" && self.resource_version == "0" {
                causes.push(Cause::forbidden(
                    field,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
        if self.send_initial_events.is_some() {
            causes.push(Cause::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        causes
    }

    fn watch_causes(&self) -> Vec<Cause> {
        let field = "resourceVersionMatch";
        let matching = self.resource_version_match.as_str();
        let mut causes = Vec::new();
        if self.send_initial_events.is_some() && matching != "NotOlderThan" {
            causes.push(Cause::forbidden(
                field,
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if !matching.is_empty() {
            if self.send_initial_events.is_none() {
                causes.push(Cause::forbidden(
                    field,
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                ));
            }
            if matching != "NotOlderThan" {
                causes.push(Cause::not_supported(field, matching, &["NotOlderThan"]));
            }
            if !self.continue_token.is_empty() {
                causes.push(Cause::forbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
            }
        }
        causes
    }
}

impl WriteOptions {
    /// Reads the options of a create, update or patch; `kind` names them in errors (`CreateOptions`).
    ///
    /// # Errors
    /// 422 for values that are not allowed.
    pub fn read(query: &Query, kind: &str) -> Result<Self, ApiError> {
        let mut causes = dry_run_causes(query.all("dryRun"));
        let manager = query.get("fieldManager").unwrap_or("");
        causes.extend(manager_causes(manager));
        let sent = query.get("fieldValidation").unwrap_or("");
        let validation = FieldValidation::parse(sent);
        if validation.is_none() {
            let supported = ["", "Ignore", "Strict", "Warn"];
            causes.push(Cause::not_supported("fieldValidation", sent, &supported));
        }
        if !causes.is_empty() {
            return Err(ApiError::invalid_options(kind, causes));
        }
        Ok(Self {
            dry_run: query.get("dryRun").is_some(),
            field_manager: manager.to_owned(),
            validation: validation.unwrap_or_default(),
            force: query.filled("force").is_some_and(truthy),
        })
    }
}

impl DeleteOptions {
    /// Reads the query's options, for requests without a body.
    ///
    /// # Errors
    /// 400 for what cannot be read.
    pub fn from_query(query: &Query) -> Result<Self, ApiError> {
        let dry_run: Vec<String> = query.all("dryRun").map(str::to_owned).collect();
        Ok(Self {
            grace_period_seconds: number(query, "gracePeriodSeconds")?,
            preconditions: None,
            orphan_dependents: query.filled("orphanDependents").map(truthy),
            propagation_policy: query.filled("propagationPolicy").map(str::to_owned),
            dry_run: (!dry_run.is_empty()).then_some(dry_run),
        })
    }

    /// Whether nothing shall be persisted.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.dry_run.as_ref().is_some_and(|values| !values.is_empty())
    }

    /// Refuses values that are not allowed.
    ///
    /// # Errors
    /// 422 with each of them.
    pub fn check(&self) -> Result<(), ApiError> {
        let mut causes = dry_run_causes(self.dry_run.iter().flatten().map(String::as_str));
        if self.orphan_dependents.is_some() && self.propagation_policy.is_some() {
            causes.push(Cause::invalid(
                "propagationPolicy",
                self.propagation_policy.as_deref().unwrap_or(""),
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        if let Some(policy) = &self.propagation_policy {
            let supported = ["Foreground", "Background", "Orphan", "nil"];
            if !supported[..3].contains(&policy.as_str()) {
                causes.push(Cause::not_supported("propagationPolicy", policy, &supported));
            }
        }
        if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid_options("DeleteOptions", causes)) }
    }
}

/// A resourceVersion as a number; none for nothing and `0`.
///
/// # Errors
/// A bare 500, as upstream has it for gets and watches, where it is no decimal number without leading zeros.
pub fn revision(text: &str) -> Result<Option<u64>, ApiError> {
    if matches!(text, "" | "0") {
        return Ok(None);
    }
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    match text.parse::<u64>() {
        Ok(rev) if digits => Ok(Some(rev)),
        _ => Err(ApiError::Plain(format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))),
    }
}

/// The resourceVersion that an object to be written names, read as [`revision`] is, but refused in other words.
///
/// # Errors
/// As [`revision`].
pub(crate) fn named_revision(text: &str) -> Result<Option<u64>, ApiError> {
    revision(text).map_err(|_| ApiError::Plain(format!("strconv.ParseUint: parsing {text:?}: invalid syntax")))
}

fn number(query: &Query, key: &str) -> Result<Option<i64>, ApiError> {
    query
        .filled(key)
        .map(|text| {
            text.parse::<i64>().map_err(|error| {
                let out_of_range =
                    matches!(error.kind(), std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow);
                let why = if out_of_range { "value out of range" } else { "invalid syntax" };
                ApiError::BadRequest(format!("strconv.ParseInt: parsing {text:?}: {why}"))
            })
        })
        .transpose()
}

/// One cause for all values together: so does upstream.
fn dry_run_causes<'a>(values: impl Iterator<Item = &'a str>) -> Vec<Cause> {
    let values: Vec<&str> = values.collect();
    if values.iter().all(|value| *value == "All") {
        return Vec::new();
    }
    let shown = serde_json::to_string(&values).expect("text serialises");
    let message = format!("Unsupported value: {shown}: supported values: \"All\"");
    vec![Cause::field("FieldValueNotSupported", "dryRun", message)]
}

fn manager_causes(manager: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    if manager.len() > MAX_MANAGER_BYTES {
        let text = format!("Too long: may not be more than {MAX_MANAGER_BYTES} bytes");
        causes.push(Cause::field("FieldValueTooLong", "fieldManager", text));
    }
    let strange = manager.char_indices().filter(|(_, c)| c.is_control() || c.is_whitespace() && *c != ' ');
    causes.extend(strange.take(MAX_MANAGER_BYTES).map(|(at, c)| {
        let detail = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        Cause::invalid("fieldManager", manager, &detail)
    }));
    causes
}
