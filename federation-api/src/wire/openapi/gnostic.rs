//! OpenAPI v2 in gnostic's protobuf form, which kubectl and Argo CD ask for.
//!
//! Only what our documents contain is known here. Source: `google/gnostic-models` openapiv2/OpenAPIv2.proto.

use serde_json::{Map, Value};

use super::V2Writer;

/// Writes `openapi.v2.Document`.
#[derive(Default)]
pub(super) struct Writer {
    head: Message,
    paths: Message,
    definitions: Message,
}

/// A message that is being written.
#[derive(Default)]
struct Message {
    bytes: Vec<u8>,
}

impl V2Writer for Writer {
    fn begin(&mut self, info: &Value) {
        self.head.text(1, "2.0");
        let mut message = Message::default();
        message.text(1, text(info, "title"));
        message.text(2, text(info, "version"));
        self.head.message(2, &message);
    }

    fn path(&mut self, path: &str, item: &Value) {
        // Paths.path = 2, NamedPathItem{name, value}
        self.paths.named(2, path, &path_item(item));
    }

    fn definition(&mut self, name: &str, definition: &Value) {
        self.definitions.named(1, name, &schema(definition));
    }

    fn finish(self) -> Vec<u8> {
        let mut document = self.head;
        document.message(8, &self.paths);
        document.message(9, &self.definitions);
        document.message(12, &requirement());
        document.message(13, &security());
        document.bytes
    }
}

/// `SecurityRequirement{BearerToken: []}`
fn requirement() -> Message {
    let mut message = Message::default();
    message.named(1, "BearerToken", &Message::default());
    message
}

/// `SecurityDefinitions{BearerToken: ApiKeySecurity}`
fn security() -> Message {
    let mut key = Message::default();
    key.text(1, "apiKey");
    key.text(2, "authorization");
    key.text(3, "header");
    let mut item = Message::default();
    item.message(2, &key);
    let mut message = Message::default();
    message.named(1, "BearerToken", &item);
    message
}

fn path_item(item: &Value) -> Message {
    let mut message = Message::default();
    for (tag, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(value) = item.get(method) {
            message.message(tag, &operation(value));
        }
    }
    for value in list(item, "parameters") {
        message.message(9, &parameter(value));
    }
    message
}

fn operation(operation: &Value) -> Message {
    let mut message = Message::default();
    message.texts(1, operation, "tags");
    message.text(5, text(operation, "operationId"));
    message.texts(6, operation, "produces");
    message.texts(7, operation, "consumes");
    for value in list(operation, "parameters") {
        message.message(8, &parameter(value));
    }
    let mut responses = Message::default();
    for (code, response) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
        let mut inner = Message::default();
        inner.text(1, text(response, "description"));
        if let Some(value) = response.get("schema") {
            let mut item = Message::default();
            item.message(1, &schema(value));
            inner.message(2, &item);
        }
        let mut value = Message::default();
        value.message(1, &inner);
        responses.named(1, code, &value);
    }
    message.message(9, &responses);
    message.texts(10, operation, "schemes");
    message.extensions(13, operation);
    message
}

/// `ParametersItem{parameter: Parameter{body | non-body}}`
fn parameter(value: &Value) -> Message {
    let place = text(value, "in");
    let mut parameter = Message::default();
    if place == "body" {
        let mut body = Message::default();
        body.text(2, "body");
        body.text(3, "body");
        body.flag(4, value, "required");
        if let Some(inner) = value.get("schema") {
            body.message(5, &schema(inner));
        }
        parameter.message(1, &body);
    } else {
        // The two kinds number their fields alike up to `name`, then the query has one more.
        let (kind, shift) = if place == "path" { (4, 0) } else { (3, 1) };
        let mut inner = Message::default();
        inner.flag(1, value, "required");
        inner.text(2, place);
        inner.text(4, text(value, "name"));
        inner.text(5 + shift, text(value, "type"));
        inner.flag(19 + shift, value, "uniqueItems");
        let mut non_body = Message::default();
        non_body.message(kind, &inner);
        parameter.message(2, &non_body);
    }
    let mut item = Message::default();
    item.message(1, &parameter);
    item
}

fn schema(value: &Value) -> Message {
    let mut message = Message::default();
    message.text(1, text(value, "$ref"));
    message.text(2, text(value, "format"));
    message.texts(19, value, "required");
    for one in list(value, "enum") {
        message.message(20, &any(one));
    }
    if let Some(values) = value.get("additionalProperties") {
        let mut item = Message::default();
        item.message(1, &schema(values));
        message.message(21, &item);
    }
    if let Some(kind) = value.get("type").and_then(Value::as_str) {
        let mut item = Message::default();
        item.text(1, kind);
        message.message(22, &item);
    }
    if let Some(items) = value.get("items") {
        let mut item = Message::default();
        item.message(1, &schema(items));
        message.message(23, &item);
    }
    if let Some(properties) = value.get("properties").and_then(Value::as_object) {
        let mut all = Message::default();
        for (name, property) in properties {
            all.named(1, name, &schema(property));
        }
        message.message(25, &all);
    }
    message.extensions(31, value);
    message
}

/// `Any{yaml}`: JSON is YAML.
fn any(value: &Value) -> Message {
    let mut message = Message::default();
    message.text(2, &format!("{value}\n"));
    message
}

impl Message {
    fn text(&mut self, tag: u32, text: &str) {
        if !text.is_empty() {
            self.field(tag, text.as_bytes());
        }
    }

    fn texts(&mut self, tag: u32, value: &Value, key: &str) {
        for text in list(value, key).filter_map(Value::as_str) {
            self.field(tag, text.as_bytes());
        }
    }

    fn flag(&mut self, tag: u32, value: &Value, key: &str) {
        if value.get(key) == Some(&Value::Bool(true)) {
            self.varint(u64::from(tag) << 3);
            self.bytes.push(1);
        }
    }

    fn message(&mut self, tag: u32, message: &Message) {
        self.field(tag, &message.bytes);
    }

    /// `Named…{name: 1, value: 2}`
    fn named(&mut self, tag: u32, name: &str, value: &Message) {
        let mut entry = Message::default();
        entry.text(1, name);
        entry.message(2, value);
        self.message(tag, &entry);
    }

    fn extensions(&mut self, tag: u32, value: &Value) {
        let extensions = value.as_object().into_iter().flat_map(Map::iter).filter(|(key, _)| key.starts_with("x-"));
        for (key, extension) in extensions {
            self.named(tag, key, &any(extension));
        }
    }

    fn field(&mut self, tag: u32, bytes: &[u8]) {
        self.varint(u64::from(tag) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
            value >>= 7;
        }
        self.bytes.push(u8::try_from(value).expect("seven bits"));
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}
