//! The real thing: an etcd and a kube-apiserver on loopback, for as long as this value lives.
//!
//! Admission plugins that write into objects are off: what is compared is patching, not admission.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A cold start takes about five seconds on an idle machine.
const START: Duration = Duration::from_secs(120);
/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(100);
const TOKEN: &str = "replay-token";
const PLUGINS_OFF: &str = "ServiceAccount,DefaultTolerationSeconds,Priority,TaintNodesByCondition,RuntimeClass,LimitRanger,ResourceQuota,DefaultStorageClass,DefaultIngressClass,StorageObjectInUseProtection,PodSecurity,PodTopologyLabels,CertificateApproval,CertificateSigning,CertificateSubjectRestriction,ClusterTrustBundleAttest,PersistentVolumeClaimResize";

/// Dropping it kills both programs and removes their folder.
pub struct Peer {
    pub url: String,
    _etcd: Child,
    _server: Child,
    _folder: TempDir,
}

impl Peer {
    /// Starts both and waits until the server is ready.
    ///
    /// # Errors
    /// A program cannot be started, ends, or is not ready in time; the error carries its last words.
    pub async fn start(programs: &Path) -> Result<Peer> {
        let folder = tempfile::tempdir().context("a folder for the control plane")?;
        let path = |name: &str| folder.path().join(name);
        let [store, peers, api] = free_ports()?;
        let program = programs.join("controlplane");
        let url = |address: SocketAddr| format!("http://{address}");
        let etcd = spawn(&program, &path("etcd.log"), |command| {
            command
                .args(["etcd", "--unsafe-no-fsync", "--log-level", "error"])
                .arg("--data-dir")
                .arg(path("etcd"))
                .args(["--listen-client-urls", &url(store), "--advertise-client-urls", &url(store)])
                .args(["--listen-peer-urls", &url(peers)]);
        })?;
        let tokens = format!("{TOKEN},admin,admin,\"system:masters\"\n");
        std::fs::write(path("tokens.csv"), tokens).context("the token file")?;
        let key = rcgen::KeyPair::generate().context("a key")?;
        std::fs::write(path("sa.key"), key.serialize_pem()).context("the service account key")?;
        std::fs::write(path("sa.pub"), key.public_key_pem()).context("the service account key")?;
        let mut server = spawn(&program, &path("apiserver.log"), |command| {
            command
                .args(["kube-apiserver", "--etcd-servers", &url(store)])
                .args(["--bind-address", "127.0.0.1", "--secure-port", &api.port().to_string()])
                .args([
                    "--service-cluster-ip-range",
                    "10.96.0.0/12",
                    "--allow-privileged",
                    "--authorization-mode",
                    "RBAC",
                ])
                .args([
                    "--service-account-issuer",
                    "https://kubernetes.default.svc",
                    "--disable-admission-plugins",
                    PLUGINS_OFF,
                ])
                .args(["--endpoint-reconciler-type", "none", "--enable-priority-and-fairness=false"])
                .arg("--cert-dir")
                .arg(path("certs"))
                .arg("--token-auth-file")
                .arg(path("tokens.csv"));
            command.arg("--service-account-key-file").arg(path("sa.pub"));
            command.arg("--service-account-signing-key-file").arg(path("sa.key"));
        })?;
        let url = format!("https://{api}");
        let caller = connect(&url)?;
        let started = Instant::now();
        loop {
            if let Some(status) = server.try_wait().context("the API server")? {
                bail!("the API server ended ({status}):\n{}", tail(&path("apiserver.log")));
            }
            let probe = http::Request::get("/readyz").body(kube::client::Body::empty()).context("a request")?;
            if caller.send(probe).await.is_ok_and(|reply| reply.status().is_success()) {
                break;
            }
            if started.elapsed() > START {
                bail!("the API server is not ready after {START:?}:\n{}", tail(&path("apiserver.log")));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(Peer { url, _etcd: etcd, _server: server, _folder: folder })
    }

    /// A caller who may do everything.
    ///
    /// # Errors
    /// The address is none.
    pub fn caller(&self) -> Result<kube::Client> {
        connect(&self.url)
    }
}

fn connect(url: &str) -> Result<kube::Client> {
    let mut config = kube::Config::new(url.parse().context("the server's address")?);
    // It signs its own certificate on every start and listens on loopback only.
    config.accept_invalid_certs = true;
    config.auth_info.token = Some(TOKEN.to_owned().into());
    config.read_timeout = Some(Duration::from_secs(30));
    kube::Client::try_from(config).context("connect to the API server")
}

fn spawn(program: &Path, log: &Path, arguments: impl FnOnce(&mut Command)) -> Result<Child> {
    let output = std::fs::File::create(log).with_context(|| format!("create {}", log.display()))?;
    let mut command = Command::new(program);
    arguments(&mut command);
    command.stdin(Stdio::null()).stdout(output.try_clone().context("the log")?).stderr(output).kill_on_drop(true);
    command.spawn().with_context(|| format!("start {}", program.display()))
}

/// Ports that were free a moment ago.
fn free_ports() -> Result<[SocketAddr; 3]> {
    let bound: Vec<TcpListener> =
        (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>().context("a free port")?;
    let addresses: Vec<SocketAddr> = bound.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    Ok([addresses[0], addresses[1], addresses[2]])
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_else(|error| format!("no log: {error}"));
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
