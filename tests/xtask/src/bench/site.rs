//! What is served in every row: names, paths, a certificate.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::peers::Site;
use crate::invoke;

pub const HOST: &str = "bench.example";
/// Behind TLS. A name of its own: an Ingress with TLS redirects what comes without.
pub const SECURE_HOST: &str = "secure.bench.example";
pub const PATHS_A_HOST: usize = 10;

/// `count` routes: that many hosts with ten paths each.
pub fn routes(count: usize) -> Vec<(String, Vec<String>)> {
    let paths = || (0..PATHS_A_HOST).map(|number| format!("/p{number}")).collect();
    (0..count / PATHS_A_HOST).map(|number| (format!("h{number}.bench.example"), paths())).collect()
}

/// Makes an ECDSA P-256 certificate for the secure host.
///
/// # Errors
/// openssl is not there or fails.
pub fn make(dir: &Path, backends: Vec<String>, routes: Vec<(String, Vec<String>)>) -> Result<Site> {
    let [certificate, key, both] = ["tls.crt", "tls.key", "tls.pem"].map(|name| dir.join(name));
    let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30";
    let mut openssl = invoke::command("openssl", line.split_whitespace());
    openssl.args(["-subj", &format!("/CN={SECURE_HOST}"), "-addext", &format!("subjectAltName=DNS:{SECURE_HOST}")]);
    invoke::read(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate))?;
    fs::write(&both, [fs::read(&certificate)?, fs::read(&key)?].concat())?;
    Ok(Site { backends, certificate, key, both, routes })
}
