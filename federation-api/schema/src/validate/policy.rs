//! Admission policies and their bindings: what they match, and that every expression compiles.
//!
//! Source: k8s.io/kubernetes `pkg/apis/admissionregistration/validation/validation.go`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::read::{at, invalid, list, text};
use crate::cel::{Type, is_reserved};
use crate::field::{FieldError, FieldPath, format};
use crate::policy::{Compiler, Problem, Scope, apply_type, patch_type};
use crate::selector::LabelSelector;

const MAX_CONDITIONS: usize = 64;
const MAX_ANNOTATIONS: usize = 20;
const MAX_ANNOTATION_EXPRESSION: usize = 5 * 1024;
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const MUTATING_OPERATIONS: &[&str] = &["*", "CREATE", "UPDATE"];
const REASONS: &[&str] = &["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];

type Errors = Vec<FieldError>;

/// A value that has to be there and one of a few.
fn required_of(errors: &mut Errors, path: &FieldPath<'_>, value: &str, valid: &[&str]) {
    if value.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !valid.contains(&value) {
        errors.push(FieldError::not_supported(path, value, valid));
    }
}

fn complain(errors: &mut Errors, path: &FieldPath<'_>, expression: &str, problem: Problem) {
    errors.push(match problem {
        Problem::Invalid(detail) => FieldError::invalid(path, expression, detail),
        Problem::Internal(detail) => FieldError::internal(path, detail),
    });
}

/// A policy that judges, or with `mutates` one that changes.
pub(super) fn check(new: &Value, mutates: bool, errors: &mut Errors) {
    let spec = at(new, "spec");
    let path = FieldPath::root("spec");
    required_of(errors, &path.child("failurePolicy"), text(spec, "failurePolicy"), &["Fail", "Ignore"]);
    let params = at(spec, "paramKind");
    if params.is_object() {
        check_param_kind(params, &path.child("paramKind"), errors);
    }
    let constraints = path.child("matchConstraints");
    match at(spec, "matchConstraints") {
        Value::Null => errors.push(FieldError::required(&constraints, "")),
        own => {
            check_match(own, &constraints, errors);
            if list(own, "resourceRules").is_empty() {
                errors.push(FieldError::required(&constraints.child("resourceRules"), ""));
            }
            if mutates {
                check_mutating_operations(own, &constraints, errors);
            }
        }
    }
    let scope = Scope { params: params.is_object(), authorizer: true, patches: false };
    check_conditions(spec, scope, &path.child("matchConditions"), errors);
    let mut compiler = Compiler::default();
    check_variables(spec, scope, (&mut compiler, &path.child("variables")), errors);
    if mutates {
        check_mutations(spec, (&compiler, scope), &path, errors);
        let policy = text(spec, "reinvocationPolicy");
        required_of(errors, &path.child("reinvocationPolicy"), policy, &["IfNeeded", "Never"]);
        return;
    }
    if list(spec, "validations").is_empty() && list(spec, "auditAnnotations").is_empty() {
        let detail = "validations or auditAnnotations must contain at least one item";
        errors.push(FieldError::required(&path.child("validations"), detail));
        errors.push(FieldError::required(&path.child("auditAnnotations"), detail));
        return;
    }
    let validations = path.child("validations");
    for (i, validation) in list(spec, "validations").iter().enumerate() {
        check_validation(validation, (&compiler, scope), &validations.index(i), errors);
    }
    check_annotations(new, (&compiler, scope), &path.child("auditAnnotations"), errors);
}

/// A binding of either kind.
pub(super) fn check_binding(new: &Value, mutates: bool, errors: &mut Errors) {
    let spec = at(new, "spec");
    let path = FieldPath::root("spec");
    match text(spec, "policyName") {
        "" => errors.push(FieldError::required(&path.child("policyName"), "")),
        name => invalid(errors, &path.child("policyName"), name, format::dns_subdomain(name)),
    }
    check_param_ref(at(spec, "paramRef"), &path.child("paramRef"), errors);
    let resources = path.child("matchResources");
    if at(spec, "matchResources").is_object() {
        check_match(at(spec, "matchResources"), &resources, errors);
        if mutates {
            check_mutating_operations(at(spec, "matchResources"), &resources, errors);
        }
    }
    if !mutates {
        check_actions(spec, &path.child("validationActions"), errors);
    }
}

fn check_actions(spec: &Value, path: &FieldPath<'_>, errors: &mut Errors) {
    let actions: Vec<&str> = list(spec, "validationActions").iter().filter_map(Value::as_str).collect();
    for (i, action) in actions.iter().enumerate() {
        if !["Audit", "Deny", "Warn"].contains(action) {
            errors.push(FieldError::not_supported(&path.index(i), *action, &["Audit", "Deny", "Warn"]));
        }
        if actions[..i].contains(action) {
            errors.push(FieldError::duplicate(&path.index(i), *action));
        }
    }
    if actions.contains(&"Deny") && actions.contains(&"Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the \
                      API response and headers serves no purpose)";
        errors.push(FieldError::invalid(path, at(spec, "validationActions").clone(), detail));
    }
    if actions.is_empty() {
        errors.push(FieldError::required(path, "at least one validation action is required"));
    }
}

fn check_param_ref(reference: &Value, path: &FieldPath<'_>, errors: &mut Errors) {
    if !reference.is_object() {
        return;
    }
    let (name, selector) = (text(reference, "name"), at(reference, "selector"));
    let exclusive = "name and selector are mutually exclusive";
    if !name.is_empty() {
        invalid(errors, &path.child("name"), name, format::path_segment(name));
        if !selector.is_null() {
            errors.push(FieldError::forbidden(&path.child("name"), exclusive));
        }
    }
    if !selector.is_null() {
        check_selector(selector, &path.child("selector"), errors);
        if !name.is_empty() {
            errors.push(FieldError::forbidden(&path.child("selector"), exclusive));
        }
    }
    if name.is_empty() && selector.is_null() {
        errors.push(FieldError::required(path, "one of name or selector must be specified"));
    }
    let action = text(reference, "parameterNotFoundAction");
    required_of(errors, &path.child("parameterNotFoundAction"), action, &["Deny", "Allow"]);
}

fn check_selector(selector: &Value, path: &FieldPath<'_>, errors: &mut Errors) {
    if let Err(mut found) = LabelSelector::from_object(selector, path) {
        errors.append(&mut found);
    }
}

fn check_param_kind(kind: &Value, path: &FieldPath<'_>, errors: &mut Errors) {
    let version_path = path.child("apiVersion");
    let api_version = text(kind, "apiVersion");
    let parts: Vec<&str> = api_version.split('/').collect();
    match parts[..] {
        _ if api_version.is_empty() => errors.push(FieldError::required(&version_path, "")),
        [_, _, _, ..] => {
            let detail = format!("unexpected GroupVersion string: {api_version}");
            errors.push(FieldError::invalid(&version_path, api_version, detail));
        }
        _ => {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            if !group.is_empty() {
                let complaints = format::dns_subdomain(group);
                if !complaints.is_empty() {
                    errors.push(FieldError::invalid(&version_path, group, complaints.join(",")));
                }
            }
            let complaints = format::dns_1035_label(version);
            if version.is_empty() {
                errors.push(FieldError::invalid(&version_path, api_version, "version must be specified"));
            } else if !complaints.is_empty() {
                errors.push(FieldError::invalid(&version_path, version, complaints.join(",")));
            }
        }
    }
    let name = text(kind, "kind");
    let complaints = format::dns_1035_label(&name.to_lowercase());
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("kind"), ""));
    } else if !complaints.is_empty() {
        let detail = format!("may have mixed case, but should otherwise match: {}", complaints.join(","));
        errors.push(FieldError::invalid(&path.child("kind"), name, detail));
    }
}

