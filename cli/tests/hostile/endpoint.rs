//! A `fedgate up` of one's own: its address, who may talk to it, and how much memory it takes.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};

use crate::line::Line;

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Tokens of the administrator, of somebody who floods, and of a controller that elects its leader.
pub const ADMIN: &str = "admin-token";
pub const FLOODER: &str = "flooder-token";
pub const SCHEDULER: &str = "scheduler-token";
const TOKENS: &str = "admin-token,admin,1,system:masters\nflooder-token,flooder,2\n\
                      scheduler-token,system:kube-scheduler,3\n";

/// A running endpoint; ended when dropped.
pub struct Endpoint {
    process: Child,
    pub address: SocketAddr,
    roots: RootCertStore,
    log: PathBuf,
    _dir: tempfile::TempDir,
}

impl Endpoint {
    pub fn start() -> Self {
        Self::from(Command::new(env!("CARGO_BIN_EXE_fedgate")))
    }

    /// One that may have so many descriptors, and no more.
    pub fn with_descriptors(most: u32) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {most}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_fedgate")]);
        Self::from(shell)
    }

    fn from(mut up: Command) -> Self {
        let dir = tempfile::TempDir::with_prefix("fedgate-").expect("a temporary directory");
        let (tokens, log) = (dir.path().join("tokens.csv"), dir.path().join("output"));
        fs::write(&tokens, TOKENS).expect("written");
        let output = fs::File::create(&log).expect("a file");
        up.args(["up", "--members", "sim:1", "--no-kubeconfig", "--dir"]).arg(dir.path().join("up"));
        for address in ["api", "ingress", "ingress-tls", "dns", "admin"] {
            up.args([format!("--{address}-addr"), "127.0.0.1:0".to_owned()]);
        }
        up.arg("--token-auth-file").arg(&tokens).stdin(Stdio::null());
        up.stdout(output.try_clone().expect("a file")).stderr(output);
        let mut process = up.spawn().expect("fedgate starts");
        let ready = dir.path().join("up/endpoints.json");
        let begun = Instant::now();
        while !ready.exists() {
            let gone = process.try_wait().expect("a child");
            assert!(gone.is_none() && begun.elapsed() < PATIENCE, "{}", fs::read_to_string(&log).expect("a log"));
            std::thread::sleep(Duration::from_millis(20));
        }
        let endpoints: Value = serde_json::from_slice(&fs::read(&ready).expect("a file")).expect("JSON");
        let address = endpoints["api"].as_str().expect("an address");
        let address = address.trim_start_matches("https://").parse().expect("an address");
        let kubeconfig = fs::read_to_string(dir.path().join("up/kubeconfig")).expect("a kubeconfig");
        let endpoint = Self { process, address, roots: roots(&kubeconfig), log, _dir: dir };
        endpoint.admit("flooder");
        endpoint.admit("system:kube-scheduler");
        endpoint
    }

    /// A connection that speaks that protocol.
    pub fn connect(&self, protocol: &str) -> Line {
        let mut config = ClientConfig::builder().with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        Line::open(self.address, Arc::new(config))
    }

    /// The code of the answer to one request on a connection of its own.
    pub fn ask(&self, token: &str, path: &str) -> u16 {
        self.connect("http/1.1").ask("GET", path, (token, b""))
    }

    pub fn post(&self, path: &str, body: &Value) {
        let code = self.connect("http/1.1").ask("POST", path, (ADMIN, body.to_string().as_bytes()));
        assert_eq!(code, 201, "{path}");
    }

    /// Somebody who behaves is served.
    pub fn serves(&self) {
        assert_eq!(self.ask(ADMIN, "/api/v1/namespaces/default"), 200, "{}", self.output());
    }

    /// Lets a user do everything, but none of it first: who is in system:masters is never kept waiting.
    fn admit(&self, user: &str) {
        let name = user.replace(':', "-");
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        self.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding);
    }

    /// How many KiB of memory the process takes at most while `attack` goes on, beyond what it took before.
    pub fn growth_kib(&self, attack: impl FnOnce(&Self)) -> u64 {
        let before = self.memory_kib("VmRSS:");
        fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5").expect("the peak begins anew");
        attack(self);
        self.memory_kib("VmHWM:").saturating_sub(before)
    }

    fn memory_kib(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a process has memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// What the process has said.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).expect("a log")
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        drop(ended);
    }
}

/// The authority that a kubeconfig names.
fn roots(kubeconfig: &str) -> RootCertStore {
    let kubeconfig: Value = serde_saphyr::from_str(kubeconfig).expect("YAML");
    let encoded = kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"].as_str();
    let pem = STANDARD.decode(encoded.expect("an authority")).expect("base64");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.expect("a certificate")).expect("an authority");
    }
    roots
}
