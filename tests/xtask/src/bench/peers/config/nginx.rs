//! nginx: workers with listeners of their own, kept upstream connections, a buffered log.

use anyhow::Result;

use super::super::super::site::{HOST, SECURE_HOST};
use super::super::Place;
use super::{cores, lines};

const FORWARD: &str = "proxy_pass http://origin;";

pub fn write(place: &Place<'_>) -> Result<String> {
    let (dir, cores, Place { http, https, site, .. }) = (place.dir.display(), cores(), place);
    let upstreams = lines(site.backends.iter().map(|backend| format!("    server {backend};")));
    let (certificate, key) = (site.certificate.display(), site.key.display());
    let others = lines(site.routes.iter().map(|(host, paths)| {
        let locations: String = paths.iter().map(|path| format!(" location {path}/ {{ {FORWARD} }}")).collect();
        format!("  server {{ listen 127.0.0.1:{http}; server_name {host};{locations} }}")
    }));
    Ok(format!(
        "user root;
daemon off;
worker_processes {cores};
pid {dir}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log {dir}/access.log combined buffer=64k flush=1s;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
  server_names_hash_max_size 8192;
  server_names_hash_bucket_size 128;
  upstream origin {{
{upstreams}    keepalive 256;
    keepalive_requests 100000000;
  }}
  map $http_upgrade $upstream_connection {{ default upgrade; '' ''; }}
  keepalive_requests 100000000;
  proxy_http_version 1.1;
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $upstream_connection;
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme;
  server {{
    listen 127.0.0.1:{http} reuseport;
    listen 127.0.0.1:{https} ssl http2 reuseport;
    server_name {HOST} {SECURE_HOST};
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    location / {{ {FORWARD} }}
  }}
{others}}}
"
    ))
}
