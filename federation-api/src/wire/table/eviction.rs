//! Cells of evictions and requests for them.

use serde_json::Value;

use super::row::{Row, UNKNOWN, UNSET, at, cut, human, instant, seconds_between, text};

pub(super) fn request(row: &Row<'_>) -> Vec<Value> {
    let [target, kind] = target(row);
    vec![
        row.name(),
        target,
        kind,
        status(row).into(),
        row.text("spec.requester").into(),
        row.text("spec.intent").into(),
        row.age(),
    ]
}

pub(super) fn eviction(row: &Row<'_>) -> Vec<Value> {
    let [target, kind] = target(row);
    let responders = row.list("status.targetResponders");
    let in_state = |states: &[&str]| responders.iter().rfind(|one| states.contains(&text(one, "state")));
    let ended = ["Canceled", "Interrupted", "Completed"];
    let active = in_state(&["Active"]).or_else(|| in_state(&ended));
    let begun = responders.iter().filter(|one| text(one, "state") == "Active" || ended.contains(&text(one, "state")));
    let name = active.map_or(UNSET, |one| text(one, "name"));
    let counted = format!("{name} ({}/{})", begun.count(), responders.len());
    let [progress, finish, heartbeat, message] = active.map_or_else(unset, |one| progress(row, one));
    vec![
        row.name(),
        target,
        kind,
        status(row).into(),
        counted.into(),
        progress.into(),
        finish.into(),
        requesters(row).into(),
        row.age(),
        heartbeat.into(),
        message.into(),
    ]
}

fn unset() -> [String; 4] {
    [UNSET, UNKNOWN, UNSET, UNSET].map(str::to_owned)
}

/// What the active responder reports: status, expected end, heartbeat, message.
fn progress(row: &Row<'_>, active: &Value) -> [String; 4] {
    let (name, state) = (text(active, "name"), text(active, "state"));
    let Some(responder) = row.list("status.responders").iter().find(|one| text(one, "name") == name) else {
        return unset();
    };
    let [_, mut finish, mut heartbeat, mut message] = unset();
    let mut progress = state.to_owned();
    let ago = |key: &str| row.since_value(at(responder, key));
    match state {
        "Active" if !at(responder, "startTime").is_null() => {
            progress = format!("Started ({} ago)", ago("startTime"));
            if let Some(expected) = instant(at(responder, "expectedCompletionTime")) {
                finish = match expected > row.now {
                    true => format!("in {}", human(seconds_between(row.now, expected))),
                    false => format!("{} ago", human(seconds_between(expected, row.now))),
                };
            }
        }
        "Completed" if !at(responder, "completionTime").is_null() => {
            progress = format!("{state} ({} ago)", ago("completionTime"));
            "-".clone_into(&mut finish);
        }
        "Canceled" | "Interrupted" | "Completed" => "-".clone_into(&mut finish),
        _ => {}
    }
    if !at(responder, "heartbeatTime").is_null() {
        heartbeat = format!("{} ago", ago("heartbeatTime"));
    }
    if !text(responder, "message").trim().is_empty() {
        text(responder, "message").trim().clone_into(&mut message);
    }
    [progress, finish, heartbeat, message]
}

fn target(row: &Row<'_>) -> [Value; 2] {
    match row.has("spec.target.pod") {
        true => [row.text("spec.target.pod.name").into(), "Pod".into()],
        false => [UNSET.into(), UNSET.into()],
    }
}

fn status(row: &Row<'_>) -> String {
    for kind in ["TargetEvicted", "Failed"] {
        if let Some(condition) = row.condition("status.conditions", kind).filter(|_| row.condition_holds(kind)) {
            return format!("{kind} ({})", text(condition, "reason"));
        }
    }
    if row.int("status.observedGeneration") > 0 { "Progressing".to_owned() } else { "Pending".to_owned() }
}

fn requesters(row: &Row<'_>) -> String {
    let all = row.list("status.requesters");
    let standing = all.iter().filter(|one| text(one, "intent") != "Withdrawn");
    let mut names: Vec<String> = standing.map(|one| text(one, "name").to_owned()).collect();
    names.sort_unstable();
    match (names.is_empty(), all.is_empty()) {
        (false, _) => cut(&names, 1),
        (true, false) => "<withdrawn>".to_owned(),
        (true, true) => "<none>".to_owned(),
    }
}
