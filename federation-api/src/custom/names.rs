//! Which of the names that a definition asks for are its own: in a group, nobody shares one.
//!
//! Pure. Source: k8s.io/apiextensions-apiserver `pkg/controller/status/naming_controller.go`.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

/// Names that the other definitions of a group hold.
#[derive(Debug, Default)]
pub(crate) struct Taken<'a> {
    resources: HashSet<&'a str>,
    kinds: HashSet<&'a str>,
}

/// What became of the names that were asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) accepted: Value,
    /// Reason and message of the conflict; the last one counts.
    pub(crate) conflict: Option<(&'static str, String)>,
}

impl<'a> Taken<'a> {
    /// Adds the `acceptedNames` of a definition.
    pub(crate) fn add(&mut self, accepted: &'a Value) {
        self.resources.extend(["plural", "singular"].map(|key| text(accepted, key)));
        self.resources.extend(texts(accepted, "shortNames"));
        self.kinds.extend(["kind", "listKind"].map(|key| text(accepted, key)));
    }
}

/// Gives a definition the names that are free or its own already.
pub(crate) fn accept(wanted: &Value, accepted: &Value, taken: &Taken<'_>) -> Outcome {
    let mut new = accepted.as_object().cloned().unwrap_or_else(Map::new);
    let mut conflict = None;
    let mut one = |key: &str, used: &HashSet<&str>, reason: &'static str| {
        let (asked, own) = (text(wanted, key), text(accepted, key));
        if asked != own && used.contains(asked) {
            conflict = Some((reason, in_use(asked)));
        } else {
            new.insert(key.to_owned(), asked.into());
        }
    };
    one("plural", &taken.resources, "PluralConflict");
    one("singular", &taken.resources, "SingularConflict");
    let own: HashSet<&str> = texts(accepted, "shortNames").collect();
    let used = texts(wanted, "shortNames").filter(|name| !own.contains(name) && taken.resources.contains(name));
    let used: Vec<String> = used.map(in_use).collect();
    match used.as_slice() {
        [] => put(&mut new, "shortNames", wanted.get("shortNames")),
        [only] => conflict = Some(("ShortNamesConflict", only.clone())),
        many => conflict = Some(("ShortNamesConflict", format!("[{}]", many.join(", ")))),
    }
    let mut one = |key: &str, reason: &'static str| {
        let (asked, own) = (text(wanted, key), text(accepted, key));
        if asked != own && taken.kinds.contains(asked) {
            conflict = Some((reason, in_use(asked)));
        } else {
            new.insert(key.to_owned(), asked.into());
        }
    };
    one("kind", "KindConflict");
    one("listKind", "ListKindConflict");
    put(&mut new, "categories", wanted.get("categories"));
    Outcome { accepted: json!(new), conflict }
}

fn put(names: &mut Map<String, Value>, key: &str, list: Option<&Value>) {
    match list.filter(|list| list.as_array().is_some_and(|list| !list.is_empty())) {
        Some(list) => names.insert(key.to_owned(), list.clone()),
        None => names.remove(key),
    };
}

fn in_use(name: &str) -> String {
    format!("{name:?} is already in use")
}

fn text<'v>(names: &'v Value, key: &str) -> &'v str {
    names.get(key).and_then(Value::as_str).unwrap_or("")
}

fn texts<'v>(names: &'v Value, key: &str) -> impl Iterator<Item = &'v str> {
    names.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::{Taken, accept};
    use serde_json::{Value, json};

    fn names(plural: &str, kind: &str, short: &[&str]) -> Value {
        let mut names = json!({
            "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"),
        });
        if !short.is_empty() {
            names["shortNames"] = json!(short);
        }
        names
    }

    /// Protocol: R2
    #[test]
    fn a_name_belongs_to_one_definition() {
        let other = names("alphas", "Alpha", &["al"]);
        let mut taken = Taken::default();
        taken.add(&other);
        let fresh = json!({"plural": "", "kind": ""});
        /// Names, those accepted so far, and the reason and message of the refusal.
        type Case = (Value, Value, Option<(&'static str, &'static str)>);
        let cases: [Case; 7] = [
            (names("betas", "Beta", &[]), fresh.clone(), None),
            (names("alphas", "Beta", &[]), fresh.clone(), Some(("PluralConflict", "\"alphas\" is already in use"))),
            (
                names("betas", "Alpha", &[]),
                fresh.clone(),
                Some(("ListKindConflict", "\"AlphaList\" is already in use")),
            ),
            (names("betas", "Beta", &["al"]), fresh.clone(), Some(("ShortNamesConflict", "\"al\" is already in use"))),
            (
                names("betas", "Beta", &["al", "alphas"]),
                fresh.clone(),
                Some(("ShortNamesConflict", "[\"al\" is already in use, \"alphas\" is already in use]")),
            ),
            (names("alphas", "Alpha", &["al"]), other.clone(), None),
            (names("betas", "AlphaList", &[]), fresh, Some(("KindConflict", "\"AlphaList\" is already in use"))),
        ];
        for (wanted, accepted, expected) in cases {
            let outcome = accept(&wanted, &accepted, &taken);
            let conflict = outcome.conflict.as_ref().map(|(reason, message)| (*reason, message.as_str()));
            assert_eq!(conflict, expected, "{wanted}");
            if expected.is_none() {
                assert_eq!(outcome.accepted, wanted);
            }
        }
    }
}
