//! What two servers cannot have in common: times, uids, revisions, and the values that only the real one fills in.
//! Nothing else is taken out, and of managed fields only who owns values that our object does not have.

use serde_json::{Map, Value};

/// The seconds at which the test let the clock pass: times are compared by which of them they lie between.
#[derive(Debug, Default)]
pub struct Epochs(Vec<u64>);

impl Epochs {
    pub fn begin(&mut self, second: u64) {
        self.0.push(second);
    }

    fn of(&self, time: &str) -> usize {
        let second = seconds(time);
        self.0.iter().filter(|begun| **begun <= second).count()
    }
}

/// Seconds since 1970 of `2026-01-02T03:04:05Z`; 0 for anything else.
fn seconds(time: &str) -> u64 {
    let number = |range: std::ops::Range<usize>| time.get(range).and_then(|text| text.parse::<u64>().ok());
    let parts = (number(0..4), number(5..7), number(8..10), number(11..13), number(14..16), number(17..19));
    let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)) = parts else { return 0 };
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day;
    let since_1970 = days.saturating_sub(719_469);
    since_1970 * 86_400 + hour * 3600 + minute * 60 + second
}

/// An object without what is its server's own.
pub fn object(mut object: Value, epochs: &Epochs) -> Value {
    let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return object };
    for field in ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"] {
        if let Some(value) = meta.get_mut(field) {
            *value = Value::from(field);
        }
    }
    if let Some(Value::Array(entries)) = meta.get_mut("managedFields") {
        for entry in entries.iter_mut() {
            if let Some(time) = entry.get_mut("time") {
                *time = Value::from(epochs.of(time.as_str().unwrap_or("")));
            }
        }
        // Two requests of one test may fall into two seconds on one server and into one on the other.
        entries.sort_by_key(order);
    }
    object
}

fn order(entry: &Value) -> (String, u64, String, String, String) {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
    let epoch = entry.get("time").and_then(Value::as_u64).unwrap_or(0);
    (text("operation"), epoch, text("manager"), text("apiVersion"), text("subresource"))
}

/// The texts of all `fieldsV1` of an answer, sorted.
pub fn fields(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    let mut found: Vec<String> = text.split("\"fieldsV1\":").skip(1).map(|rest| first_value(rest).to_owned()).collect();
    found.sort_unstable();
    found
}

/// The object that a text begins with.
fn first_value(text: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return &text[..=at];
                }
            }
            _ => {}
        }
    }
    text
}

/// An object without its status and without who owns it.
pub fn without_status(object: &Value) -> Value {
    let mut object = object.clone();
    let Some(map) = object.as_object_mut() else { return object };
    map.remove("status");
    let entries = map.get_mut("metadata").and_then(|meta| meta.get_mut("managedFields")).and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten() {
        if let Some(Value::Object(fields)) = entry.get_mut("fieldsV1") {
            fields.remove("f:status");
        }
    }
    object
}

/// A Status without what is its server's own; causes sorted, as their order is that of a Go map.
pub fn refusal(status: &mut Value, own: &[(&str, &str)]) {
    plain(status, own);
    if let Some(Value::Array(causes)) = status.pointer_mut("/details/causes") {
        causes.sort_by_key(Value::to_string);
    }
}

fn plain(status: &mut Value, own: &[(&str, &str)]) {
    match status {
        Value::String(text) => *text = unordered(&without_template(&without_scheme(&without_times(text, own)))),
        Value::Array(list) => list.iter_mut().for_each(|item| plain(item, own)),
        Value::Object(map) => map.values_mut().for_each(|value| plain(value, own)),
        _ => {}
    }
}

/// A message without the source line by which Go names a scheme: it depends on where the program was built.
fn without_scheme(text: &str) -> String {
    let start = " in scheme \"";
    match text.split_once(start) {
        Some((head, tail)) => {
            let after = tail.split_once('"').map_or("", |(_, after)| after);
            format!("{head} in a scheme{after}")
        }
        None => text.to_owned(),
    }
}

/// A message without the pod template that it quotes: Go prints its internal struct, fields without names for JSON.
fn without_template(text: &str) -> String {
    let start = "Invalid value: {\"";
    match text.split_once(start).filter(|(head, _)| head.is_empty() || head.contains("spec.template")) {
        Some((head, tail)) => {
            let (_, after) = tail.rsplit_once("}: ").unwrap_or(("", tail));
            format!("{head}Invalid value: TEMPLATE: {after}")
        }
        None => text.to_owned(),
    }
}

