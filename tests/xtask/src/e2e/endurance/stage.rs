//! A playground with an application in it, and what can be done to both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::super::hub::Endpoints;
use super::super::shop::SOON;
use super::super::wait::until;
use super::{EDITS_A_SECOND, Pace, Vitals};
use crate::bench::{Report, program};
use crate::conformance::playground::Playground;
use crate::provision::{For, Toolbox};
use crate::{dist, invoke, paths};

const MANIFESTS: &str = include_str!("application.yaml");
const HOST: &str = "web.endurance.example";
/// How long new pods and certificates serve before they are replaced.
const LIVES: Duration = Duration::from_secs(2);
/// How long a fault is watched.
const WATCHED: Duration = Duration::from_secs(10);
const MEMBERS: usize = 3;
/// Silent connections are closed by then, on both sides.
const LET_GO: Duration = Duration::from_secs(90);

pub struct Stage {
    playground: Playground,
    toolbox: Toolbox,
    /// Certificates that were made so far.
    certificates: usize,
}

/// What `churn` prints.
#[derive(Deserialize)]
struct Churned {
    #[serde(flatten)]
    report: Report,
    edits: usize,
    failures: Vec<String>,
}

/// Builds the product and the load programs.
///
/// # Errors
/// One does not compile.
pub fn build() -> Result<()> {
    invoke::run(invoke::cargo().args(["build", "--release", "--locked", "--package", "bench"]))?;
    dist::build()
}

impl Stage {
    /// # Errors
    /// The playground did not start.
    pub fn open(title: &str) -> Result<Self> {
        let toolbox = Toolbox::stock(For::Test);
        let dir = paths::target().join("e2e").join(title);
        Ok(Self { playground: Playground::start(&paths::fedgate(), dir)?, toolbox, certificates: 0 })
    }

    pub fn dir(&self) -> &Path {
        self.playground.dir()
    }

    /// The application, until it answers on both ports.
    ///
    /// # Errors
    /// It does not.
    pub fn serve(&mut self) -> Result<()> {
        let (certificate, key) = self.make_certificate()?;
        let manifest = self.dir().join("application.yaml");
        fs::write(&manifest, MANIFESTS)?;
        let (certificate, key) = (certificate.display(), key.display());
        self.kubectl(&format!("create secret tls web --cert={certificate} --key={key}"))?;
        self.kubectl(&format!("apply -f {}", manifest.display()))?;
        self.kubectl("rollout status deployment/web --timeout=60s")?;
        self.members_are_ready()?;
        let Endpoints { ingress, ingress_tls, .. } = self.endpoints()?;
        for url in [format!("http://{ingress}/"), format!("https://{ingress_tls}/")] {
            until(&url, SOON, || {
                let mut curl = invoke::command("curl", ["--silent", "--show-error", "--fail", "--max-time", "2"]);
                curl.args(["--insecure", "--header", &format!("Host: {HOST}")]);
                invoke::read(curl.arg(&url)).map(|_| ())
            })?;
        }
        Ok(())
    }

    /// Starts 1,000 requests a second.
    ///
    /// # Errors
    /// The first was not answered.
    pub fn pace(&self, words: &[&str]) -> Result<Pace> {
        let Endpoints { ingress, ingress_tls, .. } = self.endpoints()?;
        let address = if words.contains(&"--tls") { ingress_tls } else { ingress };
        let mut paced = Command::new(program("paced"));
        Pace::start(paced.args([address.as_str(), HOST]).args(words), &self.dir().join("paced.log"))
    }

    /// Another image, and the old one's pods gone.
    ///
    /// # Errors
    /// The rollout did not end.
    pub fn roll(&self, round: usize) -> Result<()> {
        self.kubectl(&format!("set image deployment/web web=registry.example/web:{}", round + 2))?;
        self.kubectl("rollout status deployment/web --timeout=60s")?;
        // Pods that nobody has asked yet would say nothing of the next rollout.
        std::thread::sleep(LIVES);
        Ok(())
    }

