//! Resources → OpenAPI paths and operations.
//!
//! kubectl reads from them whether a kind takes `fieldValidation` and which patches; other clients generate code.

use federation_schema::facts::{Resource, Subresource, TypeId};
use federation_schema::structural::layer::type_name;
use serde_json::{Map, Value, json};

use crate::verb::patch::takes_strategic;

use super::schema::{Dialect, Schemas, camel, capitalised, tag};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const PRODUCES: [&str; 2] = ["application/json", "application/yaml"];
const PRODUCES_LISTS: [&str; 3] = ["application/json", "application/json;stream=watch", "application/yaml"];
const PATCHES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];
const DELETE: &[&str] = &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];
const LIST: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
const DELETE_MANY: &[&str] = &[
    "continue",
    "dryRun",
    "fieldSelector",
    "gracePeriodSeconds",
    "labelSelector",
    "limit",
    "orphanDependents",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
];
const LOG: &[&str] = &[
    "container",
    "follow",
    "insecureSkipTLSVerifyBackend",
    "limitBytes",
    "previous",
    "sinceSeconds",
    "stream",
    "tailLines",
    "timestamps",
];

/// Writes operations in one dialect.
pub(super) struct Paths {
    dialect: Dialect,
    /// Custom kinds have no strategies to patch by, and lists with names of their own.
    custom: bool,
    status: Value,
    delete_options: Value,
    patch: Value,
}

/// What an operation says about itself.
struct Operation<'a> {
    method: &'static str,
    /// `x-kubernetes-action`.
    action: &'static str,
    verb: &'static str,
    suffix: &'a str,
    parameters: &'static [&'static str],
    body: Option<Body>,
    /// Schema of the answer.
    answer: Value,
    codes: &'static [u16],
}

struct Body {
    schema: Value,
    consumes: &'static [&'static str],
    required: bool,
}

/// The kind that operations on a path are about.
struct About<'a> {
    resource: &'a Resource,
    gvk: [&'a str; 3],
    ty: Option<TypeId>,
    /// Name of a subresource, as a word of operation ids.
    sub: String,
}

impl Paths {
    pub(super) fn new(dialect: Dialect, schemas: &mut Schemas<'_>) -> Self {
        let mut meta =
            |name: &str| schemas.reference_named(&format!("{META}.{name}")).expect("meta kinds are in the table");
        let (status, delete_options) = (meta("Status"), meta("DeleteOptions"));
        meta("WatchEvent");
        Self {
            dialect,
            custom: false,
            status,
            delete_options,
            patch: schemas.named_scalar("io.k8s.apimachinery.pkg.apis.meta.v1.Patch"),
        }
    }

    /// As [`Paths::new`], for custom kinds.
    pub(super) fn of_custom(dialect: Dialect, schemas: &mut Schemas<'_>) -> Self {
        Self { custom: true, ..Self::new(dialect, schemas) }
    }

    /// The path items of a resource.
    pub(super) fn of(&self, resource: &Resource, schemas: &mut Schemas<'_>) -> Vec<(String, Value)> {
        let root = super::super::discovery::group_version_path(&resource.group, &resource.version);
        let gvk = [&*resource.group, &*resource.version, &*resource.kind];
        let about = About { resource, gvk, ty: Some(resource.ty), sub: String::new() };
        let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{root}{scope}/{}", resource.plural);
        let mut items = Vec::new();
        items.extend(self.item(&about, &collection, self.collection(&about, schemas)));
        if resource.namespaced && resource.has_verb("list") {
            let all = self.list(&about, schemas, "ForAllNamespaces");
            items.extend(self.item(&about, &format!("{root}/{}", resource.plural), vec![all]));
        }
        let one = format!("{collection}/{{name}}");
        items.extend(self.item(&about, &one, self.one(&about, &resource.verbs, schemas)));
        for sub in &resource.subresources {
            let gvk = [&*sub.group, &*sub.version, &*sub.kind];
            let word = capitalised(&sub.name);
            let about = About { resource, gvk, ty: sub.ty, sub: word };
            let path = format!("{one}/{}", sub.name);
            items.extend(self.item(&about, &path, self.subresource(&about, sub, schemas)));
        }
        items
    }

