//! Pure: what to do with one copy of one template in one member.
//!
//! Never deletes but what a row withdraws and what is provably ours; what is unknown is looked at first.

use federation_types::binding::{BindingCluster, BindingClusterStatus, Phase};

use super::live::{Live, Seen};

/// Everything that the next step of one copy depends on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The binding's row; `None` means hold.
    pub row: Option<&'a BindingCluster>,
    /// What was recorded of the copy.
    pub recorded: Option<&'a BindingClusterStatus>,
    pub seen: &'a Seen,
    /// Hash of the manifest, or why there is none.
    pub manifest: Result<&'a str, &'a str>,
    pub hub_uid: &'a str,
    pub template_uid: &'a str,
    pub epoch: u64,
    /// `Fail`, `Adopt`, `Overwrite`; empty means `Fail`.
    pub conflict: &'a str,
    /// `Delete`, `Orphan`; empty means `Delete`.
    pub on_delete: &'a str,
    pub suspended: bool,
    /// The copy ran to its end there; it is not started anew when the member forgets it.
    pub finished: bool,
}

/// The next step of one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Leave everything as it is; the row says nothing new.
    Hold,
    /// Read the object in the member, then decide again.
    Look,
    /// Write the manifest; `uid` is empty where nothing of ours is there.
    Apply { uid: String, resource_version: String, force: bool },
    /// It is as it shall be.
    Settled { uid: String },
    /// Delete this very object.
    Delete { uid: String },
    /// Leave the object and take our marks off.
    Release { uid: String },
    /// Nothing of ours is there any more.
    Acknowledge(&'static str),
    /// Nothing can be done until something changes.
    Stop(Phase, String),
    /// Something else has to be over first.
    Await(String),
}

/// Decides the next step.
#[must_use]
pub fn plan(inputs: &Inputs<'_>) -> Action {
    let Some(row) = inputs.row else { return Action::Hold };
    if inputs.suspended || row.hold {
        return Action::Hold;
    }
    if row.withdraw { withdraw(inputs) } else { write(inputs) }
}

fn withdraw(inputs: &Inputs<'_>) -> Action {
    match inputs.seen {
        // An absence in a watch is no proof: only the object's own GET is.
        Seen::Unknown | Seen::NotOurs => Action::Look,
        Seen::Absent => Action::Acknowledge(""),
        // The labels are how we know ours: without them there is nothing that we may touch.
        Seen::There(live) if !is_ours(inputs, live) => Action::Acknowledge("not ours, left alone"),
        Seen::There(live) if live.epoch > inputs.epoch => later(live, inputs.epoch),
        Seen::There(live) if inputs.on_delete == "Orphan" => Action::Release { uid: live.uid.clone() },
        Seen::There(live) if live.deleting => Action::Await("is being deleted there".to_owned()),
        Seen::There(live) => Action::Delete { uid: live.uid.clone() },
    }
}

fn write(inputs: &Inputs<'_>) -> Action {
    let hash = match inputs.manifest {
        Ok(hash) => hash,
        Err(why) => return Action::Stop(Phase::Failed, why.to_owned()),
    };
    match inputs.seen {
        Seen::Unknown => Action::Look,
        Seen::NotOurs if inputs.finished => Action::Settled { uid: recorded_uid(inputs) },
        // Not ours by label: a foreign object may bear the name.
        Seen::NotOurs => Action::Look,
        Seen::Absent if inputs.finished => Action::Settled { uid: recorded_uid(inputs) },
        Seen::Absent => create(),
        Seen::There(live) if live.deleting => Action::Await("an older copy is being deleted there".to_owned()),
        Seen::There(live) if is_ours(inputs, live) => update(inputs, live, hash),
        Seen::There(live) if live.hub == inputs.hub_uid => {
            Action::Await("the copy of an earlier template of this name is still there".to_owned())
        }
        Seen::There(live) => foreign(inputs, live),
    }
}

fn create() -> Action {
    // Nothing is there, so there is nobody to take a field from.
    Action::Apply { uid: String::new(), resource_version: String::new(), force: true }
}

fn update(inputs: &Inputs<'_>, live: &Live, hash: &str) -> Action {
    if live.epoch > inputs.epoch {
        return later(live, inputs.epoch);
    }
    let baseline = inputs.recorded.filter(|r| r.applied_hash == hash).map_or("", |r| r.owned_hash.as_str());
    let drifted = !baseline.is_empty() && baseline != live.owned;
    if live.hash == hash && !drifted {
        return Action::Settled { uid: live.uid.clone() };
    }
    Action::Apply { uid: live.uid.clone(), resource_version: String::new(), force: true }
}

fn foreign(inputs: &Inputs<'_>, live: &Live) -> Action {
    if !live.hub.is_empty() {
        return Action::Stop(Phase::Conflict, format!("belongs to another federation (hub {})", live.hub));
    }
    let apply = |force| Action::Apply { uid: live.uid.clone(), resource_version: live.resource_version.clone(), force };
    match inputs.conflict {
        // Without force it succeeds only where nobody else manages a field differently.
        "Adopt" => apply(false),
        "Overwrite" => apply(true),
        _ => Action::Stop(
            Phase::Conflict,
            "exists there already and is not ours; set conflict: Adopt or Overwrite in a Placement to take it over"
                .to_owned(),
        ),
    }
}

fn later(live: &Live, epoch: u64) -> Action {
    Action::Stop(
        Phase::Conflict,
        format!(
            "was written there at epoch {}, this hub is at {epoch}: another hub, or one restored from a backup; held",
            live.epoch
        ),
    )
}

fn is_ours(inputs: &Inputs<'_>, live: &Live) -> bool {
    live.hub == inputs.hub_uid && live.template == inputs.template_uid
}

fn recorded_uid(inputs: &Inputs<'_>) -> String {
    inputs.recorded.map(|r| r.uid.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
