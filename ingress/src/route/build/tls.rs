//! TLS towards the endpoints of one Ingress: its annotations, filled with what their Secret holds.

use std::sync::Arc;

use crate::annotation::TlsWish;
use crate::route::ProblemKind;
use crate::route::build::Builder;
use crate::route::build::wiring::NOBODY;
use crate::route::wire::{UpstreamTls, Verify, WireSpec};
use crate::snapshot::{IngressObject, Named};

impl Builder<'_> {
    /// What every wire of this Ingress has in common; `None` where the Secret is not what it must be.
    pub(super) fn endpoint_tls(&mut self, ingress: &IngressObject, wish: &TlsWish) -> Option<UpstreamTls> {
        let mut tls = UpstreamTls {
            sni: wish.sni,
            versions: wish.versions,
            ..UpstreamTls::unverified(wish.name.as_deref().unwrap_or(NOBODY))
        };
        let key = |name: &str| Named { namespace: ingress.key.namespace.clone(), name: name.into() };
        if let Some(key) = wish.secret.as_deref().map(key) {
            let secret = self.snapshot.secrets.get(&key);
            tls.own = secret.map(|secret| Arc::new((secret.certificate.clone(), secret.private_key.clone())));
            let authorities = self.snapshot.user_lists.get(&key).and_then(|list| list.0.get("ca.crt"));
            if wish.verify {
                tls.verify = Verify::Authorities(authorities.map_or(&[][..], Vec::as_slice).into());
            }
            if secret.is_none() && authorities.is_none() {
                let message = format!(
                    "metadata.annotations[proxy-ssl-secret]: there is no Secret {key} with tls.crt and tls.key, or with ca.crt"
                );
                self.problem(ingress, ProblemKind::SecretMissing, message);
                return None;
            }
        }
        let spec = WireSpec { tls: Some(tls.clone()), ..WireSpec::default() };
        if let Err(error) = self.table.wires.wire(&spec, self.before.map(|table| &table.wires)) {
            let message = format!("metadata.annotations[proxy-ssl-*]: {error}");
            self.problem(ingress, ProblemKind::SecretInvalid, message);
            return None;
        }
        Some(tls)
    }
}
