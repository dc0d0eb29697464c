//! Flags and the configuration file of the server, merged: flag over file over default.
//!
//! The only reader of either. Names in the file are the flags' names; unknown ones are refused.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use federation_api::audit::{LogConfig, LogTarget};
use serde::Deserialize;

use crate::failure::Failure;

mod ingress;

pub use ingress::{AccessLogFormat, IngressSettings};

/// Flags of `serve`; `up` takes them too.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ServeFlags {
    /// YAML file with the same names as the flags; a flag wins over the file
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Keeps the store, the certificate authority, `kubeconfig` and `endpoints.json`; `up` keeps them in its --dir
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where objects are kept: redb:PATH (default: redb:DATA_DIR/fedgate.redb)
    #[arg(long, value_name = "redb:PATH")]
    pub store: Option<String>,
    /// Which parts this process runs; repeatable (default: all)
    #[arg(long, value_enum)]
    pub role: Vec<Role>,
    /// Kubeconfig of the hub, for a process without the role api
    #[arg(long, value_name = "FILE")]
    pub hub_kubeconfig: Option<PathBuf>,
    /// Address of the Kubernetes API (default: port 7443)
    #[arg(long, value_name = "IP:PORT")]
    pub api_addr: Option<SocketAddr>,
    /// Address of the ingress for http (default: port 7080)
    #[arg(long, value_name = "IP:PORT")]
    pub ingress_addr: Option<SocketAddr>,
    /// Address of the ingress for https (default: port 7843)
    #[arg(long, value_name = "IP:PORT")]
    pub ingress_tls_addr: Option<SocketAddr>,
    /// Address of the DNS server, UDP and TCP (default: port 7053)
    #[arg(long, value_name = "IP:PORT")]
    pub dns_addr: Option<SocketAddr>,
    /// Address of /metrics, /livez and /readyz (default: port 7090)
    #[arg(long, value_name = "IP:PORT")]
    pub admin_addr: Option<SocketAddr>,
    /// Further DNS names and addresses of the API, for its certificate
    #[arg(long, value_name = "NAME")]
    pub api_name: Vec<String>,
    /// Addresses or host names that Ingresses get as status.loadBalancer
    #[arg(long, value_name = "ADDRESS")]
    pub ingress_publish: Vec<String>,
    /// Proxies in front of the ingress, as address ranges: who they say the client is is believed
    #[arg(long, value_name = "CIDR")]
    pub ingress_trusted_proxy: Vec<String>,
    /// TLS Secret that is served where no other certificate fits
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub ingress_default_certificate: Option<String>,
    /// Names that Services of type ExternalName may stand for: a name, *.DOMAIN or * (default: none)
    #[arg(long, value_name = "NAME")]
    pub ingress_external_name: Vec<String>,
    /// Threads of the ingress data plane (default: one a core; `up`: one)
    #[arg(long, value_name = "N")]
    pub ingress_workers: Option<usize>,
    /// Connections to the ingress begin with a PROXY header, version 1 or 2, where a trusted proxy opened them
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub ingress_proxy_protocol: Option<bool>,
    /// Where requests to the ingress are logged: off, - for the standard output, or a file (default: off)
    #[arg(long, value_name = "FILE")]
    pub ingress_access_log: Option<String>,
    /// How a line of the access log is written (default: json)
    #[arg(long, value_enum)]
    pub ingress_access_log_format: Option<AccessLogFormat>,
    /// One request in so many is logged (default: 1)
    #[arg(long, value_name = "N")]
    pub ingress_access_log_every: Option<u32>,
    /// Collector that gets traces of requests to the ingress (OTLP over HTTP), such as http://collector:4318
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Share of the requests without a trace of their own that are traced, from 0 to 1 (default: 1)
    #[arg(long, value_name = "RATIO", requires = "otlp_endpoint")]
    pub trace_ratio: Option<f64>,
    /// How much one peer may ask of the ingress; repeatable, --help names all
    #[arg(long, value_name = "NAME=VALUE", long_help = ingress::help("How much one peer may ask of the ingress", ingress::LIMITS))]
    pub ingress_limit: Vec<String>,
    /// How long one peer may keep the ingress waiting; repeatable, --help names all
    #[arg(long, value_name = "NAME=TIME", long_help = ingress::help("How long one peer may keep the ingress waiting", ingress::TIMEOUTS))]
    pub ingress_timeout: Vec<String>,
    /// What heads of requests may say, and what the ingress adds; repeatable, --help names all
    #[arg(long, value_name = "NAME=VALUE", long_help = ingress::help("What heads of requests may say, and what the ingress adds", ingress::HEADS))]
    pub ingress_head: Vec<String>,
    /// Tokens in kube-apiserver's format: token,user,uid,"group1,group2"
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// Certificate authorities whose client certificates are believed, beside our own
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Serving certificate of the API (default: issued by our own authority)
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// Key of the serving certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// AlwaysAllow, AlwaysDeny, RBAC, in the order in which they are asked (default: RBAC)
    #[arg(long, value_name = "MODE", value_delimiter = ',')]
    pub authorization_mode: Vec<String>,
    /// Policy of the audit log, in kube-apiserver's format
    #[arg(long, value_name = "FILE")]
    pub audit_policy_file: Option<PathBuf>,
    /// File of the audit log; - is the standard output
    #[arg(long, value_name = "FILE", requires = "audit_policy_file")]
    pub audit_log_path: Option<PathBuf>,
    /// Megabytes after which the audit log is turned over (default: 100)
    #[arg(long, value_name = "MB")]
    pub audit_log_maxsize: Option<u64>,
    /// Old audit logs that are kept; 0 keeps all (default: 0)
    #[arg(long, value_name = "N")]
    pub audit_log_maxbackup: Option<usize>,
    /// Days that old audit logs are kept; 0 for ever (default: 0)
    #[arg(long, value_name = "DAYS")]
    pub audit_log_maxage: Option<u32>,
    /// Kubeconfig of the webhook that audit records are sent to
    #[arg(long, value_name = "FILE", requires = "audit_policy_file")]
    pub audit_webhook_config_file: Option<PathBuf>,
    /// Seconds between a stop, which /readyz tells at once, and its beginning (default: 0)
    #[arg(long, value_name = "SECONDS")]
    pub shutdown_delay: Option<u64>,
    /// Take sockets over from the process of the same --data-dir, which then drains; for --role ingress alone
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub take_over: Option<bool>,
    /// Where templates go that nothing places (default: none; `up`: all)
    #[arg(long, value_enum)]
    pub default_placement: Option<DefaultPlacement>,
}

