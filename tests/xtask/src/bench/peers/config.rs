//! The peers' configuration files.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::available_parallelism;

use super::super::wrk::HOST;

/// Workers of each peer.
pub fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

fn lines(backends: &[String], line: impl Fn(usize, &str) -> String) -> String {
    let mut text = String::new();
    for (index, backend) in backends.iter().enumerate() {
        writeln!(text, "{}", line(index, backend)).expect("a String takes everything");
    }
    text
}

pub fn nginx(dir: &Path, port: u16, backends: &[String]) -> String {
    let (dir, cores) = (dir.display(), cores());
    let servers = lines(backends, |_, backend| format!("    server {backend};"));
    format!(
        "user root;
daemon off;
worker_processes {cores};
pid {dir}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
  upstream origin {{
{servers}    keepalive 256;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} reuseport;
    server_name {HOST};
    keepalive_requests 100000000;
    location / {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"
    )
}

pub fn haproxy(_dir: &Path, port: u16, backends: &[String]) -> String {
    let cores = cores();
    let servers = lines(backends, |index, backend| format!("  server pod{index} {backend}"));
    format!(
        "global
  nbthread {cores}
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend web
  bind 127.0.0.1:{port}
  acl ours hdr(host) -i {HOST}
  use_backend origin if ours
backend origin
  balance roundrobin
{servers}"
    )
}

pub fn traefik(_dir: &Path, _port: u16, backends: &[String]) -> String {
    let servers = lines(backends, |_, backend| format!("        - url: http://{backend}"));
    format!(
        "http:
  routers:
    web:
      rule: Host(`{HOST}`)
      entryPoints: [web]
      service: origin
  services:
    origin:
      loadBalancer:
        servers:
{servers}"
    )
}

pub fn envoy(_dir: &Path, port: u16, backends: &[String]) -> String {
    let endpoints = lines(backends, |_, backend| {
        let (address, port) = backend.rsplit_once(':').expect("backends are ADDRESS:PORT");
        format!("        - endpoint: {{address: {{socket_address: {{address: {address}, port_value: {port}}}}}}}")
    });
    format!(
        "static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          use_remote_address: true
          route_config:
            virtual_hosts:
            - name: web
              domains: [{HOST}]
              routes: [{{match: {{prefix: /}}, route: {{cluster: origin}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: origin
    type: STATIC
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
{endpoints}"
    )
}
