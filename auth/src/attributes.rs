//! What a user wants to do, as authorizers see it, and the words in which it is refused.
//!
//! Borrowed from the request, so that asking costs nothing; knows no rule.

use crate::user::UserInfo;
use std::fmt::Write as _;

/// One question to the authorizers.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    pub user: &'a UserInfo,
    /// `get`, `list`, … for resources; the lower-cased HTTP method for paths.
    pub verb: &'a str,
    pub target: Target<'a>,
}

/// What the verb is applied to.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    Resource(ResourceAttributes<'a>),
    Path(&'a str),
}

/// An API resource or one object of it. Group and resource are always compared together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceAttributes<'a> {
    /// Empty for the core group.
    pub group: &'a str,
    pub version: &'a str,
    pub resource: &'a str,
    /// Empty for the resource itself.
    pub subresource: &'a str,
    /// Empty for cluster-scoped resources, and for requests over all namespaces.
    pub namespace: &'a str,
    /// Empty for collections, unless `fieldSelector=metadata.name=NAME` narrows a list or watch to one.
    pub name: &'a str,
}

impl<'a> Attributes<'a> {
    /// A question about a resource.
    pub fn resource(user: &'a UserInfo, verb: &'a str, resource: ResourceAttributes<'a>) -> Self {
        Self { user, verb, target: Target::Resource(resource) }
    }

    /// A question about a path that is no resource.
    pub fn path(user: &'a UserInfo, verb: &'a str, path: &'a str) -> Self {
        Self { user, verb, target: Target::Path(path) }
    }

    /// The message of the 403 answer, word for word as kube-apiserver says it; `reason` may be empty.
    ///
    /// Source: k8s.io/apiserver `pkg/endpoints/handlers/responsewriters/errors.go`, `NewForbidden` of apimachinery.
    pub fn forbidden_message(&self, reason: &str) -> String {
        let mut message = match self.target {
            Target::Path(_) => "forbidden: ".to_owned(),
            Target::Resource(target) => target.forbidden_prefix(),
        };
        escape_html(&self.refusal(), &mut message);
        if !reason.is_empty() {
            message.push_str(": ");
            message.push_str(reason);
        }
        message
    }

    /// The denial alone, without what is denied in front and without a reason.
    fn refusal(&self) -> String {
        let user = quoted(&self.user.name);
        let verb = self.verb;
        match self.target {
            Target::Path(path) => format!("User {user} cannot {verb} path {}", quoted(path)),
            Target::Resource(target) => {
                let resource = match target.subresource {
                    "" => quoted(target.resource),
                    sub => quoted(&format!("{}/{sub}", target.resource)),
                };
                let group = quoted(target.group);
                let place = match target.namespace {
                    "" => "at the cluster scope".to_owned(),
                    namespace => format!("in the namespace {}", quoted(namespace)),
                };
                format!("User {user} cannot {verb} resource {resource} in API group {group} {place}")
            }
        }
    }
}

impl ResourceAttributes<'_> {
    /// `RESOURCE[.GROUP] ["NAME"] is forbidden: `
    pub(crate) fn forbidden_prefix(&self) -> String {
        let mut text = self.resource.to_owned();
        if !self.group.is_empty() {
            text.push('.');
            text.push_str(self.group);
        }
        if !self.name.is_empty() {
            text.push(' ');
            text.push_str(&quoted(self.name));
        }
        text.push_str(" is forbidden: ");
        text
    }
}

/// Quotes as Go's `%q` does, which the messages of Kubernetes are made with.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\0' => quoted.push_str("\\x00"),
            c if c.is_ascii_control() => write!(quoted, "\\x{:02x}", u32::from(c)).expect("a String takes every write"),
            // Format characters (direction overrides and the like) must not reach a terminal.
            c if c.is_control() || is_format(c) => {
                write!(quoted, "\\u{:04x}", u32::from(c)).expect("a String takes every write")
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn is_format(c: char) -> bool {
    matches!(u32::from(c), 0xad | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff)
}

fn escape_html(text: &str, into: &mut String) {
    for c in text.chars() {
        match c {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Attributes, ResourceAttributes};
    use crate::UserInfo;

    /// Protocol: E4
    #[test]
    fn messages_are_those_of_kube_apiserver() {
        let user = UserInfo::new("u", ["g"]);
        let pods = ResourceAttributes { resource: "pods", namespace: "n", name: "x", ..ResourceAttributes::default() };
        let scale = ResourceAttributes {
            group: "apps",
            resource: "deployments",
            subresource: "scale",
            ..ResourceAttributes::default()
        };
        for (attributes, reason, want) in [
            (
                Attributes::resource(&user, "get", pods),
                "",
                r#"pods "x" is forbidden: User "u" cannot get resource "pods" in API group "" in the namespace "n""#,
            ),
            (
                Attributes::resource(&user, "patch", scale),
                "why",
                r#"deployments.apps is forbidden: User "u" cannot patch resource "deployments/scale" in API group "apps" at the cluster scope: why"#,
            ),
            (Attributes::path(&user, "get", "/metrics"), "", r#"forbidden: User "u" cannot get path "/metrics""#),
        ] {
            assert_eq!(attributes.forbidden_message(reason), want);
        }
    }

    #[test]
    fn names_cannot_smuggle_markup_or_control_characters() {
        let user = UserInfo::new("<b>\u{202e}\r\n\u{1b}[31m\"", [""; 0]);
        assert_eq!(
            Attributes::path(&user, "get", "/&").forbidden_message(""),
            r#"forbidden: User "&lt;b&gt;\u202e\r\n\x1b[31m\"" cannot get path "/&amp;""#
        );
    }
}