/// A part of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    All,
    Api,
    Placement,
    Ingress,
    Dns,
}

/// Where templates go that neither an annotation nor a Placement places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultPlacement {
    /// Nowhere: they stay on the hub, and the write says so.
    #[default]
    None,
    /// To every cluster, replicas divided.
    All,
}

/// The merged configuration.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    pub data_dir: PathBuf,
    pub store: PathBuf,
    pub roles: Vec<Role>,
    pub hub_kubeconfig: Option<PathBuf>,
    pub api_addr: SocketAddr,
    pub ingress_addr: SocketAddr,
    pub ingress_tls_addr: SocketAddr,
    pub dns_addr: SocketAddr,
    pub admin_addr: SocketAddr,
    pub api_names: Vec<String>,
    pub ingress_publish: Vec<String>,
    pub ingress_workers: usize,
    pub ingress: IngressSettings,
    pub token_auth_file: Option<PathBuf>,
    pub client_ca_file: Option<PathBuf>,
    pub tls_files: Option<(PathBuf, PathBuf)>,
    pub authorization_modes: Vec<auth::Mode>,
    pub audit: Option<AuditFiles>,
    pub default_placement: DefaultPlacement,
    /// Between a stop and its beginning: load balancers have to notice that this process is not ready.
    pub shutdown_delay: Duration,
    /// From a process that runs already.
    pub take_over: bool,
    /// Members and their pods may be on this machine; only `up` sets it.
    pub playground: bool,
}

