//! Impersonation headers: whom the caller wants to be, and every right that this needs.
//!
//! Decides nothing itself: each check goes to the authorizers, and one denial forbids the whole request.

use crate::attributes::{Attributes, ResourceAttributes};
use crate::user::{ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS_USER, ServiceAccountName, UserInfo};
use percent::decoded;

/// More values than this in one request are refused: each one costs an authorization.
const MAX_VALUES: usize = 256;
const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const ANY: &str = "impersonate-";

/// A wish to act as somebody else. Not granted before every one of `checks` is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonation {
    pub user: UserInfo,
    pub checks: Vec<ImpersonationCheck>,
}

/// One right that an impersonation needs: verb `impersonate` on this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImpersonationCheck {
    group: &'static str,
    resource: &'static str,
    subresource: String,
    namespace: String,
    name: String,
}

/// Headers that make no sense: answer 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImpersonationError {
    #[error("{0} is given without Impersonate-User")]
    WithoutUser(String),
    #[error("{0} is given more than once")]
    Repeated(&'static str),
    #[error("{0} is not UTF-8 text")]
    NotText(String),
    #[error("unknown impersonation header {0}")]
    Unknown(String),
    #[error("more than {MAX_VALUES} impersonation headers")]
    TooMany,
}

impl Impersonation {
    /// Reads all headers of a request; names may be in any case. `None` when it impersonates nobody.
    ///
    /// Groups, where given, are authoritative; otherwise a service account gets those that are fixed for it.
    /// `system:authenticated` is added, unless the groups or the anonymous user say otherwise.
    /// Stricter than upstream in two points: a repeated user or uid and an unknown `Impersonate-` header are refused,
    /// because of two readers each could see another identity.
    ///
    /// # Errors
    /// [`ImpersonationError`] when the headers contradict each other; nothing may be done as anybody.
    ///
    /// Source: k8s.io/apiserver `pkg/endpoints/filters/impersonation`.
    pub fn from_headers<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Option<Self>, ImpersonationError> {
        let asked = Asked::read(headers)?;
        let Some(name) = asked.user.filter(|user| !user.is_empty()) else {
            return match asked.first_other {
                None => Ok(None),
                Some(header) => Err(ImpersonationError::WithoutUser(header)),
            };
        };
        let mut user = UserInfo { name, ..UserInfo::default() };
        let mut checks = vec![user_check(&user.name)];
        checks.extend(asked.groups.iter().map(|group| ImpersonationCheck::core("groups", group)));
        user.groups = match ServiceAccountName::parse(&user.name) {
            Some(account) if asked.groups.is_empty() => account.groups().into(),
            _ => asked.groups,
        };
        for (key, value) in asked.extra {
            checks.push(ImpersonationCheck::authentication("userextras", &key, &value));
            user.extra.entry(key).or_default().push(value);
        }
        if let Some(uid) = asked.uid.filter(|uid| !uid.is_empty()) {
            checks.push(ImpersonationCheck::authentication("uids", "", &uid));
            user.uid = uid;
        }
        let stated = if user.name == ANONYMOUS_USER { ALL_UNAUTHENTICATED } else { ALL_AUTHENTICATED };
        if !user.is_in(stated) && !user.is_in(ALL_UNAUTHENTICATED) {
            user.groups.push(stated.to_owned());
        }
        Ok(Some(Self { user, checks }))
    }

    /// Whether a header, in any case, is one of those that must not reach anybody behind the API server.
    pub fn is_header(name: &str) -> bool {
        name.get(..ANY.len()).is_some_and(|start| start.eq_ignore_ascii_case(ANY))
    }
}

impl ImpersonationCheck {
    fn core(resource: &'static str, name: &str) -> Self {
        Self { group: "", resource, subresource: String::new(), namespace: String::new(), name: name.to_owned() }
    }

    fn authentication(resource: &'static str, subresource: &str, name: &str) -> Self {
        Self { group: "authentication.k8s.io", subresource: subresource.to_owned(), ..Self::core(resource, name) }
    }

    /// The question to the authorizers about the one who sent the request.
    pub fn attributes<'a>(&'a self, requestor: &'a UserInfo) -> Attributes<'a> {
        let target = ResourceAttributes {
            group: self.group,
            version: "v1",
            resource: self.resource,
            subresource: &self.subresource,
            namespace: &self.namespace,
            name: &self.name,
        };
        Attributes::resource(requestor, "impersonate", target)
    }
}

/// The headers, sorted by what they ask for.
#[derive(Default)]
struct Asked {
    user: Option<String>,
    uid: Option<String>,
    groups: Vec<String>,
    extra: Vec<(String, String)>,
    first_other: Option<String>,
}

impl Asked {
    fn read<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, ImpersonationError> {
        let mut asked = Self::default();
        let mut values = 0;
        for (header, value) in headers {
            if !Impersonation::is_header(header) {
                continue;
            }
            values += 1;
            if values > MAX_VALUES {
                return Err(ImpersonationError::TooMany);
            }
            let value = std::str::from_utf8(value).map_err(|_| ImpersonationError::NotText(header.to_owned()))?;
            asked.take(&header.to_ascii_lowercase(), value.to_owned())?;
        }
        Ok(asked)
    }

    fn take(&mut self, header: &str, value: String) -> Result<(), ImpersonationError> {
        if header == USER {
            return match self.user.replace(value) {
                None => Ok(()),
                Some(_) => Err(ImpersonationError::Repeated("Impersonate-User")),
            };
        }
        if self.first_other.is_none() && !(header == UID && value.is_empty()) {
            self.first_other = Some(header.to_owned());
        }
        if header == GROUP {
            self.groups.push(value);
        } else if header == UID {
            if self.uid.replace(value).is_some() {
                return Err(ImpersonationError::Repeated("Impersonate-Uid"));
            }
        } else if let Some(key) = header.strip_prefix(EXTRA) {
            self.extra.push((decoded(key), value));
        } else {
            return Err(ImpersonationError::Unknown(header.to_owned()));
        }
        Ok(())
    }
}

fn user_check(name: &str) -> ImpersonationCheck {
    match ServiceAccountName::parse(name) {
        Some(account) => ImpersonationCheck {
            namespace: account.namespace,
            ..ImpersonationCheck::core("serviceaccounts", &account.name)
        },
        None => ImpersonationCheck::core("users", name),
    }
}

/// Percent decoding of extra keys, where a malformed key is kept as it is.
mod percent {
    /// The key with its `%XX` decoded, or as it is when that is not UTF-8 or not well-formed.
    pub(super) fn decoded(key: &str) -> String {
        decode(key.as_bytes()).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| key.to_owned())
    }

    fn decode(key: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(key.len());
        let mut rest = key;
        while let Some((first, tail)) = rest.split_first() {
            if *first != b'%' {
                bytes.push(*first);
                rest = tail;
                continue;
            }
            let high = char::from(*tail.first()?).to_digit(16)?;
            let low = char::from(*tail.get(1)?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
            rest = &tail[2..];
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests;
