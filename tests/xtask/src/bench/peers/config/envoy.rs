//! Envoy: a static bootstrap, one cluster, the same routes on both listeners.

use anyhow::{Context, Result};

use super::super::super::site::{HOST, SECURE_HOST};
use super::super::Place;
use super::lines;

const TYPES: &str = "type.googleapis.com/envoy.extensions";

pub fn write(place: &Place<'_>) -> Result<String> {
    let site = place.site;
    let endpoint = |backend: &String| {
        let (address, port) = backend.rsplit_once(':').context("backends are ADDRESS:PORT")?;
        anyhow::Ok(format!(
            "        - endpoint: {{address: {{socket_address: {{address: {address}, port_value: {port}}}}}}}"
        ))
    };
    let endpoints = lines(site.backends.iter().map(endpoint).collect::<Result<Vec<_>>>()?);
    let (certificate, key) = (site.certificate.display(), site.key.display());
    let tls = format!(
        "      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          \"@type\": {TYPES}.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates:
            - {{certificate_chain: {{filename: {certificate}}}, private_key: {{filename: {key}}}}}
"
    );
    let (plain, secure) = (listener(place, place.http, ""), listener(place, place.https, &tls));
    Ok(format!(
        "static_resources:
  listeners:
{plain}{secure}  clusters:
  - name: origin
    type: STATIC
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
{endpoints}"
    ))
}

fn listener(place: &Place<'_>, port: u16, tls: &str) -> String {
    let hosts = lines(place.site.routes.iter().map(|(host, paths)| {
        let routes: Vec<_> =
            paths.iter().map(|path| format!("{{match: {{prefix: {path}/}}, route: {{cluster: origin}}}}")).collect();
        format!("            - {{name: {host}, domains: [{host}], routes: [{}]}}", routes.join(", "))
    }));
    let log = place.dir.join("access.log");
    let log = log.display();
    format!(
        "  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": {TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          use_remote_address: true
          strip_any_host_port: true
          upgrade_configs: [{{upgrade_type: websocket}}]
          access_log:
          - name: envoy.access_loggers.file
            typed_config: {{\"@type\": {TYPES}.access_loggers.file.v3.FileAccessLog, path: {log}}}
          route_config:
            virtual_hosts:
            - name: web
              domains: [{HOST}, {SECURE_HOST}]
              routes: [{{match: {{prefix: /}}, route: {{cluster: origin}}}}]
{hosts}          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{\"@type\": {TYPES}.filters.http.router.v3.Router}}
{tls}"
    )
}
