//! The binary taken over by another process of itself, under load: nobody's request is lost.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use federation_types::Gvr;
use fedgate::kubeconfig;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process of the binary that ends with its test.
struct Process {
    child: Child,
    dir: PathBuf,
}

impl Process {
    fn serve(dir: &Path, log: &str, flags: &[&str]) -> Self {
        let output = std::fs::File::create(dir.join(log)).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_fedgate"));
        command.arg("serve").arg("--data-dir").arg(dir).args(flags).stdin(Stdio::null()).stdout(Stdio::null());
        Self { child: command.stderr(output).spawn().expect("it starts"), dir: dir.to_owned() }
    }

    fn endpoints(&self) -> Option<Value> {
        serde_json::from_slice(&std::fs::read(self.dir.join("endpoints.json")).ok()?).ok()
    }

    fn has_said(&self, log: &str, text: &str) -> bool {
        std::fs::read_to_string(self.dir.join(log)).is_ok_and(|said| said.contains(text))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(|_| ())) {
            eprintln!("a process did not end: {error}");
        }
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One request; gives the connection back if it goes on, and what was answered.
fn ask(
    to: SocketAddr,
    kept: Option<BufReader<TcpStream>>,
    keep: bool,
) -> std::io::Result<(Option<BufReader<TcpStream>>, u16)> {
    let mut stream = match kept {
        Some(stream) => stream,
        None => BufReader::new(TcpStream::connect(to)?),
    };
    stream.get_ref().set_read_timeout(Some(PATIENCE))?;
    let close = if keep { "" } else { "Connection: close\r\n" };
    stream.get_mut().write_all(format!("GET / HTTP/1.1\r\nHost: moved.example\r\n{close}\r\n").as_bytes())?;
    let (mut head, mut length, mut goes_on) = (String::new(), 0, true);
    while stream.read_line(&mut head)? > 2 {}
    for line in head.to_ascii_lowercase().lines() {
        goes_on &= line != "connection: close";
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().map_err(|_| std::io::ErrorKind::InvalidData)?;
        }
    }
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
    stream.read_exact(&mut vec![0; length])?;
    Ok((goes_on.then_some(stream), status))
}

/// A hub with one route that needs no endpoint.
fn hub(dir: &Path) -> Process {
    let any = "127.0.0.1:0";
    let hub = Process::serve(dir, "hub.log", &["--role", "api", "--api-addr", any, "--admin-addr", any]);
    until("the hub is ready", || hub.endpoints());
    let route = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"namespace": "default", "name": "moved", "annotations": {
            "nginx.ingress.kubernetes.io/permanent-redirect": "https://elsewhere.example",
        }},
        "spec": {"ingressClassName": "fedgate", "rules": [{"host": "moved.example", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "none", "port": {"number": 80}}}},
        ]}}]},
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let made = runtime.block_on(async {
        let caller = kubeconfig::hub(Some(&dir.join("kubeconfig"))).expect("a kubeconfig");
        caller.create(&Gvr::new("networking.k8s.io/v1", "ingresses"), "default", &route).await
    });
    made.expect("the route is made");
    hub
}

fn ingress(dir: &Path, hub: &Path, log: &str, more: &[&str]) -> Process {
    let kubeconfig = hub.join("kubeconfig");
    let any = "127.0.0.1:0";
    let mut flags = vec!["--role", "ingress", "--hub-kubeconfig", kubeconfig.to_str().expect("text")];
    flags.extend(["--ingress-addr", any, "--ingress-tls-addr", any, "--admin-addr", any, "--ingress-workers", "1"]);
    flags.extend(["--ingress-timeout", "drain=4s"]);
    flags.extend(more);
    Process::serve(dir, log, &flags)
}

/// The first line of the answer of who is asked whether it is ready.
fn readiness(admin: SocketAddr) -> String {
    let mut stream = TcpStream::connect(admin).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it is asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.lines().next().unwrap_or("nothing").to_owned()
}

