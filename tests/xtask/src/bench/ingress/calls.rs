//! System calls of a process while something happens, counted by strace. It slows the process: nothing else is measured meanwhile.

use std::fs;

use anyhow::{Context, Result};

use super::super::cpu;
use super::super::ground::{Ground, Running};
use super::super::peers;
use crate::invoke;

/// How many calls `pid` and its children made while `meanwhile` ran.
///
/// # Errors
/// strace is not there or may not attach.
pub fn count<T>(ground: &Ground, pid: u32, meanwhile: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let summary = ground.dir.join("strace");
    let mut strace = ground.members.command("strace", ["-c", "-f", "-o"]);
    strace.arg(&summary);
    for pid in cpu::tree(pid)? {
        strace.args(["-p", &pid.to_string()]);
    }
    let mut running = Running::start(peers::logged(&mut strace, &ground.dir.join("strace.log"))?)?;
    let done = meanwhile();
    invoke::read(&mut invoke::command("kill", ["-INT", &running.pid().to_string()]))?;
    running.wait()?;
    let said = fs::read_to_string(&summary)?;
    Ok((total(&said).with_context(|| format!("strace said: {said}"))?, done?))
}

/// The line `100.00 0.513 2 235804 1234 total`: the calls stand before the errors, which may be absent.
fn total(said: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.trim_end().ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn the_last_line_counts() {
        let head = "% time     seconds  usecs/call     calls    errors syscall\n";
        let line = "------ ----------- ----------- --------- --------- ----------------\n";
        assert_eq!(
            total(&format!("{head}{line}100.00    0.513000           2    235804      1234 total\n")),
            Some(235_804.0)
        );
        assert_eq!(total(&format!("{head}{line}100.00    0.513000           2    7           total\n")), Some(7.0));
        assert_eq!(total(head), None);
    }
}
