//! Reading an object for its cells: paths, ages, lists cut short, labels as text.

use federation_schema::decode::time::Instant;
use serde_json::Value;

pub(super) const NONE: &str = "<none>";
pub(super) const UNSET: &str = "<unset>";
pub(super) const UNKNOWN: &str = "<unknown>";

/// An object and the time at which it is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) object: &'a Value,
    pub(super) now: Instant,
}

impl<'a> Row<'a> {
    /// The value at a path of field names.
    pub(super) fn at(&self, path: &str) -> &'a Value {
        at(self.object, path)
    }

    /// The text at a path; empty where there is none.
    pub(super) fn text(&self, path: &str) -> &'a str {
        text(self.object, path)
    }

    /// The text at a path, or what stands for none.
    pub(super) fn text_or(&self, path: &str, otherwise: &'a str) -> &'a str {
        self.at(path).as_str().unwrap_or(otherwise)
    }

    pub(super) fn int(&self, path: &str) -> i64 {
        self.at(path).as_i64().unwrap_or(0)
    }

    pub(super) fn list(&self, path: &str) -> &'a [Value] {
        list(self.object, path)
    }

    pub(super) fn flag(&self, path: &str) -> bool {
        self.at(path) == &Value::Bool(true)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        !self.at(path).is_null()
    }

    pub(super) fn name(&self) -> Value {
        self.text("metadata.name").into()
    }

    pub(super) fn age(&self) -> Value {
        self.since("metadata.creationTimestamp").into()
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.has("metadata.deletionTimestamp")
    }

    /// How long ago a time was; `<unknown>` where there is none.
    pub(super) fn since(&self, path: &str) -> String {
        self.since_value(self.at(path))
    }

    pub(super) fn since_value(&self, time: &Value) -> String {
        instant(time).map_or_else(|| UNKNOWN.to_owned(), |time| human(seconds_between(time, self.now)))
    }

    /// The condition of that type among those at a path.
    pub(super) fn condition(&self, path: &str, kind: &str) -> Option<&'a Value> {
        self.list(path).iter().find(|condition| text(condition, "type") == kind)
    }

    pub(super) fn condition_holds(&self, kind: &str) -> bool {
        self.condition("status.conditions", kind).is_some_and(|condition| text(condition, "status") == "True")
    }

    /// Names and images of the containers at a path.
    pub(super) fn containers(&self, path: &str) -> [Value; 2] {
        let containers = self.list(path);
        ["name", "image"].map(|key| join(containers.iter().map(|one| text(one, key)), ",").into())
    }
}

pub(super) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, key| value.get(key).unwrap_or(&Value::Null))
}

pub(super) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or("")
}

pub(super) fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// A number or a text (int-or-string, a quantity) as text; empty where there is none.
pub(super) fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

pub(super) fn join<'a>(words: impl IntoIterator<Item = &'a str>, separator: &str) -> String {
    words.into_iter().collect::<Vec<_>>().join(separator)
}

pub(super) fn or_none(text: &str) -> &str {
    if text.is_empty() { NONE } else { text }
}

pub(super) fn true_false(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// The first `shown` words, then how many more there are.
pub(super) fn cut(words: &[String], shown: usize) -> String {
    let list = words.iter().take(shown).cloned().collect::<Vec<_>>().join(",");
    match words.len().checked_sub(shown) {
        Some(more) if more > 0 => format!("{list} + {more} more..."),
        _ if list.is_empty() => UNSET.to_owned(),
        _ => list,
    }
}

/// `a=b,c=d`, or `<none>`.
pub(super) fn labels(map: &Value) -> String {
    let words: Vec<String> =
        map.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", scalar(value))).collect();
    if words.is_empty() { NONE.to_owned() } else { words.join(",") }
}

/// A label selector as `kubectl -l` takes it; empty selects everything.
pub(super) fn selector(selector: &Value) -> String {
    let mut terms: Vec<(String, String)> = Vec::new();
    for (key, value) in at(selector, "matchLabels").as_object().into_iter().flatten() {
        terms.push((key.clone(), format!("{key}={}", scalar(value))));
    }
    for expression in list(selector, "matchExpressions") {
        let key = text(expression, "key");
        let mut values: Vec<&str> = list(expression, "values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let term = match text(expression, "operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return "<error>".to_owned(),
        };
        terms.push((key.to_owned(), term));
    }
    terms.sort_by(|a, b| a.0.cmp(&b.0));
    terms.into_iter().map(|(_, term)| term).collect::<Vec<_>>().join(",")
}

/// A label selector, or `<none>` where it selects everything.
pub(super) fn selector_or_none(value: &Value) -> String {
    or_none(&selector(value)).to_owned()
}

pub(super) fn instant(time: &Value) -> Option<Instant> {
    time.as_str().and_then(Instant::parse).filter(|time| !time.is_go_zero())
}

/// Whole seconds between two times, as Go's `Duration.Seconds()` truncates them.
pub(super) fn seconds_between(from: Instant, to: Instant) -> i64 {
    let whole = to.seconds.saturating_sub(from.seconds);
    match (whole > 0 && to.nanos < from.nanos, whole < 0 && to.nanos > from.nanos) {
        (true, _) => whole - 1,
        (_, true) => whole + 1,
        _ => whole,
    }
}

/// A duration in two or three significant figures.
///
/// Source: `k8s.io/apimachinery` pkg/util/duration.HumanDuration.
pub(super) fn human(seconds: i64) -> String {
    let pair = |big: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit}{small}{small_unit}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match () {
        () if seconds < -1 => "<invalid>".to_owned(),
        () if seconds < 0 => "0s".to_owned(),
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 24 * 8 => pair(hours / 24, "d", hours % 24, "h"),
        () if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        () if hours < 24 * 365 * 8 => pair(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        () => format!("{}y", hours / 24 / 365),
    }
}

pub(super) fn default_cells(row: &Row<'_>) -> Vec<Value> {
    vec![row.name(), row.text("metadata.creationTimestamp").into()]
}
