//! Which Ingress speaks for a Service: the oldest that says anything about how its endpoints are looked after.

use std::collections::HashMap;
use std::sync::Arc;

use crate::annotation::{UpkeepWish, upkeep_of};
use crate::route::build::backend_name;
use crate::route::upkeep::Upkeep;
use crate::snapshot::{BackendRef, IngressObject, Named};

/// What is said of each backend, and by whom.
#[derive(Debug, Default)]
pub(super) struct Upkeeps(HashMap<Arc<str>, (UpkeepWish, Named)>);

/// An Ingress that an older one keeps from speaking.
pub(super) struct Unheard<'s> {
    pub ingress: &'s IngressObject,
    pub message: String,
}

impl Upkeeps {
    /// Reads `ingresses`, the oldest first; also those that are not heard because they say something else.
    pub(super) fn read<'s>(ingresses: &[&'s IngressObject]) -> (Self, Vec<Unheard<'s>>) {
        let (mut known, mut unheard) = (HashMap::<Arc<str>, (UpkeepWish, Named)>::new(), Vec::new());
        for &ingress in ingresses.iter().filter(|ingress| !ingress.annotations.is_empty()) {
            let Some(wish) = upkeep_of(&ingress.annotations) else { continue };
            let paths = ingress.rules.iter().flat_map(|rule| &rule.paths).map(|path| &path.backend);
            for backend in paths.chain(&ingress.default_backend) {
                let BackendRef::Service { name, port } = backend else { continue };
                let key = Named { namespace: ingress.key.namespace.clone(), name: name.as_str().into() };
                let label = backend_name(&key, port);
                let (said, by) = known.entry(label.clone()).or_insert_with(|| (wish.clone(), ingress.key.clone()));
                if *said != wish {
                    let message = format!(
                        "metadata.annotations: the older Ingress {by} already says how the endpoints of {label} are looked after"
                    );
                    unheard.push(Unheard { ingress, message });
                }
            }
        }
        (Self(known), unheard)
    }

    /// How the endpoints of a backend are looked after.
    pub(super) fn of(&self, label: &str, usual: &Upkeep) -> Upkeep {
        self.0.get(label).map_or_else(|| usual.clone(), |(wish, _)| wish.over(usual))
    }
}
