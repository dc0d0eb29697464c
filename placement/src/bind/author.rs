//! May whoever wrote a template, its Placement or an override act on the clusters that they lead to?
//!
//! The write pipeline records authors; without the verb `execute-as` on a cluster nothing is added or updated there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use federation_types::{label, text};
use hub_client::ReconcileError;
use serde_json::{Value, json};

use super::retry;
use crate::render::overrides_for;
use crate::schedule::{Decision, Inputs};
use crate::world::World;

/// How long an answer counts: rights change rarely, and a template is looked at often.
const ANSWER_LASTS: Duration = Duration::from_secs(10);
/// Most answers that are kept; beyond, all are asked for anew.
const ANSWERS_MAX: usize = 10_000;

/// Clusters of `decision` on which an author may not act, with the reason.
pub(super) async fn denied(
    world: &World,
    inputs: &Inputs<'_>,
    decision: &Decision,
) -> Result<BTreeMap<String, String>, ReconcileError> {
    let mut denied = BTreeMap::new();
    for author in authors(world, inputs, decision) {
        for row in decision.rows.iter().filter(|row| !row.withdraw) {
            if !may(world, &author, &row.name).await? {
                denied.insert(row.name.clone(), format!("{} may not execute-as on it", name_of(&author)));
            }
        }
    }
    Ok(denied)
}

/// Everybody who had a hand in what members get; writes of our own components have no author.
fn authors(world: &World, inputs: &Inputs<'_>, decision: &Decision) -> Vec<String> {
    let template = inputs.template.annotations.get(label::AUTHOR).cloned();
    let policy = decision.winner.as_ref().and_then(|w| {
        let same = |p: &&crate::schedule::Policy| p.source == *w;
        inputs.policies.iter().find(same).map(|p| p.author.clone())
    });
    let all = world.overrides(&inputs.template.namespace);
    let meant = overrides_for(inputs.template, &all).unwrap_or_default();
    let overrides = meant.iter().filter_map(|o| o.metadata.annotations.get(label::AUTHOR).cloned());
    let mut authors: Vec<String> =
        template.into_iter().chain(policy).chain(overrides).filter(|a| !a.is_empty()).collect();
    authors.sort();
    authors.dedup();
    authors
}

fn name_of(author: &str) -> String {
    parsed(author).map_or_else(|| author.to_owned(), |user| text::str_at(&user, &["username"]).to_owned())
}

fn parsed(author: &str) -> Option<Value> {
    serde_json::from_str::<Value>(author).ok().filter(Value::is_object)
}

async fn may(world: &World, author: &str, member: &str) -> Result<bool, ReconcileError> {
    let question = (author.to_owned(), member.to_owned());
    if let Some((asked, answer)) = world.rights.lock().get(&question)
        && asked.elapsed() < ANSWER_LASTS
    {
        return Ok(*answer);
    }
    // An annotation that the pipeline did not write names nobody with rights.
    let Some(user) = parsed(author) else { return Ok(false) };
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": user["username"], "uid": user["uid"], "groups": user["groups"],
            "resourceAttributes": {"group": label::GROUP, "version": "*", "resource": "clusters", "name": member, "verb": "execute-as"},
        },
    });
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let answer = world.hub.post(path, &review).await.map_err(retry)?;
    let allowed = text::at(&answer, &["status", "allowed"]).and_then(Value::as_bool) == Some(true);
    let mut rights = world.rights.lock();
    if rights.len() >= ANSWERS_MAX {
        rights.clear();
    }
    rights.insert(question, (Instant::now(), allowed));
    Ok(allowed)
}