/// What is audited, and where the records go.
#[derive(Debug, Clone)]
pub struct AuditFiles {
    pub policy: PathBuf,
    pub log: Option<LogConfig>,
    pub webhook: Option<PathBuf>,
}

/// Ports that everything listens on where nothing else is said.
pub mod port {
    pub const API: u16 = 7443;
    pub const INGRESS: u16 = 7080;
    pub const INGRESS_TLS: u16 = 7843;
    pub const DNS: u16 = 7053;
    pub const ADMIN: u16 = 7090;
}

impl ServeFlags {
    /// Reads the file that `--config` names and lays the flags over it.
    ///
    /// # Errors
    /// FG-CLI-001 names the flag or the key that does not make sense.
    pub fn resolve(self, host: Ipv4Addr) -> Result<ServeConfig, Failure> {
        let file = match &self.config {
            Some(path) => from_file(path)?,
            None => Self::default(),
        };
        let audit = AuditFiles::of(&self, &file)?;
        let ingress = IngressSettings::of(&self, &file)?;
        let data_dir =
            self.data_dir.or(file.data_dir).ok_or_else(|| usage("--data-dir is missing").fix("give --data-dir DIR"))?;
        let store = match self.store.or(file.store) {
            None => data_dir.join("fedgate.redb"),
            Some(store) => store_path(&store)?,
        };
        let roles = [Role::All].to_vec();
        let roles = Some(first(self.role, file.role)).filter(|r| !r.is_empty()).unwrap_or(roles);
        let at = |flag: Option<SocketAddr>, file: Option<SocketAddr>, port| {
            flag.or(file).unwrap_or_else(|| SocketAddr::from((host, port)))
        };
        let modes = first(self.authorization_mode, file.authorization_mode);
        let modes: Result<Vec<auth::Mode>, _> = modes.iter().map(|mode| mode.parse::<auth::Mode>()).collect();
        let modes = modes.map_err(|e| usage(&format!("--authorization-mode: {e}")))?;
        let config = ServeConfig {
            store,
            hub_kubeconfig: self.hub_kubeconfig.or(file.hub_kubeconfig),
            api_addr: at(self.api_addr, file.api_addr, port::API),
            ingress_addr: at(self.ingress_addr, file.ingress_addr, port::INGRESS),
            ingress_tls_addr: at(self.ingress_tls_addr, file.ingress_tls_addr, port::INGRESS_TLS),
            dns_addr: at(self.dns_addr, file.dns_addr, port::DNS),
            admin_addr: at(self.admin_addr, file.admin_addr, port::ADMIN),
            api_names: first(self.api_name, file.api_name),
            ingress_publish: first(self.ingress_publish, file.ingress_publish),
            ingress_workers: self.ingress_workers.or(file.ingress_workers).unwrap_or_else(cores),
            token_auth_file: self.token_auth_file.or(file.token_auth_file),
            client_ca_file: self.client_ca_file.or(file.client_ca_file),
            tls_files: self
                .tls_cert_file
                .or(file.tls_cert_file)
                .zip(self.tls_private_key_file.or(file.tls_private_key_file)),
            authorization_modes: if modes.is_empty() { vec![auth::Mode::Rbac] } else { modes },
            audit,
            ingress,
            default_placement: self.default_placement.or(file.default_placement).unwrap_or_default(),
            shutdown_delay: Duration::from_secs(self.shutdown_delay.or(file.shutdown_delay).unwrap_or(0)),
            take_over: self.take_over.or(file.take_over).unwrap_or(false),
            playground: false,
            roles,
            data_dir,
        };
        let audited = config.audit.as_ref().and_then(|audit| audit.log.as_ref());
        if config.ingress.access_log.target == ::ingress::LogTarget::Stdout
            && audited.is_some_and(|log| matches!(log.target, LogTarget::Stdout))
        {
            return Err(usage("--ingress-access-log and --audit-log-path are both the standard output"));
        }
        if config.take_over && !config.is_ingress_alone() {
            return Err(usage("--take-over is for --role ingress alone: a store has one holder"));
        }
        if !config.runs(Role::Api) && config.hub_kubeconfig.is_none() {
            return Err(usage("--role without api needs --hub-kubeconfig"));
        }
        Ok(config)
    }
}

