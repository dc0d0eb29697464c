//! What a remote APIService says: for which group and version, at which Service, how its server is verified.

use serde_json::Value;

use crate::hook::{Destination, Trust};

/// The port where none is named; defaulting fills it in, old objects may lack it.
const HTTPS: u16 = 443;

/// An APIService that another server answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) version: String,
    /// Namespace and name of the Service.
    pub(crate) service: (String, String),
    pub(crate) port: u16,
    pub(crate) destination: Destination,
    /// Whether the condition Available is True.
    pub(crate) available: bool,
    pub(crate) group_priority: i64,
    pub(crate) version_priority: i64,
}

impl Remote {
    /// Reads an APIService; none for those that this server answers for itself.
    pub(crate) fn read(object: &Value) -> Option<Self> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
        let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
        let service = (text("/spec/service/namespace"), text("/spec/service/name"));
        if service.1.is_empty() {
            return None;
        }
        let port = number("/spec/service/port").map_or(Ok(HTTPS), u16::try_from).ok()?;
        let trust = match object.pointer("/spec/insecureSkipTLSVerify") {
            Some(Value::Bool(true)) => Trust::Anybody,
            _ => Trust::from_base64(&text("/spec/caBundle"))?,
        };
        let destination = Destination::of_service((&service.0, &service.1), port, trust);
        Some(Self {
            name: text("/metadata/name"),
            group: text("/spec/group"),
            version: text("/spec/version"),
            destination,
            available: super::condition::is_available(object),
            group_priority: number("/spec/groupPriorityMinimum").unwrap_or(0),
            version_priority: number("/spec/versionPriority").unwrap_or(0),
            service,
            port,
        })
    }

    /// Where the server has to tell what it serves of this group and version.
    pub(crate) fn path(&self) -> String {
        crate::wire::discovery::group_version_path(&self.group, &self.version)
    }
}
