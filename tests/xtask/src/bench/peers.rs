//! The other proxies: each with a configuration of its own makers' advice for a keep-alive
//! reverse proxy, one worker a core, an access log to a file, TLS with the same certificate.

mod config;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use super::ground::{Ground, Running, program};

/// A proxy under load.
pub struct Contestant {
    pub running: Running,
    pub http: String,
    /// Where it ends TLS; the bare forwarder does not.
    pub https: Option<String>,
    /// What it writes a line a request to.
    pub log: PathBuf,
}

/// What every peer serves.
#[derive(Clone)]
pub struct Site {
    /// Pods, as ADDRESS:PORT.
    pub backends: Vec<String>,
    /// PEM files: certificate, key, and both in one.
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub both: PathBuf,
    /// Hosts and paths beside the two names that every site has.
    pub routes: Vec<(String, Vec<String>)>,
}

/// Where one peer finds and puts its things.
pub struct Place<'a> {
    pub dir: &'a Path,
    pub http: u16,
    pub https: u16,
    pub site: &'a Site,
}

/// How a peer is configured and started.
pub struct Peer {
    pub name: &'static str,
    program: &'static str,
    port: u16,
    config: fn(&Place<'_>) -> Result<String>,
    file: &'static str,
    arguments: fn(&Path, &Place<'_>) -> Vec<String>,
    /// What it logs to below its folder; its own output where it logs to that.
    log: &'static str,
}

/// TLS ports lie that far above the plain ones.
const TLS_ABOVE: u16 = 100;

pub const PEERS: &[Peer] = &[
    Peer {
        name: "nginx",
        program: "nginx",
        port: 8101,
        config: config::nginx::write,
        file: "nginx.conf",
        arguments: |file, _| strings(&["-c", &file.display().to_string(), "-e", "stderr"]),
        log: "access.log",
    },
    Peer {
        name: "HAProxy",
        program: "haproxy",
        port: 8102,
        config: config::haproxy::write,
        file: "haproxy.cfg",
        arguments: |file, _| strings(&["-db", "-f", &file.display().to_string()]),
        log: "log",
    },
    Peer {
        name: "Traefik",
        program: "traefik",
        port: 8103,
        config: config::traefik::write,
        file: "traefik.yaml",
        arguments: config::traefik::arguments,
        log: "access.log",
    },
    Peer {
        name: "Envoy",
        program: "envoy",
        port: 8104,
        config: config::envoy::write,
        file: "envoy.yaml",
        arguments: |file, _| {
            let cores = config::cores().to_string();
            let file = file.display().to_string();
            strings(&["-c", &file, "--concurrency", &cores, "--use-dynamic-base-id", "--log-level", "error"])
        },
        log: "access.log",
    },
];

impl Peer {
    /// # Errors
    /// The program is missing or cannot be started.
    pub fn start(&self, ground: &Ground, site: &Site) -> Result<Contestant> {
        if let Some(missing) = ground.toolbox.lacks(self.program) {
            anyhow::bail!("{}", missing.why);
        }
        let dir = ground.dir.join(self.program);
        fs::create_dir_all(&dir)?;
        let file = dir.join(self.file);
        let place = Place { dir: &dir, http: self.port, https: self.port + TLS_ABOVE, site };
        fs::write(&file, (self.config)(&place)?)?;
        let mut command = ground.members.command(self.program, (self.arguments)(&file, &place));
        let running = Running::start(logged(&mut command, &dir.join("log"))?)?;
        Ok(Contestant {
            running,
            http: format!("127.0.0.1:{}", place.http),
            https: Some(format!("127.0.0.1:{}", place.https)),
            log: dir.join(self.log),
        })
    }
}

/// The floor: bytes are copied and not looked at. It knows one backend.
///
/// # Errors
/// It cannot be started.
pub fn forwarder(ground: &Ground, site: &Site) -> Result<Contestant> {
    const ADDRESS: &str = "127.0.0.1:8100";
    let forwarder: PathBuf = program("forwarder");
    let mut command = ground.members.command(&forwarder.to_string_lossy(), [ADDRESS, &site.backends[0]]);
    let log = ground.dir.join("forwarder.log");
    let running = Running::start(logged(&mut command, &log)?)?;
    Ok(Contestant { running, http: ADDRESS.to_owned(), https: None, log })
}

/// Sends a program's output to the end of a file.
///
/// # Errors
/// The file cannot be made.
pub fn logged<'a>(command: &'a mut Command, log: &Path) -> Result<&'a mut Command> {
    let log = File::options().create(true).append(true).open(log)?;
    Ok(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log))
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
