//! Whom an Ingress lets in by password, out of the Secret that it names.

use std::sync::Arc;

use crate::annotation::UsersWish;
use crate::route::ProblemKind;
use crate::route::basic::BasicAuth;
use crate::route::build::Builder;
use crate::snapshot::{IngressObject, Named, UserList};

impl Builder<'_> {
    /// The users that an Ingress lets in; the same as before while their Secret stays the same, so that they are remembered.
    pub(super) fn users(&mut self, ingress: &IngressObject, wish: UsersWish) -> Option<Arc<BasicAuth>> {
        let key = Named { namespace: ingress.key.namespace.clone(), name: wish.secret.as_str().into() };
        let of = |list: &UserList| match wish.map {
            true => Some(BasicAuth::of_map(&list.0, &wish.realm)),
            false => list.0.get("auth").map(|file| BasicAuth::of_file(file, &wish.realm)),
        };
        let Some((users, odd)) = self.snapshot.user_lists.get(&key).and_then(|list| of(list)) else {
            let wanted = if wish.map { "users" } else { "the key auth" };
            let message =
                format!("metadata.annotations[auth-secret]: there is no Secret {key} with {wanted}; nobody is let in");
            self.problem(ingress, ProblemKind::SecretMissing, message);
            return None;
        };
        if odd > 0 {
            let message = format!(
                "metadata.annotations[auth-secret]: {odd} users of Secret {key} have passwords in no form that is known here (bcrypt, apr1, {{SHA}})"
            );
            self.problem(ingress, ProblemKind::SecretInvalid, message);
        }
        let place = (key, wish.map, wish.realm);
        let before = self.before.and_then(|table| table.users.get(&place)).filter(|before| ***before == users);
        let users = before.cloned().unwrap_or_else(|| Arc::new(users));
        self.table.users.insert(place, users.clone());
        Some(users)
    }
}