/// A message with the object that it quotes in one order: Go prints structs in the order of their declaration.
fn unordered(text: &str) -> String {
    let start = "Invalid value: \"";
    let Some((head, quoted)) = text.split_once(start).filter(|(_, quoted)| quoted.starts_with('{')) else {
        return text.to_owned();
    };
    let Some((quoted, tail)) = quoted.rsplit_once("}\": ") else { return text.to_owned() };
    let quoted: Result<String, _> = serde_json::from_str(&format!("\"{quoted}}}\""));
    let Some(mut value) = quoted.ok().and_then(|json| serde_json::from_str::<Value>(&json).ok()) else {
        return text.to_owned();
    };
    value = object(value, &Epochs::default());
    if let Some(map) = value.as_object_mut() {
        map.remove("status");
    }
    format!("{head}{start}{value}\": {tail}")
}

pub fn warnings(list: &[String]) -> Vec<String> {
    list.iter().map(|text| without_times(text, &[])).collect()
}

fn without_times(text: &str, own: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (uid, word) in own.iter().filter(|(uid, _)| !uid.is_empty()) {
        text = text.replace(uid, word);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("20") {
        let is_time = rest.get(at..at + 20).is_some_and(|time| {
            let bytes = time.as_bytes();
            bytes[4] == b'-' && bytes[10] == b'T' && bytes[19] == b'Z' && bytes[0..4].iter().all(u8::is_ascii_digit)
        });
        let (end, word) = if is_time { (at + 20, "TIME") } else { (at + 2, "20") };
        out.push_str(&rest[..at]);
        out.push_str(word);
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// The real server's object without values that it fills into ours (`full`) and ours does not have.
pub fn without_defaults(mut peer: Value, ours: &Value, full: &Value) -> Value {
    prune(&mut peer, ours, full);
    let entries = peer.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten() {
        if let Some(Value::Object(fields)) = entry.get_mut("fieldsV1") {
            disown(fields, ours, full);
        }
    }
    peer
}

fn prune(peer: &mut Value, ours: &Value, full: &Value) {
    match (peer, ours, full) {
        (Value::Object(peer), Value::Object(ours), Value::Object(full)) => {
            peer.retain(|name, value| ours.contains_key(name) || full.get(name) != Some(value));
            for (name, value) in peer {
                if let (Some(ours), Some(full)) = (ours.get(name), full.get(name)) {
                    prune(value, ours, full);
                }
            }
        }
        (Value::Array(peer), Value::Array(ours), Value::Array(full)) if peer.len() == ours.len() => {
            for ((peer, ours), full) in peer.iter_mut().zip(ours).zip(full) {
                prune(peer, ours, full);
            }
        }
        _ => {}
    }
}

/// Takes out who owns what only the real server has.
fn disown(fields: &mut Map<String, Value>, ours: &Value, full: &Value) {
    fields.retain(|key, below| {
        let Some((ours, full)) = step(key, ours).zip_or(step(key, full)) else { return true };
        let Some(ours) = ours else { return full.is_none() };
        let (Some(full), Value::Object(map)) = (full, below) else { return true };
        let had = !map.is_empty();
        disown(map, ours, full);
        !(had && map.is_empty())
    });
}

/// What a step of a path leads to; outer none for steps that values cannot follow.
struct Step<'v>(Option<Option<&'v Value>>);

impl<'v> Step<'v> {
    fn zip_or(self, other: Step<'v>) -> Option<(Option<&'v Value>, Option<&'v Value>)> {
        self.0.zip(other.0)
    }
}

fn step<'v>(key: &str, at: &'v Value) -> Step<'v> {
    if let Some(name) = key.strip_prefix("f:") {
        return Step(Some(at.get(name)));
    }
    let Some(text) = key.strip_prefix("k:") else { return Step(None) };
    let Ok(Value::Object(keys)) = serde_json::from_str(text) else { return Step(None) };
    let items = at.as_array().map_or(&[][..], Vec::as_slice);
    Step(Some(items.iter().find(|item| {
        let has = |(name, value): (&String, &Value)| item.get(name).is_none_or(|own| own == value);
        keys.iter().all(has)
    })))
}

/// The places where two values differ, one a line.
pub fn diff(ours: &Value, peer: &Value) -> String {
    let mut lines = Vec::new();
    collect(ours, peer, "", &mut lines);
    let more = lines.len().saturating_sub(12);
    lines.truncate(12);
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    lines.join("\n")
}

fn collect(ours: &Value, peer: &Value, path: &str, lines: &mut Vec<String>) {
    match (ours, peer) {
        (Value::Object(a), Value::Object(b)) => {
            let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
            for name in names {
                let path = format!("{path}/{name}");
                match (a.get(name), b.get(name)) {
                    (Some(a), Some(b)) => collect(a, b, &path, lines),
                    (Some(a), None) => lines.push(format!("{path}: {a} (real: absent)")),
                    (None, Some(b)) => lines.push(format!("{path}: absent (real: {b})")),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                collect(a, b, &format!("{path}/{i}"), lines);
            }
        }
        (a, b) if a != b => lines.push(format!("{path}: {a}\n    real: {b}")),
        _ => {}
    }
}
