//! CPU time of a process tree and of the machine, from `/proc` (proc(5)).

use std::collections::HashMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// `/proc` counts in these, whatever the kernel's own clock is.
const TICK: Duration = Duration::from_millis(10);

/// CPU time used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// The tree's, with those of its processes that have ended.
    pub(crate) tree: Duration,
    /// All other processes', but for this one.
    pub(crate) others: Duration,
}

/// What a tree has used, once it does no more: work that is put off until after the answer counts.
pub(crate) fn settled(root: i32) -> Usage {
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut ticks = tree_ticks(root);
    loop {
        sleep(TICK * 6);
        let now = tree_ticks(root);
        if now == ticks || Instant::now() > deadline {
            let own = own_ticks();
            let others = busy_ticks().saturating_sub(now + own);
            return Usage { tree: duration(now), others: duration(others) };
        }
        ticks = now;
    }
}

/// The largest resident size that any process of a tree has ever had, in bytes.
pub(crate) fn largest(root: i32) -> u64 {
    let tree = harness::host::descendants(root);
    let sizes = tree.iter().filter_map(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    sizes.max().unwrap_or(0) * 1024
}

fn duration(ticks: u64) -> Duration {
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

struct Process {
    parent: i32,
    ticks: u64,
}

fn tree_ticks(root: i32) -> u64 {
    let processes: HashMap<i32, Process> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, parse(&fs::read_to_string(entry.path().join("stat")).ok()?)?))
        })
        .collect();
    let below = |pid: i32| {
        std::iter::successors(Some(pid), |pid| Some(processes.get(pid)?.parent)).any(|pid| pid == root)
    };
    processes.iter().filter(|(pid, _)| below(**pid)).map(|(_, process)| process.ticks).sum()
}

fn own_ticks() -> u64 {
    fs::read_to_string("/proc/self/stat").ok().and_then(|text| parse(&text)).map_or(0, |own| own.ticks)
}

/// Parent, and user and system time with that of waited-for children.
fn parse(stat: &str) -> Option<Process> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let times = fields.get(11..15)?.iter().map(|field| field.parse::<u64>());
    Some(Process { parent: fields.get(1)?.parse().ok()?, ticks: times.sum::<Result<_, _>>().ok()? })
}

/// What all CPUs have spent on processes: user, nice and system time.
fn busy_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_ascii_whitespace();
    fields.skip(1).take(3).filter_map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything() {
        let process = parse("12 (a ) b) S 7 12 12 0 -1 0 1 2 3 4 10 20 3 4 20 0 1 0 5").expect("a stat line");
        assert_eq!((process.parent, process.ticks), (7, 37));
    }
}
