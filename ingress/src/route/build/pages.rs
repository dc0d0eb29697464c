//! Default backends: whom to ask what to say of errors.

use std::sync::Arc;

use super::{Builder, PAGED};
use crate::route::ErrorPages;
use crate::snapshot::{BackendRef, IngressObject, Named, PortRef};

impl Builder<'_> {
    /// The Service that says what to tell of errors, over its first port.
    pub(super) fn pages(&mut self, ingress: &IngressObject, (codes, name): (Box<[u16]>, String)) -> Arc<ErrorPages> {
        let key = Named { namespace: ingress.key.namespace.clone(), name: name.as_str().into() };
        let first =
            self.snapshot.services.get(&key).and_then(|service| service.ports.iter().find(|p| p.protocol == "TCP"));
        let port = PortRef::Number(first.map_or(0, |port| port.number));
        let backend = BackendRef::Service { name, port };
        let route = Arc::new(self.route(ingress, &backend, PAGED));
        Arc::new(ErrorPages { codes, route })
    }
}
