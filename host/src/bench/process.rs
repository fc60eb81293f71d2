//! What processes cost, read from `/proc`.

use std::fs;

use rustix::param::clock_ticks_per_second;

use super::BenchError;

/// What a process, or several together, have used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ResourceUsage {
    /// Processor time, in seconds: user and system, of threads that ended too, and of children that
    /// ended and were waited for.
    pub cpu_seconds: f64,
    /// Memory of its own, and its part of the memory that it shares (`Pss`), in KiB.
    pub memory_kib: u64,
}

impl ResourceUsage {
    /// The usage of a process, now.
    ///
    /// # Errors
    /// [`BenchError::Process`] if the process does not run, or this is not Linux.
    pub fn of(pid: u32) -> Result<Self, BenchError> {
        let failed = |file| BenchError::Process { pid, file };
        let cpu_seconds = cpu_seconds(pid).ok_or(failed("/proc/…/stat"))?;
        let memory_kib = memory_kib(pid).ok_or(failed("/proc/…/smaps_rollup"))?;
        Ok(Self { cpu_seconds, memory_kib })
    }

    /// The usage of these processes and of all their descendants. What a process used that has
    /// ended counts for its parent once the parent has waited for it, so nothing is lost between
    /// two readings.
    ///
    /// # Errors
    /// As [`ResourceUsage::of`], for the processes that are named.
    pub fn of_families(pids: &[u32]) -> Result<Self, BenchError> {
        let mut sum = Self::default();
        for pid in pids {
            sum.add(Self::of(*pid)?);
            descendants(*pid).into_iter().filter_map(Self::of_descendant).for_each(|used| {
                sum.add(used);
            });
        }
        Ok(sum)
    }

    /// The usage of a descendant. One that has ended has given its memory back; its time is its own
    /// until its parent has waited for it.
    fn of_descendant(pid: u32) -> Option<Self> {
        let cpu_seconds = cpu_seconds(pid)?;
        Some(Self { cpu_seconds, memory_kib: memory_kib(pid).unwrap_or(0) })
    }

    fn add(&mut self, other: Self) {
        self.cpu_seconds += other.cpu_seconds;
        self.memory_kib += other.memory_kib;
    }
}

/// The processes that a process started, those that these started, and so on.
fn descendants(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let parents: Vec<(u32, u32)> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, after_name(&read(pid, "stat")?)?.nth(1)?.parse().ok()?)))
        .collect();
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid);
        family.extend(children);
        next += 1;
    }
    family.split_off(1)
}

fn read(pid: u32, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
}

/// The fields of `stat` behind the name, which may hold spaces and brackets.
fn after_name(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(") ")?.1.split(' '))
}

fn cpu_seconds(pid: u32) -> Option<f64> {
    Some(cpu_ticks(&read(pid, "stat")?)? as f64 / clock_ticks_per_second() as f64)
}

fn cpu_ticks(stat: &str) -> Option<u64> {
    // utime, stime, cutime and cstime are fields 14 to 17; the state, behind the name, is field 3.
    let times: Vec<u64> =
        after_name(stat)?.skip(11).take(4).map(str::parse).collect::<Result<_, _>>().ok()?;
    (times.len() == 4).then(|| times.iter().sum())
}

/// `Pss`, so that memory that the processes of one server share is counted once; `VmRSS` where the
/// kernel does not tell that.
fn memory_kib(pid: u32) -> Option<u64> {
    let field = |file, name| {
        let text = read(pid, file)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    field("smaps_rollup", "Pss").or_else(|| field("status", "VmRSS"))
}

/// Memory of a process over the time of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Soak {
    /// At the beginning of the load, in KiB.
    pub begin_kib: u64,
    /// At the end of the load.
    pub end_kib: u64,
    /// The most that was seen.
    pub most_kib: u64,
    /// How often it was read.
    pub samples: u64,
}

impl Soak {
    /// Begins with the first reading.
    #[must_use]
    pub fn begin(memory_kib: u64) -> Self {
        Self { begin_kib: memory_kib, end_kib: memory_kib, most_kib: memory_kib, samples: 1 }
    }

    /// Adds a later reading.
    pub fn see(&mut self, memory_kib: u64) {
        self.end_kib = memory_kib;
        self.most_kib = self.most_kib.max(memory_kib);
        self.samples += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_spaces_and_brackets_hide_nothing() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 70 30 5 2 20 0 1 0 5 1 1";
        assert_eq!(cpu_ticks(stat), Some(107));
        assert_eq!(after_name(stat).unwrap().nth(1), Some("1"));
        assert_eq!(cpu_ticks("42 (a) S 1"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_memory_and_more_and_more_time() {
        let own = std::process::id();
        let before = ResourceUsage::of(own).unwrap();
        assert!(before.memory_kib > 100);
        let mut spent = before;
        let mut sum = 0_u64;
        while spent.cpu_seconds <= before.cpu_seconds {
            sum = (0..100_000).fold(sum, |sum, next| sum ^ next);
            spent = ResourceUsage::of(own).unwrap();
        }
        let all = ResourceUsage::of_families(&[own]).unwrap();
        assert!(all.cpu_seconds >= spent.cpu_seconds, "{sum}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_counts_while_it_runs_and_when_it_has_ended() {
        let own = std::process::id();
        let before = ResourceUsage::of_families(&[own]).unwrap().cpu_seconds;
        let mut child = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo; read line"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        assert!(descendants(own).contains(&child.id()));
        let alone = ResourceUsage::of(child.id()).unwrap().cpu_seconds;
        assert!(alone > 0.0);
        let while_it_runs = ResourceUsage::of_families(&[own]).unwrap().cpu_seconds;
        child.wait().unwrap();
        let afterwards = ResourceUsage::of_families(&[own]).unwrap().cpu_seconds;
        assert!(while_it_runs >= before + alone && afterwards >= while_it_runs);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_counts_when_it_has_ended_and_nobody_has_waited_for_it() {
        let own = std::process::id();
        let before = ResourceUsage::of_families(&[own]).unwrap().cpu_seconds;
        let mut child = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"])
            .spawn()
            .unwrap();
        let is_over = |stat: String| after_name(&stat).and_then(|mut f| f.next()) == Some("Z");
        while !read(child.id(), "stat").is_some_and(is_over) {
            std::thread::yield_now();
        }
        let alone = cpu_seconds(child.id()).unwrap();
        assert!(alone > 0.0 && ResourceUsage::of(child.id()).is_err());
        let with_it = ResourceUsage::of_families(&[own]).unwrap().cpu_seconds;
        child.wait().unwrap();
        assert!(with_it >= before + alone);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(ResourceUsage::of(u32::MAX).is_err());
        assert!(ResourceUsage::of_families(&[u32::MAX]).is_err());
    }

    #[test]
    fn a_soak_knows_its_ends_and_its_summit() {
        let mut soak = Soak::begin(10);
        soak.see(30);
        soak.see(12);
        assert_eq!(soak, Soak { begin_kib: 10, end_kib: 12, most_kib: 30, samples: 3 });
    }
}
