//! Everything that may be wrong with a definition.
//!
//! Source: `apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go`; texts and paths are upstream's.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::relax::Rules;
use super::view::{Definition, Version, has_status, text};
use super::{approval, names, paths, schema, webhook};
use crate::field::format::{dns_1035_label, dns_subdomain};
use crate::field::quote::go_json;
use crate::field::{FieldError, FieldPath};
use crate::structural::check;

/// Every complaint about a definition that shall be created, or updated from `old`; metadata aside, but for the name.
pub fn validate(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let definition = Definition::new(new);
    let before = old.map(Definition::new);
    let rules = match (&before, old) {
        (Some(before), Some(old)) => Rules::of_update(&definition, before, old),
        _ => Rules::strict(),
    };
    let mut errors = Vec::new();
    if old.is_none() {
        check_name(new, &definition, &mut errors);
    }
    Check { definition: &definition, rules, errors: &mut errors }.run();
    if let Some(before) = &before {
        check_fixed(&definition, before, old, &mut errors);
    }
    errors.extend(validate_status(new));
    check_stored(new, &definition, &mut errors);
    approval::check(new, old, &mut errors);
    if definition.preserves && before.is_none_or(|before| !before.preserves) {
        let spec = FieldPath::root("spec");
        let detail =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid(&spec.child("preserveUnknownFields"), true, detail));
    }
    errors
}

/// Every complaint about the status of a definition.
pub fn validate_status(definition: &Value) -> Vec<FieldError> {
    let status = FieldPath::root("status");
    let accepted = definition.pointer("/status/acceptedNames").unwrap_or(&Value::Null);
    names::check(accepted, &status.child("acceptedNames"))
}

fn check_name(new: &Value, definition: &Definition<'_>, errors: &mut Vec<FieldError>) {
    let name = new.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("");
    let expected = format!("{}.{}", text(definition.names(), "plural"), text(definition.spec, "group"));
    if !name.is_empty() && name != expected {
        let metadata = FieldPath::root("metadata");
        errors.push(FieldError::invalid(&metadata.child("name"), name, "must be spec.names.plural+\".\"+spec.group"));
    }
}

fn check_fixed(new: &Definition<'_>, old: &Definition<'_>, old_json: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = FieldPath::root("spec");
    let names = spec.child("names");
    let mut same = |now: &str, before: &str, path: &FieldPath<'_>| {
        if now != before {
            errors.push(FieldError::invalid(path, now, "field is immutable"));
        }
    };
    let fixed = old_json.is_some_and(|old_json| Rules::of_update(new, old, old_json).fixed_names);
    if fixed {
        same(text(new.spec, "scope"), text(old.spec, "scope"), &spec.child("scope"));
        same(text(new.names(), "kind"), text(old.names(), "kind"), &names.child("kind"));
    }
    same(text(new.spec, "group"), text(old.spec, "group"), &spec.child("group"));
    same(text(new.names(), "plural"), text(old.names(), "plural"), &names.child("plural"));
}

fn check_stored(new: &Value, definition: &Definition<'_>, errors: &mut Vec<FieldError>) {
    let status = FieldPath::root("status");
    let path = status.child("storedVersions");
    let stored = new.pointer("/status/storedVersions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if stored.is_empty() {
        let nothing = if new.pointer("/status/storedVersions").is_some() { json!([]) } else { Value::Null };
        errors.push(FieldError::invalid(&path, nothing, "must have at least one stored version"));
        return;
    }
    for version in definition.versions.iter().filter(|version| version.storage) {
        if !stored.iter().any(|name| name == version.name) {
            let detail = format!("must have the storage version {}", version.name);
            errors.push(FieldError::invalid(&path, Value::Array(stored.to_vec()), detail));
        }
    }
    for (index, name) in stored.iter().enumerate() {
        let name = name.as_str().unwrap_or("");
        if !definition.versions.iter().any(|version| version.name == name) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            errors.push(FieldError::invalid(&path.index(index), name, detail));
        }
    }
}

struct Check<'d, 'e> {
    definition: &'d Definition<'d>,
    rules: Rules,
    errors: &'e mut Vec<FieldError>,
}