fn check_match(own: &Value, path: &FieldPath<'_>, errors: &mut Errors) {
    required_of(errors, &path.child("matchPolicy"), text(own, "matchPolicy"), &["Equivalent", "Exact"]);
    for field in ["namespaceSelector", "objectSelector"] {
        match at(own, field) {
            Value::Null => errors.push(FieldError::required(&path.child(field), "")),
            selector => check_selector(selector, &path.child(field), errors),
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        let rules = path.child(field);
        for (i, rule) in list(own, field).iter().enumerate() {
            check_rule(rule, &rules.index(i), errors);
        }
    }
}

fn check_mutating_operations(own: &Value, path: &FieldPath<'_>, errors: &mut Errors) {
    let rules = path.child("resourceRules");
    for rule in list(own, "resourceRules") {
        for operation in list(rule, "operations").iter().filter_map(Value::as_str) {
            if !MUTATING_OPERATIONS.contains(&operation) {
                errors.push(FieldError::not_supported(&rules.child("operations"), operation, MUTATING_OPERATIONS));
            }
        }
    }
}

fn check_rule(rule: &Value, path: &FieldPath<'_>, errors: &mut Errors) {
    let words = |field: &str| -> Vec<&str> { list(rule, field).iter().filter_map(Value::as_str).collect() };
    let names = words("resourceNames");
    let names_path = path.child("resourceNames");
    for (i, name) in names.iter().enumerate() {
        invalid(errors, &names_path.index(i), name, format::path_segment(name));
        if names[..i].contains(name) {
            errors.push(FieldError::duplicate(&names_path.index(i), *name));
        }
    }
    for (field, what) in [("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let (own, field_path) = (words(field), path.child(field));
        if own.is_empty() {
            errors.push(FieldError::required(&field_path, ""));
        }
        if own.len() > 1 && own.contains(&"*") {
            let detail = format!("if '*' is present, must not specify other {what}");
            errors.push(FieldError::invalid(&field_path, at(rule, field).clone(), detail));
        }
        for (i, word) in own.iter().enumerate() {
            if field == "operations" && !OPERATIONS.contains(word) {
                errors.push(FieldError::not_supported(&field_path.index(i), *word, OPERATIONS));
            } else if field == "apiVersions" && word.is_empty() {
                errors.push(FieldError::required(&field_path.index(i), ""));
            }
        }
    }
    check_resources(&words("resources"), at(rule, "resources"), &path.child("resources"), errors);
    let scope = text(rule, "scope");
    if !scope.is_empty() && !["*", "Cluster", "Namespaced"].contains(&scope) {
        errors.push(FieldError::not_supported(&path.child("scope"), scope, &["*", "Cluster", "Namespaced"]));
    }
}

fn check_resources(own: &[&str], whole: &Value, path: &FieldPath<'_>, errors: &mut Errors) {
    if own.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let (mut all_of, mut of_all): (BTreeSet<&str>, BTreeSet<&str>) = (BTreeSet::new(), BTreeSet::new());
    let mut plain = false;
    for (i, one) in own.iter().enumerate() {
        if one.is_empty() {
            errors.push(FieldError::required(&path.index(i), ""));
            continue;
        }
        let Some((resource, subresource)) = one.split_once('/') else {
            plain = *one != "*";
            continue;
        };
        if all_of.contains(resource) {
            let detail = format!("if '{resource}/*' is present, must not specify {one}");
            errors.push(FieldError::invalid(&path.index(i), *one, detail));
        }
        if of_all.contains(subresource) {
            let detail = format!("if '*/{subresource}' is present, must not specify {one}");
            errors.push(FieldError::invalid(&path.index(i), *one, detail));
        }
        if subresource == "*" {
            all_of.insert(resource);
        }
        if resource == "*" {
            of_all.insert(subresource);
        }
    }
    if own.len() > 1 && own.contains(&"*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, whole.clone(), detail));
    }
    if own.contains(&"*") && plain {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, whole.clone(), detail));
    }
}

