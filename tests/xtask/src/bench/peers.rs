//! The other proxies: each with a configuration of its own makers' advice for a keep-alive
//! reverse proxy, one worker a core, access logs off.

mod config;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use super::ground::{Ground, Running, program};

/// A proxy under load.
pub struct Contestant {
    pub running: Running,
    pub address: String,
}

/// How a peer is configured and started.
pub struct Peer {
    pub name: &'static str,
    program: &'static str,
    port: u16,
    /// The configuration file's name and text; it listens on the port and forwards to the backends.
    config: fn(&Path, u16, &[String]) -> String,
    file: &'static str,
    arguments: fn(&Path, u16) -> Vec<String>,
}

pub const PEERS: &[Peer] = &[
    Peer {
        name: "nginx",
        program: "nginx",
        port: 8101,
        config: config::nginx,
        file: "nginx.conf",
        arguments: |file, _| strings(&["-c", &file.display().to_string(), "-e", "stderr"]),
    },
    Peer {
        name: "HAProxy",
        program: "haproxy",
        port: 8102,
        config: config::haproxy,
        file: "haproxy.cfg",
        arguments: |file, _| strings(&["-db", "-f", &file.display().to_string()]),
    },
    Peer {
        name: "Traefik",
        program: "traefik",
        port: 8103,
        config: config::traefik,
        file: "traefik.yaml",
        arguments: |file, port| {
            strings(&[
                &format!("--entrypoints.web.address=127.0.0.1:{port}"),
                &format!("--providers.file.filename={}", file.display()),
                "--global.checknewversion=false",
                "--global.sendanonymoususage=false",
                "--log.level=ERROR",
            ])
        },
    },
    Peer {
        name: "Envoy",
        program: "envoy",
        port: 8104,
        config: config::envoy,
        file: "envoy.yaml",
        arguments: |file, _| {
            let cores = config::cores().to_string();
            let file = file.display().to_string();
            strings(&["-c", &file, "--concurrency", &cores, "--use-dynamic-base-id", "--log-level", "error"])
        },
    },
];

impl Peer {
    /// # Errors
    /// The program is missing or cannot be started.
    pub fn start(&self, ground: &Ground, backends: &[String]) -> Result<Contestant> {
        if let Some(missing) = ground.toolbox.lacks(self.program) {
            anyhow::bail!("{}", missing.why);
        }
        let dir = ground.dir.join(self.program);
        fs::create_dir_all(&dir)?;
        let file = dir.join(self.file);
        fs::write(&file, (self.config)(&dir, self.port, backends))?;
        let mut command = ground.members.command(self.program, (self.arguments)(&file, self.port));
        let running = Running::start(logged(&mut command, &dir.join("log"))?)?;
        Ok(Contestant { running, address: format!("127.0.0.1:{}", self.port) })
    }
}

/// The floor: bytes are copied and not looked at. It knows one backend.
///
/// # Errors
/// It cannot be started.
pub fn forwarder(ground: &Ground, backends: &[String]) -> Result<Contestant> {
    const ADDRESS: &str = "127.0.0.1:8100";
    let forwarder: PathBuf = program("forwarder");
    let mut command = ground.members.command(&forwarder.to_string_lossy(), [ADDRESS, &backends[0]]);
    let running = Running::start(logged(&mut command, &ground.dir.join("forwarder.log"))?)?;
    Ok(Contestant { running, address: ADDRESS.to_owned() })
}

/// Sends a program's output to a file.
///
/// # Errors
/// The file cannot be made.
pub fn logged<'a>(command: &'a mut Command, log: &Path) -> Result<&'a mut Command> {
    let log = File::create(log)?;
    Ok(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log))
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