impl Check<'_, '_> {
    fn run(&mut self) {
        let path = FieldPath::root("spec");
        self.group_and_scope(&path);
        if !self.definition.preserves {
            self.rules.structural = true;
        }
        self.schemas_there(&path);
        let anywhere = |test: &dyn Fn(&crate::structural::Schema) -> bool| {
            self.definition.schemas().any(|schema| check::any(schema, test))
        };
        if anywhere(&|schema| schema.default.is_some()) {
            self.rules.structural = true;
            if self.definition.preserves {
                let detail = "must be false in order to use defaults in the schema";
                self.errors.push(FieldError::invalid(&path.child("preserveUnknownFields"), true, detail));
            }
        }
        let versions = path.child("versions");
        for (index, version) in self.definition.versions.iter().enumerate() {
            self.version(version, &versions.index(index));
        }
        self.version_list(&path);
        self.names(&path);
        let any_status = self.definition.versions.iter().any(|version| has_status(version.subresources));
        let shared = &self.definition.shared;
        let any_status = any_status || has_status(shared.subresources);
        let unchanged = self.rules.unchanged.iter().any(|name| name == shared.name);
        schema::check(shared, any_status, (&self.rules, unchanged), &path.child("validation"), self.errors);
        paths::subresources(shared.subresources, &path.child("subresources"), self.errors);
        paths::columns(shared.columns, &path.child("additionalPrinterColumns"), self.errors);
        self.selectable(shared, &path, "may only be set when validations.schema is included");
        self.conversion(&path.child("conversion"));
    }

    fn group_and_scope(&mut self, path: &FieldPath<'_>) {
        let (group, at) = (text(self.definition.spec, "group"), path.child("group"));
        let complaints = dns_subdomain(group);
        if group.is_empty() {
            self.errors.push(FieldError::required(&at, ""));
        } else if !complaints.is_empty() {
            self.errors.push(FieldError::invalid(&at, group, complaints.join(",")));
        } else if !group.contains('.') {
            self.errors.push(FieldError::invalid(&at, group, "should be a domain with at least one dot"));
        }
        one_of(text(self.definition.spec, "scope"), &["Cluster", "Namespaced"], &path.child("scope"), self.errors);
    }

    fn schemas_there(&mut self, path: &FieldPath<'_>) {
        if self.definition.shared.schema_json.is_some() {
            return;
        }
        let versions = path.child("versions");
        for (index, version) in self.definition.versions.iter().enumerate() {
            let item = versions.index(index);
            let schema = item.child("schema");
            let at = schema.child("openAPIV3Schema");
            if version.schema_json.is_some() {
                continue;
            }
            if self.rules.schema {
                self.errors.push(FieldError::required(&at, ""));
            } else if !self.definition.preserves && version.served {
                self.errors.push(FieldError::required(&at, "because otherwise all fields are pruned"));
            }
        }
    }

    fn version(&mut self, version: &Version<'_>, path: &FieldPath<'_>) {
        let complaints = dns_1035_label(version.name);
        if !complaints.is_empty() {
            self.errors.push(FieldError::invalid(&path.child("name"), version.name, complaints.join(",")));
        }
        if let Some(json) = version.json {
            paths::deprecation(json, path, self.errors);
        }
        let status = has_status(self.definition.subresources(version));
        let unchanged = self.rules.unchanged.iter().any(|name| name == version.name);
        schema::check(version, status, (&self.rules, unchanged), &path.child("schema"), self.errors);
        paths::subresources(version.subresources, &path.child("subresources"), self.errors);
        paths::columns(version.columns, &path.child("additionalPrinterColumns"), self.errors);
        let detail = "may only be set when `version.schema.openAPIV3Schema` is not included";
        self.selectable(version, path, detail);
    }

    fn selectable(&mut self, version: &Version<'_>, path: &FieldPath<'_>, missing: &str) {
        if version.selectable.is_empty() {
            return;
        }
        let at = path.child("selectableFields");
        let shared = std::ptr::eq(version, &raw const self.definition.shared);
        let key = if shared { "" } else { version.name };
        let allowed = self.rules.too_many_selectable.iter().any(|name| name == key);
        match version.parsed() {
            None => self.errors.push(FieldError::invalid(&at, "", missing)),
            Some(schema) => paths::selectable(version.selectable, schema, &at, allowed, self.errors),
        }
    }

    fn version_list(&mut self, path: &FieldPath<'_>) {
        let versions = &self.definition.versions;
        let at = path.child("versions");
        let repeated = versions
            .iter()
            .enumerate()
            .any(|(index, one)| versions[..index].iter().any(|other| other.name == one.name));
        if repeated {
            let error = FieldError::invalid(&at, Value::Null, "must contain unique version names");
            self.errors.push(error.showing(internal(versions)));
        }
        if versions.iter().filter(|version| version.storage).count() != 1 {
            let detail = "must have exactly one version marked as storage version";
            self.errors.push(FieldError::invalid(&at, Value::Null, detail).showing(internal(versions)));
        }
        let first = self.definition.shared.name;
        let complaints = dns_1035_label(first);
        if !first.is_empty() && !complaints.is_empty() {
            self.errors.push(FieldError::invalid(&path.child("version"), first, complaints.join(",")));
        }
    }

