//! How a backend's endpoints are spoken to: by the Ingress's annotations, else by what its Service says.

use std::sync::Arc;

use federation_types::label;
use rustls::pki_types::ServerName;

use crate::route::ProblemKind;
use crate::route::build::{Builder, service_port};
use crate::route::policy::Protocol;
use crate::route::wire::{Announce, UpstreamProtocol, UpstreamTls, Wire, WireSpec, Wiring};
use crate::snapshot::{BackendRef, IngressObject, Named};

/// Stands for a name that no certificate can have: none that is verified bears it.
pub(super) const NOBODY: &str = "endpoint.invalid";

/// The name that a Service has in certificates.
pub(super) fn server_name(service: &Named) -> String {
    let name = format!("{}.{}.svc", service.name, service.namespace);
    if ServerName::try_from(name.as_str()).is_ok() { name } else { NOBODY.to_owned() }
}

impl Builder<'_> {
    /// The wiring of one backend of `ingress`.
    pub(super) fn wiring(&mut self, ingress: &IngressObject, backend: &BackendRef, field: &str) -> Wiring {
        let BackendRef::Service { name, port } = backend else { return Wire::plain().into() };
        let key = Named { namespace: ingress.key.namespace.clone(), name: name.as_str().into() };
        let server_name = server_name(&key);
        let service = self.snapshot.services.get(&key);
        let announce = match service.and_then(|service| service.proxy_protocol.as_deref()) {
            None => None,
            Some("v1") => Some(Announce::V1),
            Some("v2") => Some(Announce::V2),
            Some(other) => {
                let name = label::PROXY_PROTOCOL;
                let message =
                    format!("{field}.service: annotation {name} of Service {key} is {other:?}, neither v1 nor v2");
                self.problem(ingress, ProblemKind::BackendUnsupported, message);
                None
            }
        };
        let common = self.endpoint_tls.clone();
        let tls = || {
            Some(match &common {
                None => UpstreamTls::unverified(&server_name),
                Some((tls, true)) => tls.clone(),
                Some((tls, false)) => UpstreamTls { name: server_name.as_str().into(), ..tls.clone() },
            })
        };
        let (http1, h2) = (UpstreamProtocol::Http1, UpstreamProtocol::H2);
        let spec = match self.policy.protocol {
            None => {
                let port = service.and_then(|service| service_port(service, port));
                let spec = WireSpec::of_app_protocol(port.map_or("", |port| &port.app_protocol), &server_name);
                WireSpec { tls: spec.tls.and_then(|_| tls()), ..spec }
            }
            Some(Protocol::Http) => WireSpec::default(),
            Some(Protocol::Https | Protocol::Auto) => WireSpec { protocol: http1, tls: tls(), announce },
            Some(Protocol::Grpc) => WireSpec { protocol: h2, tls: None, announce },
            Some(Protocol::Grpcs) => WireSpec { protocol: h2, tls: tls(), announce },
        };
        if spec.tls.as_ref().is_some_and(|tls| *tls.name == *NOBODY) {
            // The API takes no such Service; what is tried out may name it.
            let message = format!("{field}.service.name: {name:?} is in no name that a certificate can have");
            self.problem(ingress, ProblemKind::BackendUnsupported, message);
        }
        let wire = self.wire(&WireSpec { announce, ..spec });
        if self.policy.protocol == Some(Protocol::Auto) {
            let plain = self.wire(&WireSpec { announce, ..WireSpec::default() });
            return Wiring::by_scheme(plain, wire);
        }
        wire.into()
    }

    pub(super) fn wire(&mut self, spec: &WireSpec) -> Arc<Wire> {
        let wire = self.table.wires.wire(spec, self.before.map(|table| &table.wires));
        wire.expect("names are server names here, and what annotations and Secrets say was tried before")
    }
}