    fn collection(&self, about: &About<'_>, schemas: &mut Schemas<'_>) -> Vec<Operation<'static>> {
        let mut operations = Vec::new();
        if about.resource.has_verb("list") {
            operations.push(self.list(about, schemas, ""));
        }
        if about.resource.has_verb("create") {
            operations.push(self.create(about, schemas));
        }
        if about.resource.has_verb("deletecollection") {
            let body = Some(Body { schema: self.delete_options.clone(), consumes: &["*/*"], required: false });
            operations.push(Operation {
                method: "delete",
                action: "deletecollection",
                verb: "deleteCollection",
                suffix: "",
                parameters: DELETE_MANY,
                body,
                answer: self.status.clone(),
                codes: &[200],
            });
        }
        operations
    }

    fn list(&self, about: &About<'_>, schemas: &mut Schemas<'_>, suffix: &'static str) -> Operation<'static> {
        let answer = if self.custom {
            let Resource { group, version, list_kind, .. } = about.resource;
            schemas.link(&type_name(group, version, list_kind))
        } else {
            let name = format!("{}List", schemas.facts().ty(about.resource.ty).name);
            schemas.reference_named(&name).unwrap_or_else(|| json!({"type": "object"}))
        };
        Operation {
            method: "get",
            action: "list",
            verb: "list",
            suffix,
            parameters: LIST,
            body: None,
            answer,
            codes: &[200],
        }
    }

    fn create(&self, about: &About<'_>, schemas: &mut Schemas<'_>) -> Operation<'static> {
        let schema = schema_of(about, schemas);
        let body = Some(Body { schema: schema.clone(), consumes: &["*/*"], required: true });
        let codes = &[200, 201, 202];
        Operation {
            method: "post",
            action: "post",
            verb: "create",
            suffix: "",
            parameters: WRITE,
            body,
            answer: schema,
            codes,
        }
    }

    fn one(
        &self,
        about: &About<'_>,
        verbs: &[federation_schema::facts::Text],
        schemas: &mut Schemas<'_>,
    ) -> Vec<Operation<'static>> {
        let schema = schema_of(about, schemas);
        let mut operations = Vec::new();
        for verb in verbs {
            let operation = match &**verb {
                "get" => ("get", "get", "read", &[][..], None, schema.clone(), &[200][..]),
                "update" => {
                    let body = Body { schema: schema.clone(), consumes: &["*/*"], required: true };
                    ("put", "put", "replace", WRITE, Some(body), schema.clone(), &[200, 201][..])
                }
                "patch" => {
                    let body = Body { schema: self.patch.clone(), consumes: self.patches(about), required: true };
                    ("patch", "patch", "patch", PATCH, Some(body), schema.clone(), &[200, 201][..])
                }
                "delete" => {
                    let body = Body { schema: self.delete_options.clone(), consumes: &["*/*"], required: false };
                    ("delete", "delete", "delete", DELETE, Some(body), self.status.clone(), &[200, 202][..])
                }
                _ => continue,
            };
            let (method, action, verb, parameters, body, answer, codes) = operation;
            operations.push(Operation { method, action, verb, suffix: "", parameters, body, answer, codes });
        }
        operations
    }

    /// kubectl believes what stands here.
    fn patches(&self, about: &About<'_>) -> &'static [&'static str] {
        if takes_strategic(&about.resource.group, self.custom) { &PATCHES } else { &PATCHES[..3] }
    }

    fn subresource(&self, about: &About<'_>, sub: &Subresource, schemas: &mut Schemas<'_>) -> Vec<Operation<'static>> {
        let text = json!({"type": "string"});
        if sub.name == "log" || sub.ty.is_none() {
            let methods = sub.verbs.iter().filter_map(|verb| match &**verb {
                "get" => Some("get"),
                "create" => Some("post"),
                "update" => Some("put"),
                "patch" => Some("patch"),
                "delete" => Some("delete"),
                _ => None,
            });
            let (action, verb, parameters) =
                if sub.name == "log" { ("get", "read", LOG) } else { ("connect", "connect", &[][..]) };
            return methods
                .map(|method| {
                    let answer = text.clone();
                    Operation { method, action, verb, suffix: "", parameters, body: None, answer, codes: &[200] }
                })
                .collect();
        }
        let mut operations = self.one(about, &sub.verbs, schemas);
        if sub.verbs.iter().any(|verb| verb == "create") {
            operations.push(self.create(about, schemas));
        }
        operations
    }

    fn item(&self, about: &About<'_>, path: &str, operations: Vec<Operation<'_>>) -> Option<(String, Value)> {
        if operations.is_empty() {
            return None;
        }
        let mut item = Map::new();
        for operation in operations {
            item.insert(operation.method.to_owned(), self.operation(about, operation, path));
        }
        let mut parameters = Vec::new();
        for name in ["name", "namespace"] {
            if path.contains(&format!("{{{name}}}")) {
                parameters.push(self.parameter(name, "path"));
            }
        }
        parameters.push(self.parameter("pretty", "query"));
        item.insert("parameters".to_owned(), parameters.into());
        Some((path.to_owned(), item.into()))
    }

    fn operation(&self, about: &About<'_>, operation: Operation<'_>, path: &str) -> Value {
        let resource = about.resource;
        let scope = if path.contains("{namespace}") { "Namespaced" } else { "" };
        let method = if operation.verb == "connect" { capitalised(operation.method) } else { String::new() };
        let id = format!(
            "{}{}{method}{scope}{}{}{}",
            operation.verb.replace("Collection", ""),
            camel(&resource.group, &resource.version)
                + if operation.verb == "deleteCollection" { "Collection" } else { "" },
            resource.kind,
            about.sub,
            operation.suffix,
        );
        let [group, version, kind] = about.gvk;
        let mut value = json!({
            "operationId": id,
            "tags": [tag(&resource.group, &resource.version)],
            "x-kubernetes-action": operation.action,
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
            "responses": self.responses(&operation),
        });
        let mut parameters: Vec<Value> =
            operation.parameters.iter().map(|name| self.parameter(name, "query")).collect();
        match self.dialect {
            Dialect::V3 => {
                if let Some(body) = operation.body {
                    let content: Map<String, Value> = body
                        .consumes
                        .iter()
                        .map(|media| ((*media).to_owned(), json!({"schema": body.schema})))
                        .collect();
                    value["requestBody"] = json!({"content": content});
                    if body.required {
                        value["requestBody"]["required"] = true.into();
                    }
                }
            }
            Dialect::V2 => {
                let consumes = operation.body.as_ref().map_or(&["*/*"][..], |body| body.consumes);
                value["consumes"] = json!(consumes);
                value["produces"] = json!(produces(&operation));
                value["schemes"] = json!(["https"]);
                if let Some(body) = operation.body {
                    let mut parameter = json!({"in": "body", "name": "body", "schema": body.schema});
                    if body.required {
                        parameter["required"] = true.into();
                    }
                    parameters.insert(0, parameter);
                }
            }
        }
        if !parameters.is_empty() {
            value["parameters"] = parameters.into();
        }
        value
    }

    fn responses(&self, operation: &Operation<'_>) -> Value {
        let mut responses = Map::new();
        for code in operation.codes {
            let description = match code {
                201 => "Created",
                202 => "Accepted",
                _ => "OK",
            };
            let response = match self.dialect {
                Dialect::V2 => json!({"description": description, "schema": operation.answer}),
                Dialect::V3 => {
                    let content: Map<String, Value> = produces(operation)
                        .iter()
                        .map(|media| ((*media).to_owned(), json!({"schema": operation.answer})))
                        .collect();
                    json!({"description": description, "content": content})
                }
            };
            responses.insert(code.to_string(), response);
        }
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
        responses.into()
    }

    fn parameter(&self, name: &str, place: &str) -> Value {
        let kind = match name {
            "allowWatchBookmarks"
            | "follow"
            | "force"
            | "insecureSkipTLSVerifyBackend"
            | "orphanDependents"
            | "previous"
            | "sendInitialEvents"
            | "timestamps"
            | "watch" => "boolean",
            "gracePeriodSeconds" | "limit" | "limitBytes" | "sinceSeconds" | "tailLines" | "timeoutSeconds" => {
                "integer"
            }
            _ => "string",
        };
        let mut value = match self.dialect {
            Dialect::V2 => json!({"name": name, "in": place, "type": kind, "uniqueItems": true}),
            Dialect::V3 => json!({"name": name, "in": place, "schema": {"type": kind, "uniqueItems": true}}),
        };
        if place == "path" {
            value["required"] = true.into();
        }
        value
    }
}

fn produces(operation: &Operation<'_>) -> &'static [&'static str] {
    match (operation.action, operation.verb) {
        ("list", _) => &PRODUCES_LISTS,
        ("connect", _) => &["*/*"],
        _ if operation.parameters == LOG => &["text/plain"],
        _ => &PRODUCES,
    }
}

fn schema_of(about: &About<'_>, schemas: &mut Schemas<'_>) -> Value {
    about.ty.map_or_else(|| json!({"type": "string"}), |ty| schemas.reference(ty))
}
