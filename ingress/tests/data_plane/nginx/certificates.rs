//! Certificates of clients: the same ones to nginx and to the data plane, in each mode, and what the endpoint is told.

use std::net::SocketAddr;
use std::sync::Arc;

use ingress::Snapshot;
use ingress::snapshot::{Named, TlsSecret, UserList};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use tokio::net::TcpStream;

use super::{Nginx, Recorder, Seen, program};
use crate::fixture::{Gate, snapshot};
use crate::mutual::{Authority, Identity, authority, config, connect_to, identity, identity_of, request, with};

const TOLD: [&str; 4] = ["ssl-client-verify", "ssl-client-subject-dn", "ssl-client-issuer-dn", "ssl-client-cert"];

fn revocations(by: &Authority, serial: u64) -> String {
    let now = OffsetDateTime::now_utc();
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: now - Duration::hours(1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: now - Duration::hours(1),
        next_update: now + Duration::hours(1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&by.issuer).expect("a list").pem().expect("PEM")
}

/// Everybody who comes, by what is special about them.
fn callers(ours: &Authority, theirs: &Authority) -> Vec<(&'static str, Option<Identity>)> {
    let between = authority("between", Some(ours));
    let chained = |by: &Authority, more: &[&Authority]| {
        let (mut chain, key) = identity(by, "chained");
        chain.extend([by].into_iter().chain(more.iter().copied()).map(|authority| authority.der.clone()));
        (chain, key)
    };
    let deeper = authority("deeper", Some(&between));
    let now = OffsetDateTime::now_utc();
    let odd = identity_of(ours, |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CountryName, "DE");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "A, B+C;<\"\\>,CN=admin");
        params.distinguished_name.push(rcgen::DnType::CommonName, " z\u{fc}r\u{7f}= ");
        params.distinguished_name.push(rcgen::DnType::CustomDnType(vec![1, 2, 3]), "x");
    });
    vec![
        ("nobody", None),
        ("alice", Some(identity(ours, "alice"))),
        ("an odd name", Some(odd)),
        ("a stranger", Some(identity(theirs, "mallory"))),
        ("over", Some(identity_of(ours, |params| params.not_after = now - Duration::hours(1)))),
        ("not yet", Some(identity_of(ours, |params| params.not_before = now + Duration::hours(1)))),
        ("revoked", Some(identity_of(ours, |params| params.serial_number = Some(SerialNumber::from(7))))),
        (
            "for servers",
            Some(identity_of(ours, |params| {
                params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
            })),
        ),
        ("one between", Some(chained(&between, &[]))),
        ("two between", Some(chained(&deeper, &[&between]))),
    ]
}

async fn once(to: SocketAddr, identity: Option<&Identity>, recorder: &Recorder) -> (u16, Vec<Seen>) {
    let tcp = TcpStream::connect(to).await.expect("connect");
    let mut stream = connect_to(tcp, &config(identity), "a.example").await;
    let answer = request(&mut stream, "a.example", "ssl-client-verify: SUCCESS\r\nConnection: close\r\n").await;
    let told = |seen: Seen| {
        let headers = seen.headers.into_iter().filter(|(name, _)| TOLD.contains(&&**name)).collect();
        Seen { headers, ..seen }
    };
    (answer.status, recorder.take().into_iter().map(told).collect())
}

fn gate(endpoint: SocketAddr, mode: &str, depth: &str, keys: &[(String, String)]) -> Gate {
    let mut all: Snapshot = snapshot(&[endpoint]);
    let asked = json!({
        "auth-tls-secret": "ca", "auth-tls-verify-client": mode, "auth-tls-verify-depth": depth,
        "auth-tls-pass-certificate-to-upstream": "true",
    });
    with(&mut all, 1, "n", ("a.example", asked));
    let keys = keys.iter().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    all.user_lists.insert(Named::new("n", "ca"), Arc::new(UserList(keys.collect())));
    Gate::start(&all, |_| ())
}

/// Ingress: 49
#[tokio::test]
async fn nginx_and_the_data_plane_let_the_same_clients_in() {
    let Some(program) = program() else { return eprintln!("skipped: there is no nginx on this machine") };
    let recorder = Recorder::start().await;
    let (ours, theirs) = (authority("root", None), authority("other", None));
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
    let own = TlsSecret {
        certificate: made.cert.pem().into_bytes(),
        private_key: made.signing_key.serialize_pem().into_bytes(),
    };
    let (server, key) = (String::from_utf8(own.certificate).expect("PEM"), made.signing_key.serialize_pem());
    let list = revocations(&ours, 7);
    let files = [("server.pem", &*server), ("server.key", &*key), ("ca.pem", &*ours.pem), ("ca.crl", &*list)];
    let cases = [
        ("on", "1", false),
        ("on", "2", false),
        ("optional", "1", false),
        ("optional_no_ca", "1", false),
        ("off", "1", false),
        ("on", "1", true),
    ];
    let server = |(mode, depth, revoked): &(&str, &str, bool)| {
        let list = if *revoked { "ssl_crl ca.crl;" } else { "" };
        format!(
            "ssl_certificate server.pem; ssl_certificate_key server.key; ssl_client_certificate ca.pem;
            ssl_verify_client {mode}; ssl_verify_depth {depth}; {list}
            location / {{ USUAL proxy_set_header ssl-client-cert $ssl_client_escaped_cert;
                proxy_set_header ssl-client-verify $ssl_client_verify;
                proxy_set_header ssl-client-subject-dn $ssl_client_s_dn;
                proxy_set_header ssl-client-issuer-dn $ssl_client_i_dn; proxy_pass http://up; }}"
        )
    };
    let servers: Vec<String> = cases.iter().map(server).collect();
    let nginx = Nginx::start(&program, recorder.address, &servers, &files).await;
    let callers = callers(&ours, &theirs);
    let mut wrong = Vec::new();
    for ((mode, depth, revoked), port) in cases.iter().zip(&nginx.ports) {
        let mut keys = vec![("ca.crt".to_owned(), ours.pem.clone())];
        keys.extend(revoked.then(|| ("ca.crl".to_owned(), list.clone())));
        let gate = gate(recorder.address, mode, depth, &keys);
        for (caller, identity) in &callers {
            let nginx = once(*port, identity.as_ref(), &recorder).await;
            let own = once(gate.https, identity.as_ref(), &recorder).await;
            if nginx != own {
                wrong.push(format!("{mode} {depth} {revoked} {caller}:\n  nginx {nginx:?}\n  ours  {own:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