impl ServeConfig {
    /// Whether this process runs the part.
    #[must_use]
    pub fn runs(&self, role: Role) -> bool {
        self.roles.contains(&Role::All) || self.roles.contains(&role)
    }

    /// Whether this process is an ingress and nothing else, which another process can take over.
    #[must_use]
    pub fn is_ingress_alone(&self) -> bool {
        !self.roles.is_empty() && self.roles.iter().all(|role| *role == Role::Ingress)
    }
}

impl AuditFiles {
    fn of(flags: &ServeFlags, file: &ServeFlags) -> Result<Option<Self>, Failure> {
        let path = |of: fn(&ServeFlags) -> &Option<PathBuf>| of(flags).clone().or_else(|| of(file).clone());
        let log = path(|flags| &flags.audit_log_path);
        let webhook = path(|flags| &flags.audit_webhook_config_file);
        let Some(policy) = path(|flags| &flags.audit_policy_file) else {
            return match (log, webhook) {
                (None, None) => Ok(None),
                _ => Err(usage("an audit log needs --audit-policy-file").fix("give --audit-policy-file FILE")),
            };
        };
        let megabytes = flags.audit_log_maxsize.or(file.audit_log_maxsize).unwrap_or(100);
        let log = log.map(|path| LogConfig {
            target: if path.as_os_str() == "-" { LogTarget::Stdout } else { LogTarget::File(path) },
            max_bytes: megabytes.saturating_mul(1024 * 1024),
            max_backups: flags.audit_log_maxbackup.or(file.audit_log_maxbackup).unwrap_or(0),
            max_age_days: flags.audit_log_maxage.or(file.audit_log_maxage).unwrap_or(0),
        });
        Ok(Some(Self { policy, log, webhook }))
    }
}

fn from_file(path: &Path) -> Result<ServeFlags, Failure> {
    let source = std::fs::read_to_string(path)
        .map_err(|e| usage("--config cannot be read").because(format!("{}: {e}", path.display())))?;
    serde_saphyr::from_str(&source)
        .map_err(|e| usage("--config does not make sense").because(format!("{}: {e}", path.display())))
}

fn store_path(store: &str) -> Result<PathBuf, Failure> {
    match store.split_once(':') {
        Some(("redb", path)) if !path.is_empty() => Ok(PathBuf::from(path)),
        Some(("etcd", _)) => Err(usage("--store etcd: is not supported yet").fix("use --store redb:PATH")),
        _ => Err(usage(&format!("--store {store:?} is not redb:PATH"))),
    }
}

