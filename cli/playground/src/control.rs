//! The playground's control socket: one line in, one line out, readable by the owner only.
//!
//! Knows faults and names of members; what is not one of them is refused by name.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::gate::{Fault, Gate};

/// Longest request line, in bytes.
const LINE_MAX: u64 = 1024;

/// Serves `fault member` lines on the socket at `path` until `stop`.
///
/// # Errors
/// If the socket cannot be made.
pub async fn serve(path: &Path, gates: BTreeMap<String, Gate>, stop: CancellationToken) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return std::fs::remove_file(path),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Err(e) = answer(stream, &gates).await {
                    tracing::debug!(error = %e, "a control connection broke");
                }
            }
            Err(e) => tracing::debug!(error = %e, "accept failed"),
        }
    }
}

async fn answer(mut stream: UnixStream, gates: &BTreeMap<String, Gate>) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    BufReader::new(reader.take(LINE_MAX)).read_line(&mut line).await?;
    let reply = match command(&line, gates) {
        Ok(done) => format!("ok {done}\n"),
        Err(why) => format!("error {why}\n"),
    };
    writer.write_all(reply.as_bytes()).await
}

fn command(line: &str, gates: &BTreeMap<String, Gate>) -> Result<String, String> {
    let mut words = line.split_whitespace();
    let (Some(fault), Some(member), None) = (words.next(), words.next(), words.next()) else {
        return Err("want: FAULT MEMBER".to_owned());
    };
    let fault: Fault = fault.parse().map_err(|e| format!("{e}"))?;
    let names: Vec<&str> = gates.keys().map(String::as_str).collect();
    let gate = gates.get(member).ok_or_else(|| format!("no member {member:?}: there are {}", names.join(", ")))?;
    gate.set(fault);
    let now = match fault {
        Fault::None => "is healed",
        Fault::Fail => "fails",
        Fault::Slow => "is slow",
        Fault::Partition => "is cut off",
    };
    Ok(format!("{member} {now}"))
}

/// Asks a running playground, and gives its answer.
///
/// # Errors
/// If nobody listens, or the answer is an error (its text is the error's).
pub async fn ask(path: &Path, fault: &str, member: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(format!("{fault} {member}\n").as_bytes()).await?;
    let mut reply = String::new();
    stream.take(LINE_MAX).read_to_string(&mut reply).await?;
    match reply.trim().split_once(' ') {
        Some(("ok", done)) => Ok(done.to_owned()),
        Some(("error", why)) => Err(io::Error::other(why.to_owned())),
        _ => Err(io::Error::other("the playground ended")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::command;
    use crate::gate::{Fault, Gate};

    #[test]
    fn only_known_faults_and_members() {
        let gates = BTreeMap::from([("east".to_owned(), Gate::default())]);
        assert_eq!(command("fail east\n", &gates), Ok("east fails".to_owned()));
        assert_eq!(gates["east"].fault(), Fault::Fail);
        for bad in ["", "fail", "fail west", "burn east", "fail east now"] {
            assert!(command(bad, &gates).is_err(), "{bad}");
        }
    }
}