fn check_conditions(spec: &Value, scope: Scope, path: &FieldPath<'_>, errors: &mut Errors) {
    let conditions = list(spec, "matchConditions");
    if conditions.len() > MAX_CONDITIONS {
        errors.push(FieldError::too_many(path, conditions.len(), MAX_CONDITIONS));
    }
    let mut names = BTreeSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        let own = path.index(i);
        let expression = text(condition, "expression").trim();
        if expression.is_empty() {
            errors.push(FieldError::required(&own.child("expression"), ""));
        } else if let Err(problem) = Compiler::default().compile(expression, scope, &[Type::Bool]) {
            complain(errors, &own.child("expression"), expression, problem);
        }
        match text(condition, "name") {
            "" => errors.push(FieldError::required(&own.child("name"), "")),
            name => {
                invalid(errors, &own.child("name"), name, format::label_key(name));
                if !names.insert(name) {
                    errors.push(FieldError::duplicate(&own.child("name"), name));
                }
            }
        }
    }
}

fn check_variables(spec: &Value, scope: Scope, (compiler, path): (&mut Compiler, &FieldPath<'_>), errors: &mut Errors) {
    for (i, variable) in list(spec, "variables").iter().enumerate() {
        let own = path.index(i);
        let (name, expression) = (text(variable, "name"), text(variable, "expression"));
        let letters = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let identifier = name.chars().all(letters) && !name.starts_with(|c: char| c.is_ascii_digit());
        if name.trim().is_empty() {
            errors.push(FieldError::required(&own.child("name"), "name is not specified"));
        } else if !identifier || is_reserved(name) {
            errors.push(FieldError::invalid(&own.child("name"), name, "must be a valid CEL identifier"));
        }
        if expression.trim().is_empty() {
            errors.push(FieldError::required(&own.child("expression"), "expression is not specified"));
        } else if let Err(problem) = compiler.variable(name, expression, scope) {
            complain(errors, &own.child("expression"), expression, problem);
        }
    }
}

fn check_validation(
    validation: &Value,
    (compiler, scope): (&Compiler, Scope),
    path: &FieldPath<'_>,
    errors: &mut Errors,
) {
    let expression = text(validation, "expression");
    if expression.trim().is_empty() {
        errors.push(FieldError::required(&path.child("expression"), "expression is not specified"));
    } else if let Err(problem) = compiler.compile(expression, scope, &[Type::Bool]) {
        complain(errors, &path.child("expression"), expression, problem);
    }
    let by_expression = text(validation, "messageExpression");
    if !by_expression.is_empty() && by_expression.trim().is_empty() {
        let own = path.child("messageExpression");
        errors.push(FieldError::invalid(&own, by_expression, "must be non-empty if specified"));
    } else if !by_expression.is_empty() {
        let quiet = Scope { authorizer: false, ..scope };
        if let Err(problem) = compiler.compile(by_expression, quiet, &[Type::String]) {
            complain(errors, &path.child("messageExpression"), by_expression, problem);
        }
    }
    let message = text(validation, "message");
    if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(&path.child("message"), message, "must be non-empty if specified"));
    } else if message.trim().contains(['\n', '\r']) {
        errors.push(FieldError::invalid(&path.child("message"), message, "must not contain line breaks"));
    }
    if let Some(reason) = at(validation, "reason").as_str()
        && !REASONS.contains(&reason)
    {
        errors.push(FieldError::not_supported(&path.child("reason"), reason, REASONS));
    }
}

