//! Services that are asked whether a request may pass.

use std::sync::Arc;

use super::Builder;
use federation_types::label;

use crate::annotation::ExternalWish;
use crate::route::canary::Canaries;
use crate::route::extauth::External;
use crate::route::policy::Policy;
use crate::route::wire::{UpstreamTls, Wire, WireSpec};
use crate::route::{Delivery, ProblemKind, Route};
use crate::snapshot::{IngressObject, Named, PortRef};

impl Builder<'_> {
    /// The Service that an Ingress' requests are shown to first: of its own namespace, or one that is lent to all.
    pub(super) fn extauth(&mut self, ingress: &IngressObject) -> Option<Arc<External>> {
        let ExternalWish { service, port, tls, rules } = self.extauth.clone()?;
        let (name, namespace) = service;
        let key = Named::new(&namespace, &name);
        let lent = self.snapshot.services.get(&key).is_some_and(|service| service.answers_for_all);
        if *namespace != *ingress.key.namespace && !lent {
            let message = format!(
                "metadata.annotations[auth-url]: Service {key} is of another namespace and is not lent by the annotation {}; nobody is let in",
                label::AUTH_SERVICE
            );
            self.problem(ingress, ProblemKind::Annotation, message);
            self.policy = Arc::new(Policy {
                closed: Some("the authentication service is not ours to ask"),
                ..(*self.policy).clone()
            });
            return None;
        }
        let server_name = format!("{name}.{namespace}.svc");
        let backend = self.service_at(ingress, key, &PortRef::Number(port), "metadata.annotations[auth-url]");
        let spec = WireSpec { tls: tls.then(|| UpstreamTls::unverified(&server_name)), ..WireSpec::default() };
        let wire =
            self.table.wires.wire(&spec, self.before.map(|table| &table.wires)).unwrap_or_else(|_| Wire::plain());
        let number = self.number(&ingress.key, &backend.name);
        let route = Route {
            ingress: ingress.key.clone(),
            backend,
            delivery: Delivery::default(),
            wiring: wire.into(),
            policy: Arc::new(Policy::default()),
            canaries: Canaries::default(),
            extauth: None,
            pages: None,
            number,
        };
        Some(Arc::new(External { rules, route }))
    }
}
