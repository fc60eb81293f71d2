//! A child process that never outlives its owner.
//!
//! A guard watches over each server: a shell that reads from a pipe whose other end only the test
//! process holds. When the test process ends in any way, the pipe closes and the guard kills the
//! server. (`PR_SET_PDEATHSIG` would fire when the *thread* that spawned the server ends, which is
//! the end of the test that happened to start it.)

use std::collections::BTreeMap;
use std::fs::File;
use std::future::ready;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde::Serialize;

use super::{READY_WITHIN, eventually};

/// How much of a log is shown with a failure: enough for a backtrace, and short enough to read.
const LOG_LINES: usize = 60;

/// A signal for a process.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    /// Freezes it.
    Stop,
    /// Thaws it.
    Cont,
    /// Asks it to end.
    Term,
    /// Asks it to end, as Ctrl-C does.
    Interrupt,
    /// Asks it to read its configuration again.
    Hangup,
    /// Asks it to end at once; Postgres ends its children too.
    Quit,
    /// Ends it.
    Kill,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Stop => "STOP",
            Self::Cont => "CONT",
            Self::Term => "TERM",
            Self::Interrupt => "INT",
            Self::Hangup => "HUP",
            Self::Quit => "QUIT",
            Self::Kill => "KILL",
        }
    }
}

/// Sends a signal to a process by the shell's `kill`, since the standard library has only SIGKILL.
///
/// # Errors
/// When there is no such process.
pub fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let status = Command::new("sh")
        .args(["-c", r#"kill -"$1" "$2" 2>/dev/null"#, "sh", signal.name(), &pid.to_string()])
        .status()?;
    ensure!(status.success(), "SIG{} did not reach process {pid}", signal.name());
    Ok(())
}

/// Whether a process runs or is stopped. A process that only waits to be reaped does neither.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat.state != 'Z' && stat.state != 'X')
}

/// Memory that a process and its children hold.
///
/// # Errors
/// When it has ended.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).context("its memory")?;
    let mut bytes = kilobytes.trim().parse::<u64>()? * 1024;
    for child in children(pid)? {
        bytes += resident_bytes(child)?;
    }
    Ok(bytes)
}

/// Threads with one name; numbers at its end are left out.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Threads {
    /// The highest nice value among them.
    pub nice: i64,
    /// Their processor time.
    pub ran: Duration,
}

/// The threads of a process, by name.
///
/// # Errors
/// When it has ended.
pub fn threads(pid: u32) -> anyhow::Result<BTreeMap<String, Threads>> {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // The thread may have ended meanwhile.
        let Some((name, thread)) = thread(&task?.path()) else { continue };
        let known = threads.entry(name).or_insert(Threads { nice: thread.nice, ..NONE });
        known.nice = known.nice.max(thread.nice);
        known.ran += thread.ran;
    }
    Ok(threads)
}

const NONE: Threads = Threads { nice: 0, ran: Duration::ZERO };

fn thread(task: &Path) -> Option<(String, Threads)> {
    /// The index of the nice value among the fields after the name.
    const NICE: usize = 16;
    let stat = std::fs::read_to_string(task.join("stat")).ok()?;
    let (name, fields) = stat.rsplit_once(") ")?;
    let name = name.split_once('(')?.1.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    let nice = fields.split(' ').nth(NICE)?.parse().ok()?;
    let ran = std::fs::read_to_string(task.join("schedstat")).ok()?;
    let ran = Duration::from_nanos(ran.split(' ').next()?.parse().ok()?);
    Some((name.to_owned(), Threads { nice, ran }))
}

/// The children of a process.
pub(super) fn children(parent: u32) -> anyhow::Result<Vec<u32>> {
    let pids = std::fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == parent))
        .collect();
    Ok(pids)
}

struct Stat {
    state: char,
    parent: u32,
}

/// Reads `/proc/…/stat`: `pid (name) state parent …`, where a name may hold spaces and brackets.
fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    Some(Stat { state: fields.next()?.chars().next()?, parent: fields.next()?.parse().ok()? })
}