fn check_annotations(new: &Value, (compiler, scope): (&Compiler, Scope), path: &FieldPath<'_>, errors: &mut Errors) {
    let annotations = list(at(new, "spec"), "auditAnnotations");
    if annotations.len() > MAX_ANNOTATIONS {
        let detail = format!("must not have more than {MAX_ANNOTATIONS} auditAnnotations");
        errors.push(FieldError::invalid(path, annotations.to_vec(), detail));
    }
    let name = text(at(new, "metadata"), "name");
    let mut keys = BTreeSet::new();
    for (i, annotation) in annotations.iter().enumerate() {
        let own = path.index(i);
        let key = text(annotation, "key");
        if name.is_empty() {
            errors.push(FieldError::invalid(&own.child("key"), key, "requires metadata.name be non-empty"));
        } else {
            let full = format!("{name}/{key}");
            invalid(errors, &own.child("key"), &full, format::label_key(&full));
        }
        let (expression, at_expression) = (text(annotation, "valueExpression"), own.child("valueExpression"));
        if expression.trim().is_empty() {
            errors.push(FieldError::required(&at_expression, "valueExpression is not specified"));
        } else if expression.trim().len() > MAX_ANNOTATION_EXPRESSION {
            let detail = format!("must not exceed {MAX_ANNOTATION_EXPRESSION} bytes in length");
            errors.push(FieldError::required(&at_expression, detail));
        } else if let Err(problem) = compiler.compile(expression.trim(), scope, &[Type::String, Type::Null]) {
            complain(errors, &at_expression, expression, problem);
        }
        if !keys.insert(key) {
            errors.push(FieldError::duplicate(&own.child("key"), key));
        }
    }
}

fn check_mutations(spec: &Value, (compiler, scope): (&Compiler, Scope), path: &FieldPath<'_>, errors: &mut Errors) {
    let mutations = path.child("mutations");
    if list(spec, "mutations").is_empty() {
        errors.push(FieldError::required(&mutations, "mutations must contain at least one item"));
    }
    let scope = Scope { patches: true, ..scope };
    for (i, mutation) in list(spec, "mutations").iter().enumerate() {
        let own = mutations.index(i);
        let ty = text(mutation, "patchType");
        let (mine, other, wanted) = match ty {
            "JSONPatch" => ("jsonPatch", "applyConfiguration", patch_type()),
            "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", apply_type()),
            _ => {
                required_of(errors, &own.child("patchType"), ty, &["ApplyConfiguration", "JSONPatch"]);
                continue;
            }
        };
        if at(mutation, mine).is_object() {
            let expression = text(at(mutation, mine), "expression").trim();
            let within = own.child(mine);
            let place = within.child("expression");
            if expression.is_empty() {
                errors.push(FieldError::required(&place, ""));
            } else if let Err(problem) = compiler.compile(expression, scope, &[wanted]) {
                complain(errors, &place, expression, problem);
            }
        } else {
            let detail = format!("must be specified when patchType is {ty}");
            errors.push(FieldError::required(&own.child(mine), detail));
        }
        if at(mutation, other).is_object() {
            let detail = format!("must not be specified when patchType is {ty}");
            errors.push(FieldError::invalid(&own.child(other), format!("{{{other}}}"), detail));
        }
    }
}
