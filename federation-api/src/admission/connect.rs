//! The options of exec, attach, port-forward and proxy as an object, for those who judge connections.
//!
//! Source: k8s.io/api `core/v1` PodExecOptions and its like.

use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::request::query::Query;

/// What a request to connect asks for.
pub(super) fn options(call: &Call) -> Value {
    let below = call.info.subresource.as_str();
    let kind = match (&*call.kind.kind, below) {
        (_, "exec") => "PodExecOptions".to_owned(),
        (_, "attach") => "PodAttachOptions".to_owned(),
        (_, "portforward") => "PodPortForwardOptions".to_owned(),
        (of, _) => format!("{of}ProxyOptions"),
    };
    let mut options = Map::from_iter([("kind".to_owned(), json!(kind)), ("apiVersion".to_owned(), json!("v1"))]);
    fill(&mut options, &call.query, below);
    Value::Object(options)
}

fn fill(options: &mut Map<String, Value>, query: &Query, below: &str) {
    let mut add = |field: &str, value: Value| options.insert(field.to_owned(), value);
    match below {
        "exec" | "attach" => {
            for field in ["stdin", "stdout", "stderr", "tty"] {
                if matches!(query.get(field), Some("1" | "true")) {
                    add(field, true.into());
                }
            }
            if let Some(container) = query.filled("container") {
                add("container", container.into());
            }
            let command: Vec<&str> = query.all("command").collect();
            if !command.is_empty() {
                add("command", json!(command));
            }
        }
        "portforward" => {
            let ports: Vec<i64> =
                query.all("ports").flat_map(|ports| ports.split(',')).filter_map(|p| p.parse().ok()).collect();
            if !ports.is_empty() {
                add("ports", json!(ports));
            }
        }
        _ => {
            if let Some(path) = query.filled("path") {
                add("path", path.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fill;
    use crate::request::query::Query;
    use serde_json::{Map, Value, json};

    /// Protocol: A2
    #[test]
    fn queries_become_options() {
        let read = |query: &str, below: &str| {
            let mut options = Map::new();
            fill(&mut options, &Query::parse(query).expect("a query"), below);
            Value::Object(options)
        };
        assert_eq!(
            read("command=sh&command=-c&tty=true&stdin=0&container=c", "exec"),
            json!({"command": ["sh", "-c"], "tty": true, "container": "c"})
        );
        assert_eq!(read("ports=80,81&ports=x", "portforward"), json!({"ports": [80, 81]}));
        assert_eq!(read("path=/x", "proxy"), json!({"path": "/x"}));
    }
}