/// A running server and its guard.
pub(super) struct Process {
    name: String,
    child: Child,
    guard: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`. Its output is appended to `home/log`. If this process dies, `home` is
    /// removed.
    pub(super) fn spawn(mut command: Command, home: &Path) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let log = home.join("log");
        let output = File::options().create(true).append(true).open(&log)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C on the terminal goes to the test process alone; when that ends, the guard
            // kills the server.
            .process_group(0)
            .spawn()
            .with_context(|| format!("{name} does not start; tests/prepare installs it"))?;
        match guard(child.id(), home) {
            Ok(guard) => Ok(Self { name, child, guard, log }),
            Err(error) => {
                // Nothing else would end it.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, which: Signal) -> anyhow::Result<()> {
        signal(self.pid(), which)
    }

    /// Its output so far, on both streams.
    pub(super) fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits until `probe` holds.
    ///
    /// # Errors
    /// If the process ends before that, or takes too long; with its log.
    pub(super) async fn until_ready<F>(
        &mut self,
        mut probe: impl FnMut() -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = bool>,
    {
        let what = format!("{} answers", self.name);
        let answers = eventually(&what, READY_WITHIN, || {
            let answers = probe();
            async { Ok(answers.await.then_some(())) }
        });
        let child = &mut self.child;
        let ends = eventually("", Duration::MAX, || ready(child.try_wait().map_err(Into::into)));
        let answered = tokio::select! {
            answered = answers => answered,
            status = ends => status.and_then(|status| bail!("{} ended with {status}", self.name)),
        };
        answered.map_err(|error| self.with_log(&error))
    }

    /// Waits until it has ended by itself, or by a signal sent before.
    ///
    /// # Errors
    /// When it still runs after `limit`; with its log.
    pub(super) async fn exited(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        let exited =
            eventually(&what, limit, || ready(self.child.try_wait().map_err(Into::into))).await;
        exited.map_err(|error| self.with_log(&error))
    }

    /// Kills it with SIGKILL, and returns when it has ended.
    pub(super) fn kill(&mut self) {
        // The guard is killed first: once the server has ended, its number may belong to another
        // process. Either may have ended already.
        for child in [&mut self.guard, &mut self.child] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits, without a bound, until it has ended by the signal that was sent before.
    pub(super) fn wait(&mut self) {
        let _ = self.child.wait();
    }

    fn with_log(&self, error: &anyhow::Error) -> anyhow::Error {
        anyhow!("{error:#}\n{}", self.last_lines())
    }

    fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES)..];
        format!("--- the log of {} ends with\n{}\n---", self.name, shown.join("\n"))
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the test framework shows it with the failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.last_lines());
        }
        self.kill();
    }
}

/// Waits for the end of the pipe, and then kills the server and the processes that it has started.
/// They are in its process group, except for Postgres's sessions, which are looked for: a session
/// that is stopped does not notice the end of its parent. While the group is stopped, it starts no
/// other processes.
const GUARD: &str = r#"
read -r _
if kill -s STOP -- "-$1"; then
    children=
    for stat in /proc/[0-9]*/stat; do
        # pid (name) state parent …
        read -r line < "$stat" || continue
        parent=${line##*) ? }
        if [ "${parent%% *}" = "$1" ]; then
            pid=${stat#/proc/}
            children="$children ${pid%/stat}"
        fi
    done
    kill -s KILL -- $children "-$1"
fi
rm -rf -- "$2"
"#;

fn guard(pid: u32, home: &Path) -> anyhow::Result<Child> {
    let guard = Command::new("sh")
        .args(["-c", GUARD, "guard"])
        .arg(pid.to_string())
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    Ok(guard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_children() {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("1000");
        let process = Process::spawn(command, home.path()).unwrap();
        assert!(children(std::process::id()).unwrap().contains(&process.pid()));
        assert!(children(process.pid()).unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_a_process_said_is_in_the_error_when_it_ends_too_early() {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo to stdout; echo to stderr >&2; exit 3"]);
        let mut process = Process::spawn(command, home.path()).unwrap();
        let error = format!("{:#}", process.until_ready(|| ready(false)).await.unwrap_err());
        for part in ["to stdout", "to stderr", "exit status: 3"] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    }

    #[tokio::test]
    async fn a_process_that_does_not_end_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("1000");
        let mut process = Process::spawn(command, home.path()).unwrap();
        assert!(process.exited(Duration::from_millis(20)).await.is_err());
        process.signal(Signal::Term).unwrap();
        assert!(!process.exited(READY_WITHIN).await.unwrap().success());
    }
}
