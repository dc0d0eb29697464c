//! HAProxy: a thread a core, shared idle connections, routes in a map as its own ingress controller keeps them.

use std::fs;

use anyhow::Result;

use super::super::super::site::{HOST, SECURE_HOST};
use super::super::Place;
use super::{cores, lines};

pub fn write(place: &Place<'_>) -> Result<String> {
    let (cores, Place { http, https, site, .. }) = (cores(), place);
    let servers = lines(site.backends.iter().enumerate().map(|(n, backend)| format!("  server pod{n} {backend}")));
    let map = place.dir.join("routes.map");
    let bases =
        site.routes.iter().flat_map(|(host, paths)| paths.iter().map(move |path| format!("{host}{path}/ origin")));
    // HTTP/2 clients name the port, and it is part of what is looked up.
    let own = [format!("{HOST}/ origin"), format!("{SECURE_HOST}/ origin"), format!("{SECURE_HOST}:{https}/ origin")];
    fs::write(&map, lines(own.into_iter().chain(bases)))?;
    let (both, map) = (site.both.display(), map.display());
    Ok(format!(
        "global
  nbthread {cores}
  maxconn 4096
  log stdout format raw local0 info
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend web
  bind 127.0.0.1:{http}
  bind 127.0.0.1:{https} ssl crt {both} alpn h2,http/1.1
  use_backend %[base,lower,map_beg({map},none)]
backend none
  http-request deny deny_status 404
backend origin
  balance roundrobin
{servers}"
    ))
}
