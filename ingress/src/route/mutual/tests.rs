//! Tables: which chains are good by which rules, and what endpoints are told of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;

use super::{AuthoritiesError, Demand, Mutual, Verdict};
use crate::annotation::MutualWish;
use crate::snapshot::UserList;

/// 2030-01-01, within every certificate that is made here unless it says otherwise.
const NOW: u64 = 1_893_456_000;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str, by: Option<&Authority>) -> Authority {
    let key = KeyPair::generate().expect("a key");
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let made = match by {
        None => params.self_signed(&key),
        Some(by) => params.signed_by(&key, &by.issuer),
    };
    let made = made.expect("a certificate");
    Authority { pem: made.pem(), der: made.der().clone(), issuer: Issuer::new(params, key) }
}

fn leaf(by: &Authority, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let key = KeyPair::generate().expect("a key");
    let mut params = params("caller");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    params.signed_by(&key, &by.issuer).expect("a certificate").der().clone()
}

fn revocations(by: &Authority, serials: &[u64], until: i64) -> String {
    let revoked = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: moment(NOW as i64 - 60),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: moment(NOW as i64 - 3600),
        next_update: moment(until),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&by.issuer).expect("a list").pem().expect("PEM")
}

fn moment(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).expect("a moment")
}

fn wish(demand: Demand) -> MutualWish {
    MutualWish { secret: Some("ca".into()), demand, depth: 1, page: None, pass: false, name: None }
}

fn source(keys: &[(&str, &str)]) -> Option<Arc<UserList>> {
    let keys = keys.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
    Some(Arc::new(UserList(keys.collect::<BTreeMap<_, _>>())))
}

fn rules(wish: MutualWish, keys: &[(&str, &str)]) -> Mutual {
    let mutual = Mutual::new(wish, source(keys));
    assert_eq!(mutual.fault(), None);
    mutual
}

fn judge(mutual: &Mutual, chain: &[CertificateDer<'static>]) -> Verdict {
    mutual.judge(chain, UnixTime::since_unix_epoch(Duration::from_secs(NOW)))
}

fn status(verdict: &Verdict) -> u16 {
    verdict.refusal.map_or(200, |refusal| refusal.status.as_u16())
}

fn field<'v>(verdict: &'v Verdict, name: &str) -> &'v str {
    let found = verdict.fields.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value.to_str().expect("text"))
}