    /// Edits Ingresses all the time.
    ///
    /// # Errors
    /// An edit was refused, did not arrive, or what it replaced stayed.
    pub fn churn(&self, seconds: u32) -> Result<()> {
        let mut churn = Command::new(program("churn"));
        churn.arg("--kubeconfig").arg(self.playground.kubeconfig()).args(["--gateway", &self.endpoints()?.ingress]);
        churn.args(["--rate", &EDITS_A_SECOND.to_string(), "--seconds", &seconds.to_string()]);
        let said = invoke::read(&mut churn)?;
        let Churned { report, edits, failures } = serde_json::from_str(&said).context(said)?;
        println!(
            "         {edits} edits in {seconds} s; {} changes arrived, p50 {:.0} ms, p99 {:.0} ms after they were acknowledged",
            report.done, report.p50_ms, report.p99_ms
        );
        ensure!(failures.is_empty(), "{}", failures.join("\n"));
        ensure!(report.done > 0, "no change arrived");
        Ok(())
    }

    /// Another certificate, and new connections see it.
    ///
    /// # Errors
    /// They do not.
    pub fn rotate(&mut self) -> Result<()> {
        let (certificate, key) = self.make_certificate()?;
        let line = format!("create secret tls web --cert={} --key={}", certificate.display(), key.display());
        let manifest = self.dir().join("secret.yaml");
        fs::write(&manifest, self.kubectl(&format!("{line} --dry-run=client -o yaml"))?)?;
        self.kubectl(&format!("apply -f {}", manifest.display()))?;
        let wanted = fs::read_to_string(&certificate)?;
        let address = self.endpoints()?.ingress_tls;
        until("the new certificate", SOON, || {
            let mut openssl = invoke::command("openssl", ["s_client", "-connect", &address, "-servername", HOST]);
            let shown = invoke::read(&mut openssl)?;
            ensure!(shown.contains(wanted.trim()), "an older one is shown");
            Ok(())
        })?;
        std::thread::sleep(LIVES);
        Ok(())
    }

    /// # Errors
    /// There is no such fault or member.
    pub fn fault(&self, fault: &str, member: &str) -> Result<()> {
        let mut sim = invoke::command(paths::fedgate(), ["sim", fault, member, "--dir"]);
        invoke::read(sim.arg(self.dir())).map(|_| ())
    }

    /// Lets time pass over what has just happened.
    pub fn watch(&self) {
        std::thread::sleep(WATCHED);
    }

    /// # Errors
    /// One stays away.
    pub fn members_are_ready(&self) -> Result<()> {
        let line = "wait --for=condition=Ready clusters.fedgate.dev --all --timeout=60s";
        let ready = self.kubectl(line)?;
        ensure!(ready.lines().count() == MEMBERS, "not {MEMBERS} members: {ready}");
        Ok(())
    }

    /// # Errors
    /// The process is gone.
    pub fn vitals(&self) -> Result<Vitals> {
        Vitals::of(self.playground.pid())
    }

    /// What it holds when kept connections have been let go.
    ///
    /// # Errors
    /// More descriptors stay than there were at the start.
    pub fn settled(&self, start: &Vitals) -> Result<Vitals> {
        until("connections are let go", LET_GO, || {
            let now = self.vitals()?;
            start.has_let_go(&now).map(|()| now)
        })
    }

    /// Once kept connections have been let go.
    ///
    /// # Errors
    /// Something stays that was not there.
    pub fn has_not_outgrown(&self, before: &Vitals) -> Result<()> {
        let judged = until("as small as before", LET_GO, || before.not_outgrown_by(&self.vitals()?));
        println!("         before: {before}; after: {}", self.vitals()?);
        judged
    }

    fn endpoints(&self) -> Result<Endpoints> {
        let raw = fs::read(self.dir().join("endpoints.json"))?;
        serde_json::from_slice(&raw).context("endpoints.json")
    }

    fn kubectl(&self, line: &str) -> Result<String> {
        let mut kubectl = invoke::command("kubectl", ["--kubeconfig"]);
        kubectl.arg(self.playground.kubeconfig()).args(line.split_whitespace());
        invoke::read(kubectl.env("PATH", self.toolbox.path()?).env("HOME", self.dir()))
    }

    fn make_certificate(&mut self) -> Result<(PathBuf, PathBuf)> {
        self.certificates += 1;
        let [certificate, key] = ["crt", "key"].map(|end| self.dir().join(format!("tls-{}.{end}", self.certificates)));
        let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30";
        let mut openssl = invoke::command("openssl", line.split_whitespace());
        openssl.args(["-subj", &format!("/CN={HOST}"), "-addext", &format!("subjectAltName=DNS:{HOST}")]);
        invoke::read(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate))?;
        Ok((certificate, key))
    }
}
