//! Services that get copies of requests.

use std::sync::Arc;

use http::HeaderValue;

use super::wiring::server_name;
use super::{Builder, MIRRORED};
use crate::annotation::MirrorWish;
use crate::route::mirror::Mirror;
use crate::route::wire::{UpstreamTls, WireSpec};
use crate::route::{ProblemKind, Route};
use crate::snapshot::{IngressObject, Named, PortRef};

impl Builder<'_> {
    /// The Service that copies of an Ingress' requests go to; only one of its own namespace, since nobody else asked for them.
    pub(super) fn mirror(&mut self, ingress: &IngressObject, wish: MirrorWish) -> Option<Arc<Mirror>> {
        let MirrorWish { service: (name, namespace), port, tls, host, prefix, follows, body } = wish;
        let key = Named::new(&namespace, &name);
        if *namespace != *ingress.key.namespace {
            let message = format!(
                "metadata.annotations[mirror-target]: Service {key} is of another namespace; nothing is copied"
            );
            self.problem(ingress, ProblemKind::Annotation, message);
            return None;
        }
        let server_name = server_name(&key);
        let backend = self.service_at(ingress, key, &PortRef::Number(port), MIRRORED);
        let spec = WireSpec { tls: tls.then(|| UpstreamTls::unverified(&server_name)), ..WireSpec::default() };
        let wiring = self.wire(&spec).into();
        let number = self.number(&ingress.key, &backend.name);
        let route = Route { wiring, ..Route::plain(ingress.key.clone(), backend, number) };
        let scheme = HeaderValue::from_static(if tls { "https" } else { "http" });
        Some(Arc::new(Mirror { route, scheme, host, prefix, follows, body }))
    }
}
