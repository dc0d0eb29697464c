//! The audit log, as its files say.
//!
//! Reads the files; what is recorded and how is the API server's.

use federation_api::audit::{Audit, Policy};
use hub_client::error::chain;

use crate::config::AuditFiles;
use crate::failure::Failure;

/// Opens the log and the webhook.
///
/// # Errors
/// FG-CLI-001 for a policy or a kubeconfig that does not make sense, FG-CLI-002 for files that cannot be used.
pub(super) async fn open(files: &AuditFiles) -> Result<Audit, Failure> {
    let path = &files.policy;
    let text = std::fs::read(path).map_err(|e| Failure::local(format!("cannot read {}", path.display()), e))?;
    let policy = Policy::parse(&text).map_err(|e| {
        Failure::new("FG-CLI-001", format!("--audit-policy-file {} does not make sense", path.display())).because(e)
    })?;
    let mut audit = Audit::new(policy);
    if let Some(log) = &files.log {
        audit = audit.with_log(log.clone()).map_err(|e| Failure::local("cannot open --audit-log-path", e))?;
    }
    if let Some(path) = &files.webhook {
        let unusable = |error: &dyn std::error::Error| {
            let text = format!("--audit-webhook-config-file {} does not make sense", path.display());
            Failure::new("FG-CLI-001", text).because(chain(error))
        };
        let kubeconfig = kube::config::Kubeconfig::read_from(path).map_err(|e| unusable(&e))?;
        let options = kube::config::KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|e| unusable(&e))?;
        // The records go to the URL itself: its path is that of the request, not what stands before it.
        let url = config.cluster_url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let mut parts = config.cluster_url.into_parts();
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        config.cluster_url = http::Uri::from_parts(parts).map_err(|e| unusable(&e))?;
        let receiver = kube::Client::try_from(config).map_err(|e| unusable(&e))?;
        audit = audit.with_webhook(receiver, url);
    }
    Ok(audit)
}