    fn names(&mut self, path: &FieldPath<'_>) {
        let names = self.definition.names();
        let at = path.child("names");
        for name in ["plural", "singular", "kind", "listKind"] {
            if text(names, name).is_empty() {
                self.errors.push(FieldError::required(&at.child(name), ""));
            }
        }
        self.errors.extend(names::check(names, &at));
    }

    fn conversion(&mut self, path: &FieldPath<'_>) {
        let Some(conversion) = self.definition.spec.get("conversion").filter(|of| !of.is_null()) else { return };
        let strategy = text(conversion, "strategy");
        if self.definition.preserves && strategy != "None" {
            let detail = "must be None if spec.preserveUnknownFields is true";
            self.errors.push(FieldError::invalid(&path.child("strategy"), strategy, detail));
        }
        one_of(strategy, &["None", "Webhook"], &path.child("strategy"), self.errors);
        let webhook = conversion.get("webhook").unwrap_or(&Value::Null);
        let config = webhook.get("clientConfig").filter(|config| !config.is_null());
        let reviews = webhook.get("conversionReviewVersions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let (config_at, reviews_at) = (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
        if strategy != "Webhook" {
            let detail = "should not be set when strategy is not set to Webhook";
            if config.is_some() {
                self.errors.push(FieldError::forbidden(&config_at, detail));
            }
            if !reviews.is_empty() {
                self.errors.push(FieldError::forbidden(&reviews_at, detail));
            }
            return;
        }
        match config {
            None => self.errors.push(FieldError::required(&config_at, "required when strategy is set to Webhook")),
            Some(config) => self.webhook(config, &config_at),
        }
        webhook::reviews(reviews, self.rules.known_review, &reviews_at, self.errors);
    }

    fn webhook(&mut self, config: &Value, path: &FieldPath<'_>) {
        let url = config.get("url").and_then(Value::as_str);
        let service = config.get("service").filter(|service| !service.is_null());
        match (url, service) {
            (Some(url), None) => webhook::url(url, &path.child("url"), self.errors),
            (None, Some(service)) => webhook::service(service, &path.child("service"), self.errors),
            _ => self.errors.push(FieldError::required(path, "exactly one of url or service is required")),
        }
        let bundle = text(config, "caBundle");
        if self.rules.ca_bundle && !bundle.is_empty() && !is_pem(bundle) {
            let detail = "unable to load root certificates: unable to parse bytes as PEM block";
            self.errors.push(FieldError::invalid(&path.child("caBundle"), bundle, detail));
        }
    }
}

/// Whether base64 text holds a certificate.
pub(super) fn is_pem(base64: &str) -> bool {
    let decoded = BASE64_STANDARD.decode(base64);
    let text = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.is_some_and(|text| {
        let inner = text
            .split_once("-----BEGIN CERTIFICATE-----")
            .and_then(|(_, rest)| rest.split_once("-----END CERTIFICATE-----"));
        inner.is_some_and(|(inner, _)| {
            let packed: String = inner.split_whitespace().collect();
            !packed.is_empty() && BASE64_STANDARD.decode(packed).is_ok()
        })
    })
}

fn one_of(value: &str, accepted: &[&str], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if value.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !accepted.contains(&value) {
        errors.push(FieldError::not_supported(path, value, accepted));
    }
}

/// Versions as upstream's internal type prints them: that is what its messages show.
fn internal(versions: &[Version<'_>]) -> String {
    let nothing = Value::Null;
    let one = |version: &Version<'_>| {
        let json = version.json.unwrap_or(&nothing);
        let list = |list: &[Value]| if list.is_empty() { Value::Null } else { Value::Array(list.to_vec()) };
        go_fields(&[
            ("Name", version.name.into()),
            ("Served", version.served.into()),
            ("Storage", version.storage.into()),
            ("Deprecated", super::view::is_true(json, "deprecated").into()),
            ("DeprecationWarning", json.get("deprecationWarning").cloned().unwrap_or(Value::Null)),
            ("Schema", version.schema_json.cloned().unwrap_or(Value::Null)),
            ("Subresources", version.subresources.cloned().unwrap_or(Value::Null)),
            ("AdditionalPrinterColumns", list(version.columns)),
            ("SelectableFields", list(version.selectable)),
        ])
    };
    let items: Vec<String> = versions.iter().map(one).collect();
    format!("[{}]", items.join(","))
}

/// A Go struct as JSON: its fields in their order.
pub(super) fn go_fields(fields: &[(&str, Value)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{}", go_json(value))).collect();
    format!("{{{}}}", fields.join(","))
}
