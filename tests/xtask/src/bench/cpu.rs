//! CPU time and memory of a process and all its descendants, from /proc.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Linux reports CPU time in hundredths of a second to user space, whatever the kernel's own tick.
const TICK: Duration = Duration::from_millis(10);
const PAGE_BYTES: u64 = 4096;

struct Stat {
    parent: u32,
    ticks: u32,
    pages: u64,
}

/// The process and its descendants.
///
/// # Errors
/// /proc cannot be read.
pub fn tree(root: u32) -> Result<Vec<u32>> {
    Ok(stats(root)?.into_keys().collect())
}

/// User and system time that the trees have used so far.
///
/// # Errors
/// /proc cannot be read.
pub fn used(roots: &[u32]) -> Result<Duration> {
    let mut ticks = 0;
    for root in roots {
        ticks += stats(*root)?.values().map(|stat| stat.ticks).sum::<u32>();
    }
    Ok(TICK * ticks)
}

/// Resident memory of the trees, in bytes; shared pages count once a process.
///
/// # Errors
/// /proc cannot be read.
pub fn resident(roots: &[u32]) -> Result<u64> {
    let mut pages = 0;
    for root in roots {
        pages += stats(*root)?.values().map(|stat| stat.pages).sum::<u64>();
    }
    Ok(pages * PAGE_BYTES)
}

fn stats(root: u32) -> Result<BTreeMap<u32, Stat>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process may end between the listing and the reading.
        if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) {
            all.insert(pid, parse(&text).with_context(|| format!("/proc/{pid}/stat: {text}"))?);
        }
    }
    let mut found = BTreeMap::new();
    let mut waiting = vec![root];
    while let Some(pid) = waiting.pop() {
        if let Some(stat) = all.remove(&pid) {
            waiting.extend(all.iter().filter(|(_, other)| other.parent == pid).map(|(child, _)| *child));
            found.insert(pid, stat);
        }
    }
    Ok(found)
}

/// Source: proc_pid_stat(5). The second field may hold spaces and brackets.
fn parse(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_whitespace().collect();
    let user: u32 = fields.get(11)?.parse().ok()?;
    let system: u32 = fields.get(12)?.parse().ok()?;
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks: user + system, pages: fields.get(21)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn fields_are_counted_after_the_name() {
        let text = "42 (a) name) S 7 42 42 0 -1 4194304 1 2 3 4 18 243 0 0 20 0 3 0 99 12345 678 1844 1 1 0";
        let stat = parse(text).expect("a line of the kernel's");
        assert_eq!((stat.parent, stat.ticks, stat.pages), (7, 261, 678));
        assert!(parse("42 (short) S 1").is_none());
    }
}
