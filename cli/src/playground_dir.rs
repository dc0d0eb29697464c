//! The directory of a playground: where it is, and what stands in it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::failure::Failure;

/// Paths below a playground's (or a server's) directory.
#[derive(Debug, Clone)]
pub struct Dir(PathBuf);

/// A directory in the hands of one playground; it is free again when this is dropped or the process ends.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "holds the lock")] File);

impl Dir {
    /// `dir`, else `$XDG_STATE_HOME/fedgate/up`, else `~/.local/state/fedgate/up`.
    ///
    /// # Errors
    /// FG-CLI-001 where nothing says where.
    pub fn of_playground(dir: Option<&Path>) -> Result<Self, Failure> {
        if let Some(dir) = dir {
            return Ok(Self(dir.to_owned()));
        }
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
        state
            .map(|state| Self(state.join("fedgate/up")))
            .ok_or_else(|| Failure::new("FG-CLI-001", "neither $XDG_STATE_HOME nor $HOME is set").fix("give --dir DIR"))
    }

    /// The directory itself, made where it is missing, readable by its owner only.
    ///
    /// # Errors
    /// FG-CLI-002 where it cannot be made.
    pub fn make(path: &Path) -> Result<Self, Failure> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|e| Failure::local(format!("cannot make {}", path.display()), e))?;
        Ok(Self(path.to_owned()))
    }

    /// What a command about this playground needs behind it to be typed as it stands: nothing where it is the usual one.
    #[must_use]
    pub fn flag(&self) -> String {
        let usual = Self::of_playground(None).is_ok_and(|usual| usual.0 == self.0);
        if usual { String::new() } else { format!(" --dir {}", quoted(&self.0)) }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    #[must_use]
    pub fn endpoints(&self) -> PathBuf {
        self.0.join("endpoints.json")
    }

    #[must_use]
    pub fn pid(&self) -> PathBuf {
        self.0.join("fedgate.pid")
    }

    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("fedgate.log")
    }

    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// Where another process may take an ingress over.
    #[must_use]
    pub fn hand_over(&self) -> PathBuf {
        self.0.join("hand-over.sock")
    }

    /// Which kubeconfig `up` has added its context to.
    #[must_use]
    pub fn merged(&self) -> PathBuf {
        self.0.join("merged-kubeconfig")
    }

    #[must_use]
    pub fn member(&self, name: &str) -> PathBuf {
        self.0.join("members").join(name)
    }

    /// Takes the directory: whoever changes or removes what stands in it has to hold this.
    ///
    /// # Errors
    /// FG-UP-001 where another playground holds it, FG-CLI-002 where it cannot be locked.
    pub fn claim(&self) -> Result<Claim, Failure> {
        let path = self.0.join("fedgate.lock");
        let failed = |e: std::io::Error| Failure::local(format!("cannot lock {}", path.display()), e);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Claim(file)),
            Err(TryLockError::WouldBlock) => {
                Err(Failure::new("FG-UP-001", format!("a playground runs in {}", self.0.display()))
                    .fix(format!("end it (`fedgate down{}`), or give another --dir", self.flag())))
            }
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }

    /// Removes what says that something runs here, before it does.
    ///
    /// # Errors
    /// FG-CLI-002 where the file cannot be removed.
    pub fn not_ready(&self) -> Result<(), Failure> {
        match std::fs::remove_file(self.endpoints()) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::local(format!("cannot remove {}", self.endpoints().display()), e))
            }
            _ => Ok(()),
        }
    }

    /// Says where everything listens: everything is ready.
    ///
    /// # Errors
    /// FG-CLI-002 where the file cannot be written.
    pub fn ready(&self, at: &Addresses) -> Result<(), Failure> {
        hub_client::persist::save(&self.endpoints(), &at.document())
            .map_err(|e| Failure::local("cannot say that everything is ready", e))
    }
}

/// Where everything listens.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    pub api: String,
    pub ingress: String,
    pub ingress_tls: String,
    pub dns: String,
    pub admin: String,
}

impl Addresses {
    fn document(&self) -> Value {
        let mut document = json!({});
        let all = [
            ("api", &self.api),
            ("ingress", &self.ingress),
            ("ingressTLS", &self.ingress_tls),
            ("dns", &self.dns),
            ("admin", &self.admin),
        ];
        for (key, address) in all.into_iter().filter(|(_, address)| !address.is_empty()) {
            document[key] = address.as_str().into();
        }
        document
    }
}

/// A path as a shell takes it for one word.
#[must_use]
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+@:,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// An address as a client on this machine dials it.
#[must_use]
pub fn dialled(address: std::net::SocketAddr) -> String {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port()).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Dir, quoted};

    #[test]
    fn a_directory_has_one_playground_at_a_time() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Dir::make(temporary.path()).unwrap();
        let first = dir.claim().unwrap();
        let refused = dir.claim().unwrap_err();
        let wanted = format!("end it (`fedgate down --dir {}`), or give another --dir", temporary.path().display());
        assert_eq!((refused.code, refused.fix), ("FG-UP-001", Some(wanted)));
        drop(first);
        dir.claim().unwrap();
    }

    #[test]
    fn commands_name_a_directory_that_is_not_the_usual_one() {
        assert_eq!(Dir::of_playground(None).unwrap().flag(), "");
        assert_eq!(Dir::of_playground(Some(Path::new("/tmp/a b"))).unwrap().flag(), " --dir '/tmp/a b'");
        for (path, word) in
            [("/tmp/x-1", "/tmp/x-1"), ("./up", "./up"), ("a'b", r"'a'\''b'"), ("$HOME", "'$HOME'"), ("", "''")]
        {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }
}