fn first<T>(flags: Vec<T>, file: Vec<T>) -> Vec<T> {
    if flags.is_empty() { file } else { flags }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn usage(message: &str) -> Failure {
    Failure::new("FG-CLI-001", message)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{Role, ServeFlags};

    fn flags(file: &str) -> (tempfile::TempDir, ServeFlags) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.yaml");
        std::fs::write(&path, file).expect("written");
        (dir, ServeFlags { config: Some(path), ..ServeFlags::default() })
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let (_dir, mut given) = flags("data-dir: /a\napi-addr: 10.0.0.1:1\ndns-addr: 10.0.0.1:2\n");
        given.api_addr = Some("10.0.0.9:9".parse().expect("an address"));
        let config = given.resolve(Ipv4Addr::LOCALHOST).expect("resolved");
        assert_eq!(config.api_addr.to_string(), "10.0.0.9:9");
        assert_eq!(config.dns_addr.to_string(), "10.0.0.1:2");
        assert_eq!(config.ingress_addr.to_string(), "127.0.0.1:7080");
        assert!(config.runs(Role::Dns));
    }

    #[test]
    fn the_ingress_believes_what_it_is_told_to() {
        let file = "data-dir: /a\ningress-trusted-proxy: [10.0.0.0/8]\ningress-default-certificate: n/tls\n\
                    ingress-external-name: ['*.example.com']\nshutdown-delay: 5\n";
        let (_dir, given) = flags(file);
        let config = given.resolve(Ipv4Addr::LOCALHOST).expect("resolved");
        assert!(config.ingress.trusted_proxies[0].holds([10, 1, 2, 3].into()));
        assert_eq!(config.ingress.default_certificate.expect("one").to_string(), "n/tls");
        assert!(config.ingress.external_names.allowed("a.example.com").is_some());
        assert_eq!(config.shutdown_delay.as_secs(), 5);
        let (_dir, nothing) = flags("data-dir: /a\n");
        let config = nothing.resolve(Ipv4Addr::LOCALHOST).expect("resolved");
        assert!(config.ingress.trusted_proxies.is_empty() && config.ingress.external_names.allowed("a.b").is_none());
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (file, named) in [
            ("data-dir: /a\nno-such-key: 1\n", "no-such-key"),
            ("data-dir: /a\naudit-log-path: /b\n", "--audit-policy-file"),
            ("data-dir: /a\nstore: etcd:http://x\n", "etcd"),
            ("data-dir: /a\nstore: sqlite\n", "sqlite"),
            ("data-dir: /a\nrole: [dns]\n", "--hub-kubeconfig"),
            ("data-dir: /a\nauthorization-mode: [Maybe]\n", "Maybe"),
            ("api-addr: 1.2.3.4:1\n", "--data-dir"),
            ("data-dir: /a\napi-addr: nowhere\n", "api-addr"),
            ("data-dir: /a\ningress-trusted-proxy: [10.0.0.0/99]\n", "--ingress-trusted-proxy"),
            ("data-dir: /a\ningress-default-certificate: tls\n", "--ingress-default-certificate"),
            ("data-dir: /a\ningress-external-name: [10.0.0.1]\n", "--ingress-external-name"),
            ("data-dir: /a\ningress-access-log: \"\"\n", "--ingress-access-log"),
            ("data-dir: /a\ningress-access-log-format: xml\n", "ingress-access-log-format"),
            (
                "data-dir: /a\ningress-access-log: \"-\"\naudit-log-path: \"-\"\naudit-policy-file: /p\n",
                "standard output",
            ),
            ("data-dir: /a\ningress-proxy-protocol: true\n", "--ingress-trusted-proxy"),
            ("data-dir: /a\notlp-endpoint: https://c\n", "--otlp-endpoint"),
            ("data-dir: /a\notlp-endpoint: http://c\ntrace-ratio: 1.5\n", "--trace-ratio"),
            ("data-dir: /a\ntrace-ratio: 0.5\n", "--otlp-endpoint"),
            ("data-dir: /a\ntake-over: true\n", "--take-over"),
            ("data-dir: /a\ningress-limit: [no-such=1]\n", "no-such"),
            ("data-dir: /a\ningress-limit: [head-bytes]\n", "NAME=VALUE"),
            ("data-dir: /a\ningress-limit: [head-bytes=many]\n", "head-bytes"),
            ("data-dir: /a\ningress-limit: [head-bytes=1]\n", "head-bytes"),
            ("data-dir: /a\ningress-limit: [attempts=1, attempts=2]\n", "twice"),
            ("data-dir: /a\ningress-timeout: [idle=0s]\n", "idle"),
            ("data-dir: /a\ningress-timeout: [idle=5]\n", "idle"),
            ("data-dir: /a\ningress-head: [trace=maybe]\n", "trace"),
            ("data-dir: /a\ningress-head: [\"via=two words\"]\n", "via"),
        ] {
            let (_dir, given) = flags(file);
            let text = given.resolve(Ipv4Addr::LOCALHOST).expect_err(file).to_string();
            assert!(text.contains(named), "{file}: {text}");
        }
    }
}
