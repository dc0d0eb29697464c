//! Admission policies: expressions that judge or change what is written, bound to parameters.
//!
//! Policies are compiled when one has changed, so that a policy acts on the first write after it was acknowledged, and
//! a server without any pays one comparison. Source: k8s.io/apiserver `pkg/admission/plugin/policy`.

mod definition;
mod judge;
mod mutate;
mod params;
mod run;

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::call::Call;
use crate::server::Server;
use definition::Compiled;

pub(crate) use judge::judge;
pub(crate) use mutate::mutate;

/// The policies of one server.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    compiled: ArcSwap<Compiled>,
}

/// Kinds that no policy sees: with one of these it could lock everybody out.
const EXEMPT: &[&str] = &[
    "validatingwebhookconfigurations",
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
];

fn is_exempt(call: &Call) -> bool {
    call.kind.group == "admissionregistration.k8s.io" && EXEMPT.contains(&&*call.kind.plural)
}

/// Whether any policy judges.
pub(crate) fn is_any(server: &Server) -> bool {
    !current(server).judging.is_empty()
}

/// The policies as of now.
fn current(server: &Server) -> Arc<Compiled> {
    let compiled = server.policies.compiled.load();
    if compiled.is_current(server) {
        return Arc::clone(&compiled);
    }
    let renewed = Arc::new(compiled.renew(server));
    server.policies.compiled.store(Arc::clone(&renewed));
    renewed
}