/// Ingress: 49
#[test]
fn who_is_let_in_with_which_chain() {
    let (root, other) = (authority("root", None), authority("other", None));
    let between = authority("between", Some(&root));
    let deeper = authority("deeper", Some(&between));
    let good = leaf(&root, |_| ());
    let over = leaf(&root, |params| params.not_after = moment(NOW as i64 - 1));
    let early = leaf(&root, |params| params.not_before = moment(NOW as i64 + 60));
    let server = leaf(&root, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let strange = leaf(&other, |_| ());
    let signed = |by: &Authority| vec![leaf(by, |_| ()), by.der.clone()];
    let deep = [signed(&deeper), vec![between.der.clone()]].concat();
    let many = [vec![good.clone()], vec![between.der.clone(); 50]].concat();
    let mut own = params("own");
    own.is_ca = IsCa::NoCa;
    let own = own.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().clone();
    // on, optional, optional_no_ca
    for (what, chain, wanted) in [
        ("none", vec![], [400, 200, 200]),
        ("good", vec![good.clone()], [200, 200, 200]),
        ("over", vec![over], [400, 400, 400]),
        ("not yet", vec![early], [400, 400, 400]),
        ("for servers", vec![server], [400, 400, 400]),
        ("of a stranger", vec![strange.clone()], [400, 400, 200]),
        ("its own", vec![own], [400, 400, 200]),
        ("one between", signed(&between), [200, 200, 200]),
        ("two between", deep.clone(), [400, 400, 200]),
        ("between is missing", vec![leaf(&between, |_| ())], [400, 400, 200]),
        ("an authority itself", vec![root.der.clone()], [400, 400, 200]),
        ("fifty", many, [400, 400, 400]),
        ("no certificate", vec![CertificateDer::from(b"\x30\x03\x02\x01\x01".to_vec())], [400, 400, 400]),
    ] {
        for (demand, wanted) in [Demand::Always, Demand::Optional, Demand::OptionalOfAnybody].into_iter().zip(wanted) {
            let verdict = judge(&rules(wish(demand), &[("ca.crt", &root.pem)]), &chain);
            assert_eq!(status(&verdict), wanted, "{what} {demand:?}");
        }
    }
    let depth = rules(MutualWish { depth: 2, ..wish(Demand::Always) }, &[("ca.crt", &root.pem)]);
    assert_eq!(status(&judge(&depth, &deep)), 200);
    let both = rules(wish(Demand::Always), &[("ca.crt", &format!("{}{}", root.pem, other.pem))]);
    assert_eq!((status(&judge(&both, &[strange])), status(&judge(&both, &[good]))), (200, 200));
}

/// Ingress: 49
#[test]
fn revoked_certificates_and_lists_that_are_over() {
    let root = authority("root", None);
    let between = authority("between", Some(&root));
    let numbered =
        |by: &Authority, serial: u64| leaf(by, |params| params.serial_number = Some(SerialNumber::from(serial)));
    let (seven, eight) = (numbered(&root, 7), numbered(&root, 8));
    let later = NOW as i64 + 3600;
    let fresh = revocations(&root, &[7], later);
    let with = |lists: &str| rules(wish(Demand::Always), &[("ca.crt", &root.pem), ("ca.crl", lists)]);
    assert_eq!(
        (status(&judge(&with(&fresh), &[seven])), status(&judge(&with(&fresh), std::slice::from_ref(&eight)))),
        (400, 200)
    );
    assert_eq!(status(&judge(&with(&revocations(&root, &[], NOW as i64 - 1)), &[eight])), 400, "the list is over");
    let chain = [numbered(&between, 9), between.der.clone()];
    assert_eq!(status(&judge(&with(&fresh), &chain)), 400, "nobody says that it is not revoked");
    let both = format!("{fresh}{}", revocations(&between, &[], later));
    assert_eq!(status(&judge(&with(&both), &chain)), 200);
}

/// Ingress: 49
#[test]
fn endpoints_hear_who_it_is_in_words_that_nobody_can_forge() {
    let root = authority("root", None);
    let odd = leaf(&root, |params| {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "DE");
        params.distinguished_name.push(DnType::OrganizationName, "A, B+C;<\"\\>,CN=admin");
        params.distinguished_name.push(DnType::CommonName, " z\u{fc}r\r\nssl-client-verify: SUCCESS ");
        params.distinguished_name.push(DnType::CustomDnType(vec![1, 2, 3]), "x");
    });
    let pass = MutualWish { pass: true, ..wish(Demand::Always) };
    let verdict = judge(&rules(pass, &[("ca.crt", &root.pem)]), std::slice::from_ref(&odd));
    assert_eq!((status(&verdict), field(&verdict, "ssl-client-verify")), (200, "SUCCESS"));
    assert_eq!(
        field(&verdict, "ssl-client-subject-dn"),
        "1.2.3=#0C0178,CN=\\ z\\C3\\BCr\\0D\\0Assl-client-verify: SUCCESS\\ ,O=A\\, B\\+C\\;\\<\\\"\\\\\\>\\,CN=admin,C=DE"
    );
    assert_eq!(field(&verdict, "ssl-client-issuer-dn"), "CN=root");
    let escaped = field(&verdict, "ssl-client-cert");
    assert!(escaped.starts_with("-----BEGIN%20CERTIFICATE-----%0AMII") && escaped.ends_with("CERTIFICATE-----%0A"));
    let named = |name: &str| MutualWish { name: Some(name.into()), ..wish(Demand::Always) };
    for (name, wanted) in
        [("CN=admin", 403), ("CN= z.*", 200), ("CN=(?s).*SUCCESS $", 200), ("CN=r|CN=", 403), ("CN=", 200)]
    {
        let verdict = judge(&rules(named(name), &[("ca.crt", &root.pem)]), std::slice::from_ref(&odd));
        assert_eq!(status(&verdict), wanted, "{name}");
    }
    let long = leaf(&root, |params| {
        params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String("x".repeat(10_000)));
    });
    assert_eq!(status(&judge(&rules(wish(Demand::Always), &[("ca.crt", &root.pem)]), &[long])), 400);
}

/// Ingress: 49
#[test]
fn nobody_is_let_in_where_the_authorities_are_not_known() {
    let root = authority("root", None);
    let good = leaf(&root, |_| ());
    for (given, wanted) in [
        (None, AuthoritiesError::Missing),
        (source(&[("tls", "x")]), AuthoritiesError::Missing),
        (source(&[("ca.crt", "")]), AuthoritiesError::Certificate),
        (source(&[("ca.crt", "nonsense")]), AuthoritiesError::Certificate),
        (source(&[("ca.crt", &root.pem.replace("MII", "AAA"))]), AuthoritiesError::Certificate),
        (source(&[("ca.crt", &root.pem), ("ca.crl", "nonsense")]), AuthoritiesError::Revocation),
        (source(&[("ca.crt", &root.pem), ("ca.crl", &root.pem)]), AuthoritiesError::Revocation),
    ] {
        for demand in [Demand::Never, Demand::Always, Demand::Optional, Demand::OptionalOfAnybody] {
            let closed = Mutual::new(wish(demand), given.clone());
            assert_eq!((closed.fault(), closed.asks()), (Some(&wanted), false));
            assert_eq!(status(&judge(&closed, std::slice::from_ref(&good))), 503);
        }
    }
    let off = rules(wish(Demand::Never), &[("ca.crt", &root.pem)]);
    let verdict = judge(&off, &[good]);
    assert_eq!((off.asks(), status(&verdict), field(&verdict, "ssl-client-verify")), (false, 200, "NONE"));
}
