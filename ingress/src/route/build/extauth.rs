//! Services that are asked whether a request may pass.

use std::sync::Arc;

use federation_types::label;

use super::wiring::server_name;
use super::{ASKED, Builder};
use crate::annotation::ExternalWish;
use crate::route::extauth::External;
use crate::route::wire::{UpstreamTls, WireSpec};
use crate::route::{ProblemKind, Route};
use crate::snapshot::{IngressObject, Named, PortRef};

impl Builder<'_> {
    /// The Service that an Ingress' requests are shown to first: of its own namespace, or one that is lent to all.
    pub(super) fn extauth(&mut self, ingress: &IngressObject, wish: ExternalWish) -> Option<Arc<External>> {
        let ExternalWish { service: (name, namespace), port, tls, rules } = wish;
        let key = Named::new(&namespace, &name);
        let lent = self.snapshot.services.get(&key).is_some_and(|service| service.answers_for_all);
        if *namespace != *ingress.key.namespace && !lent {
            let message = format!(
                "metadata.annotations[auth-url]: Service {key} is of another namespace and is not lent by the annotation {}; nobody is let in",
                label::AUTH_SERVICE
            );
            self.problem(ingress, ProblemKind::Annotation, message);
            return None;
        }
        let server_name = server_name(&key);
        let backend = self.service_at(ingress, key, &PortRef::Number(port), ASKED);
        let spec = WireSpec { tls: tls.then(|| UpstreamTls::unverified(&server_name)), ..WireSpec::default() };
        let wiring = self.wire(&spec).into();
        let number = self.number(&ingress.key, &backend.name);
        let route = Route { wiring, ..Route::plain(ingress.key.clone(), backend, number) };
        Some(Arc::new(External { rules, route }))
    }
}
