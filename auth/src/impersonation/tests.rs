//! Header sets and what they ask for, after the cases of upstream's impersonation tests.

use super::{Impersonation, ImpersonationError};
use crate::{Attributes, Target, UserInfo};

fn read(headers: &[(&str, &str)]) -> Result<Option<Impersonation>, ImpersonationError> {
    Impersonation::from_headers(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
}

fn describe(attributes: &Attributes<'_>) -> String {
    let Target::Resource(target) = attributes.target else { panic!("impersonation is about resources") };
    let subresource = match target.subresource {
        "" => String::new(),
        sub => format!("/{sub}"),
    };
    format!(
        "{} {}/{}{subresource} {}/{}",
        attributes.verb, target.group, target.resource, target.namespace, target.name
    )
}

/// Protocol: AU1
#[test]
fn what_headers_ask_for() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a [&'a str], &'a [&'a str]);
    let cases: [Case<'_>; 7] = [
        (&[("Impersonate-User", "bob")], "bob", &["system:authenticated"], &["impersonate /users /bob"]),
        (
            &[("impersonate-user", "bob"), ("IMPERSONATE-GROUP", "a"), ("Impersonate-Group", "b")],
            "bob",
            &["a", "b", "system:authenticated"],
            &["impersonate /users /bob", "impersonate /groups /a", "impersonate /groups /b"],
        ),
        (
            &[("Impersonate-User", "system:serviceaccount:shop:web")],
            "system:serviceaccount:shop:web",
            &["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
            &["impersonate /serviceaccounts shop/web"],
        ),
        (
            &[("Impersonate-User", "system:serviceaccount:shop:web"), ("Impersonate-Group", "a")],
            "system:serviceaccount:shop:web",
            &["a", "system:authenticated"],
            &["impersonate /serviceaccounts shop/web", "impersonate /groups /a"],
        ),
        (
            &[("Impersonate-User", "system:anonymous")],
            "system:anonymous",
            &["system:unauthenticated"],
            &["impersonate /users /system:anonymous"],
        ),
        (
            &[("Impersonate-User", "bob"), ("Impersonate-Group", "system:unauthenticated")],
            "bob",
            &["system:unauthenticated"],
            &["impersonate /users /bob", "impersonate /groups /system:unauthenticated"],
        ),
        (
            &[
                ("Impersonate-User", "bob"),
                ("Impersonate-Uid", "7"),
                ("Impersonate-Extra-Example.com%2fScopes", "view"),
            ],
            "bob",
            &["system:authenticated"],
            &[
                "impersonate /users /bob",
                "impersonate authentication.k8s.io/userextras/example.com/scopes /view",
                "impersonate authentication.k8s.io/uids /7",
            ],
        ),
    ];
    let requestor = UserInfo::new("alice", ["g"]);
    for (headers, name, groups, checks) in cases {
        let asked = read(headers).unwrap().unwrap();
        assert_eq!(asked.user.name, name);
        assert_eq!(asked.user.groups, groups, "{headers:?}");
        let got: Vec<_> = asked.checks.iter().map(|check| describe(&check.attributes(&requestor))).collect();
        assert_eq!(got, checks, "{headers:?}");
    }
}

#[test]
fn no_headers_is_nobody() {
    assert_eq!(read(&[("Accept", "x"), ("Impersonat", "y")]), Ok(None));
    assert_eq!(read(&[("Impersonate-User", "")]), Ok(None));
}

/// Protocol: AU1
#[test]
fn contradictions_are_refused() {
    let without = |header: &str| ImpersonationError::WithoutUser(header.to_owned());
    for (headers, want) in [
        (vec![("Impersonate-Group", "system:masters")], without("impersonate-group")),
        (vec![("Impersonate-Uid", "1")], without("impersonate-uid")),
        (vec![("Impersonate-Extra-A", "1"), ("Impersonate-User", "")], without("impersonate-extra-a")),
        (vec![("Impersonate-User", "a"), ("impersonate-user", "b")], ImpersonationError::Repeated("Impersonate-User")),
        (
            vec![("Impersonate-User", "a"), ("Impersonate-Groups", "b")],
            ImpersonationError::Unknown("impersonate-groups".into()),
        ),
        (vec![("Impersonate-Group", "a"); 257], ImpersonationError::TooMany),
    ] {
        assert_eq!(read(&headers), Err(want));
    }
    let broken = Impersonation::from_headers([("Impersonate-User", &b"\xff"[..])]);
    assert_eq!(broken, Err(ImpersonationError::NotText("Impersonate-User".into())));
}

#[test]
fn extra_keys_are_decoded_once_and_malformed_ones_kept() {
    for (header, key) in [
        ("Impersonate-Extra-%2F..", "/.."),
        ("Impersonate-Extra-%252f", "%2f"),
        ("Impersonate-Extra-%zz", "%zz"),
        ("Impersonate-Extra-a%2", "a%2"),
        ("Impersonate-Extra-%ff", "%ff"),
    ] {
        let asked = read(&[("Impersonate-User", "a"), (header, "v")]).unwrap().unwrap();
        assert_eq!(asked.user.extra.keys().collect::<Vec<_>>(), [key]);
    }
}

#[test]
fn headers_are_recognised_in_any_case() {
    for (name, is) in [
        ("Impersonate-User", true),
        ("IMPERSONATE-anything", true),
        ("impersonate", false),
        ("X-Impersonate-User", false),
        ("é", false),
    ] {
        assert_eq!(Impersonation::is_header(name), is, "{name}");
    }
}