/// Ingress: 76
#[test]
fn a_process_that_cannot_serve_yet_is_not_asked_whether_it_is_ready() {
    use rustix::process::{Pid, Signal, kill_process};
    let (hub_dir, dir) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let hub = hub(hub_dir.path());
    let mut old = ingress(dir.path(), hub_dir.path(), "old.log", &[]);
    let endpoints = until("the ingress is ready", || old.endpoints());
    let admin: SocketAddr = endpoints["admin"].as_str().and_then(|at| at.parse().ok()).expect("an address");
    let is_ready = || readiness(admin) == "HTTP/1.1 200 OK";
    until("the old one is ready", || is_ready().then_some(()));
    until("it can be taken over", || std::fs::metadata(dir.path().join("hand-over.sock")).ok());
    until("the old one keeps its routes", || std::fs::remove_file(dir.path().join("ingress.snapshot")).ok());
    // No hub and no snapshot: the new one has no routes.
    kill_process(Pid::from_child(&hub.child), Signal::STOP).expect("the hub stops");
    let new = ingress(dir.path(), hub_dir.path(), "new.log", &["--take-over"]);
    until("the new one has the sockets", || new.has_said("new.log", "taking over from").then_some(()));
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        assert_eq!(readiness(admin), "HTTP/1.1 200 OK", "the old one serves, and says so");
    }
    kill_process(Pid::from_child(&hub.child), Signal::CONT).expect("the hub goes on");
    assert!(until("the old one ends", || old.child.try_wait().expect("a child")).success());
    assert!(is_ready(), "the new one serves, and says so");
}

/// Ingress: 76
#[test]
fn a_new_process_takes_over_and_no_request_is_lost() {
    let (hub_dir, dir) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let _hub = hub(hub_dir.path());
    // Nobody is there yet: it starts as always.
    let mut old = ingress(dir.path(), hub_dir.path(), "old.log", &["--take-over"]);
    let endpoints = until("the ingress is ready", || old.endpoints());
    let at: SocketAddr = endpoints["ingress"].as_str().and_then(|at| at.parse().ok()).expect("an address");
    let served = || matches!(ask(at, None, false), Ok((None, 301)));
    until("the route is served", || served().then_some(()));
    let door = dir.path().join("hand-over.sock");
    let metadata = until("it can be taken over", || std::fs::metadata(&door).ok());
    assert!(metadata.file_type().is_socket() && metadata.permissions().mode() & 0o777 == 0o600);

    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..6)
        .map(|number| {
            let (stop, answered) = (stop.clone(), answered.clone());
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut kept = None;
                while !stop.load(Ordering::Relaxed) {
                    let (goes_on, status) = ask(at, kept, number % 2 == 0)?;
                    if status != 301 {
                        return Err(std::io::Error::other(format!("it answers {status}")));
                    }
                    kept = goes_on;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        })
        .collect();
    let more = |count: usize| {
        let wanted = answered.load(Ordering::Relaxed) + count;
        let failed = || clients.iter().any(std::thread::JoinHandle::is_finished);
        until("requests are answered", || (answered.load(Ordering::Relaxed) >= wanted || failed()).then_some(()));
    };
    more(300);
    // One that wants other addresses gets nothing, and changes nothing.
    let mut other = ingress(dir.path(), hub_dir.path(), "other.log", &["--take-over", "--admin-addr", "127.0.0.1:1"]);
    assert!(!other.child.wait().expect("it ends").success());
    assert!(other.has_said("other.log", "--admin-addr"));
    more(300);
    let new = ingress(dir.path(), hub_dir.path(), "new.log", &["--take-over"]);
    until("the old one drains", || old.has_said("old.log", "another process has taken over").then_some(()));
    more(300);
    assert!(until("the old one ends", || old.child.try_wait().expect("a child")).success());
    more(300);
    stop.store(true, Ordering::Relaxed);
    for asking in clients {
        asking.join().expect("no panic").expect("no request fails");
    }
    assert_eq!(new.endpoints(), Some(endpoints), "everything is where it was");
    assert!(new.has_said("new.log", "this one serves"));
    // And so on.
    let third = ingress(dir.path(), hub_dir.path(), "third.log", &["--take-over"]);
    until("the third serves", || third.has_said("third.log", "this one serves").then_some(()));
    assert!(served());
}
