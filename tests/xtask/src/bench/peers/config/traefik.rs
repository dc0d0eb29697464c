//! Traefik: the file provider, which takes the same way as the one for Kubernetes.

use std::path::Path;

use anyhow::Result;

use super::super::super::site::{HOST, SECURE_HOST};
use super::super::{Place, strings};
use super::lines;

pub fn write(place: &Place<'_>) -> Result<String> {
    let site = place.site;
    let servers = lines(site.backends.iter().map(|backend| format!("        - url: http://{backend}")));
    let routes = site.routes.iter().flat_map(|(host, paths)| paths.iter().map(move |path| (host, path)));
    let others = lines(routes.enumerate().map(|(n, (host, path))| {
        format!("    r{n}: {{rule: 'Host(`{host}`) && PathPrefix(`{path}/`)', entryPoints: [web], service: origin}}")
    }));
    let (certificate, key) = (site.certificate.display(), site.key.display());
    Ok(format!(
        "http:
  routers:
    web: {{rule: Host(`{HOST}`), entryPoints: [web], service: origin}}
    secure: {{rule: Host(`{SECURE_HOST}`), entryPoints: [secure], service: origin, tls: {{}}}}
{others}  services:
    origin:
      loadBalancer:
        servers:
{servers}tls:
  certificates: [{{certFile: {certificate}, keyFile: {key}}}]
"
    ))
}

pub fn arguments(file: &Path, place: &Place<'_>) -> Vec<String> {
    strings(&[
        &format!("--entrypoints.web.address=127.0.0.1:{}", place.http),
        &format!("--entrypoints.secure.address=127.0.0.1:{}", place.https),
        &format!("--providers.file.filename={}", file.display()),
        &format!("--accesslog.filepath={}", place.dir.join("access.log").display()),
        "--accesslog.bufferingsize=1000",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--log.level=ERROR",
    ])
}
