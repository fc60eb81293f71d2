//! Watches a component's file, whichever way it is replaced.
//!
//! The directory is watched rather than the file: editors and `mv` put another file in its place,
//! and a watch on the old file would see nothing more. Changes that no watch of a directory tells
//! are found by looking at the file from time to time: a link that is exchanged further up, and
//! everything if the system gives no watch.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecursiveMode, Watcher};

/// Once a writer has closed the file or moved it into place, the file is complete, so this only
/// merges the events of one action.
const MERGE: Duration = Duration::from_millis(2);

/// After a change by a writer that may still have the file open: the file is read once it did not
/// change for so long.
const QUIET: Duration = Duration::from_millis(100);

/// How often the file is looked at in any case.
const LOOK: Duration = Duration::from_secs(1);

/// Longest wait for a file that keeps changing.
const AT_MOST: Duration = Duration::from_secs(2);

/// A running watch; it ends when dropped.
pub struct FileWatch {
    /// `None` if the system gives no watch.
    _watcher: Option<notify::RecommendedWatcher>,
    /// The file is looked at for as long as this is held.
    _open: Sender<Sign>,
}

/// What an event says about the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// It may be complete.
    Complete,
    /// It is being changed.
    Changing,
    /// Something in its directory changed: a link on the way to it may lead elsewhere now.
    Nearby,
    /// The system can't say what changed.
    Failed,
}

/// Calls `on_change` after every change, with the file's content and the moment at which the change
/// was seen to begin, or with an error if the file can't be read ([`io::ErrorKind::NotFound`] after
/// it was removed). It is not called for the content at the start.
///
/// # Errors
/// If the file's directory does not exist.
pub fn watch(
    path: &Path,
    on_change: impl FnMut(io::Result<Vec<u8>>, Instant) + Send + 'static,
) -> io::Result<FileWatch> {
    let path = std::path::absolute(path)?;
    let Some(directory) = path.parent().map(Path::to_owned) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a directory can't be watched"));
    };
    let (signs, changes) = mpsc::channel();
    fs::metadata(&directory)?;
    let watcher = watcher(&path, &directory, signs.clone());
    let watcher = watcher.inspect_err(|error| {
        let path = path.display();
        tracing::info!(%path, %error, "the system gives no watch; the file is looked at every second");
    });
    let seen = FileVersion::of(&path);
    let hashes = RandomState::new();
    let follow = Follow { path, seen, handed_on: None, hashes, changes, on_change };
    thread::Builder::new().name("corral-watch".into()).spawn(move || follow.run())?;
    Ok(FileWatch { _watcher: watcher.ok(), _open: signs })
}

fn watcher(
    path: &Path,
    directory: &Path,
    signs: Sender<Sign>,
) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(handler(path.to_owned(), signs))?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

fn handler(path: PathBuf, signs: Sender<Sign>) -> impl FnMut(notify::Result<Event>) + Send {
    move |event| {
        let sign = match event {
            Ok(event) => sign(&event, &path),
            Err(_) => Some(Sign::Failed),
        };
        if let Some(sign) = sign {
            // The receiver is gone if the watch was dropped.
            let _ended = signs.send(sign);
        }
    }
}

fn sign(event: &Event, path: &Path) -> Option<Sign> {
    let ours = event.paths.iter().any(|changed| changed == path);
    let sign = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(
            RenameMode::To | RenameMode::Both | RenameMode::From | RenameMode::Any,
        ))
        | EventKind::Remove(_) => Sign::Complete,
        // Reads, this host's own among them.
        EventKind::Access(_) => return None,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Other => {
            Sign::Changing
        }
    };
    Some(if ours { sign } else { Sign::Nearby })
}

/// The thread that waits until a file stops changing.
struct Follow<F> {
    path: PathBuf,
    seen: Option<FileVersion>,
    /// A hash of the content that was handed on last.
    handed_on: Option<u64>,
    hashes: RandomState,
    changes: Receiver<Sign>,
    on_change: F,
}

/// What tells one content of a file from another without reading the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileVersion {
    bytes: u64,
    modified: Option<SystemTime>,
    inode: u64,
    /// A file that was moved into place may have the times of the one before it.
    target: Option<PathBuf>,
}

impl<F: FnMut(io::Result<Vec<u8>>, Instant)> Follow<F> {
    fn run(mut self) {
        loop {
            let mut sign = match self.changes.recv_timeout(LOOK) {
                Ok(sign) => sign,
                Err(RecvTimeoutError::Timeout) if FileVersion::of(&self.path) == self.seen => {
                    continue;
                }
                // The file may still be in the process of being written.
                Err(RecvTimeoutError::Timeout) => Sign::Changing,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let seen = Instant::now();
            loop {
                let Some(ours) = self.settle(sign) else { return };
                if self.read(ours, seen) {
                    break;
                }
                sign = Sign::Changing;
            }
        }
    }

    /// Waits until the file stops changing, and says whether the file itself changed; `None` if the
    /// watch ended.
    fn settle(&self, first: Sign) -> Option<bool> {
        let last = Instant::now() + AT_MOST;
        let mut due = Instant::now() + first.patience();
        let mut ours = first != Sign::Nearby;
        loop {
            match self.changes.recv_timeout(due.min(last).duration_since(Instant::now())) {
                // Other files of the directory may change for ever.
                Ok(Sign::Nearby) => {}
                Ok(next) => {
                    due = Instant::now() + next.patience();
                    ours = true;
                }
                Err(RecvTimeoutError::Timeout) => return Some(ours),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Hands the content on; `false` if the file changed meanwhile, and the content was not handed
    /// on. Of an action that the system reports as several, the content is handed on once.
    fn read(&mut self, ours: bool, seen: Instant) -> bool {
        let before = FileVersion::of(&self.path);
        if !ours && before == self.seen {
            return true;
        }
        let content = crate::policy::read_file(&self.path);
        if FileVersion::of(&self.path) != before {
            return false;
        }
        let hash = content.as_ref().ok().map(|content| self.hashes.hash_one(content));
        // Within one tick of the clock, two contents may have the same version.
        if hash.is_some() && before == self.seen && hash == self.handed_on {
            return true;
        }
        (self.seen, self.handed_on) = (before, hash);
        (self.on_change)(content, seen);
        true
    }
}

impl Sign {
    fn patience(self) -> Duration {
        match self {
            Self::Complete | Self::Nearby | Self::Failed => MERGE,
            Self::Changing => QUIET,
        }
    }
}

impl FileVersion {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let modified = metadata.modified().ok();
        let (bytes, inode) = (metadata.len(), metadata.ino());
        Some(Self { bytes, modified, inode, target: fs::canonicalize(path).ok() })
    }
}

impl std::fmt::Debug for FileWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileWatch")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{rename, write};

    /// Long enough for a stalled machine; a test that passes never waits for it.
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_file_that_another_one_replaces_is_seen() {
        let watched = Watched::new();
        write(watched.beside(), "two").unwrap();
        rename(watched.beside(), watched.path()).unwrap();
        watched.sees(b"two");
        // The watch is on the directory: it survives the first replacement.
        write(watched.beside(), "three").unwrap();
        rename(watched.beside(), watched.path()).unwrap();
        watched.sees(b"three");
    }

    #[test]
    fn a_file_that_stays_as_it_is_is_reported_once_and_again_when_it_is_laid_down_again() {
        let watched = Watched::new();
        let lay = || {
            write(watched.beside(), "two").unwrap();
            rename(watched.beside(), watched.path()).unwrap();
        };
        lay();
        watched.sees(b"two");
        // The system says that the file changed; it did not.
        drop(fs::File::options().append(true).open(watched.path()).unwrap());
        write(watched.at("neighbour"), "noise").unwrap();
        assert_eq!(
            watched.changes.recv_timeout(QUIET * 3).map(drop),
            Err(RecvTimeoutError::Timeout)
        );
        lay();
        assert_eq!(watched.next().unwrap(), b"two", "it may be accepted now");
    }

    #[test]
    fn a_write_in_place_is_seen_whole() {
        let watched = Watched::new();
        let large = vec![b'x'; 3 << 20];
        write(watched.path(), &large).unwrap();
        watched.sees(&large);
    }

    #[test]
    fn a_file_that_is_removed_and_made_again_is_seen() {
        let watched = Watched::new();
        fs::remove_file(watched.path()).unwrap();
        let gone = watched.next().unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        write(watched.path(), "again").unwrap();
        watched.sees(b"again");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_elsewhere_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        write(at("one"), "1").unwrap();
        write(at("two"), "2").unwrap();
        std::os::unix::fs::symlink(at("one"), at("link")).unwrap();
        let watched = Watched::over(directory, "link");
        std::os::unix::fs::symlink(watched.at("two"), watched.at("next")).unwrap();
        rename(watched.at("next"), watched.at("link")).unwrap();
        watched.sees(b"2");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_further_up_that_leads_elsewhere_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (folder, content) in [("one", "1"), ("two", "2")] {
            fs::create_dir_all(at(folder).join("conf")).unwrap();
            write(at(folder).join("conf/policy.wasm"), content).unwrap();
        }
        std::os::unix::fs::symlink("one", at("data")).unwrap();
        let watched = Watched::over(directory, "data/conf/policy.wasm");
        std::os::unix::fs::symlink("two", watched.at("next")).unwrap();
        rename(watched.at("next"), watched.at("data")).unwrap();
        watched.sees(b"2");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_said_and_not_waited_for() {
        let watched = Watched::new();
        let pipe = std::process::Command::new("mkfifo").arg(watched.beside()).status().unwrap();
        assert!(pipe.success());
        rename(watched.beside(), watched.path()).unwrap();
        let error = watched.next().unwrap_err();
        assert!(error.to_string().contains("no regular file"), "{error}");
        write(watched.beside(), "two").unwrap();
        rename(watched.beside(), watched.path()).unwrap();
        watched.sees(b"two");
    }

    #[test]
    fn neighbours_are_not_reported() {
        let watched = Watched::new();
        write(watched.at("neighbour"), "noise").unwrap();
        write(watched.path(), "two").unwrap();
        assert_eq!(watched.next().unwrap(), b"two");
    }

    #[test]
    fn a_dropped_watch_ends() {
        let Watched { watch, changes, directory } = Watched::new();
        drop(watch);
        assert_eq!(changes.recv().map(drop), Err(mpsc::RecvError));
        drop(directory);
    }

    #[test]
    fn a_directory_that_does_not_exist_is_an_error() {
        let missing = watch(Path::new("/nowhere/at/all/policy.wasm"), |_, _| {});
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    struct Watched {
        watch: FileWatch,
        changes: Receiver<io::Result<Vec<u8>>>,
        directory: tempfile::TempDir,
    }

    impl Watched {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            write(directory.path().join("policy.wasm"), "one").unwrap();
            Self::over(directory, "policy.wasm")
        }

        fn over(directory: tempfile::TempDir, name: &str) -> Self {
            let (seen, changes) = mpsc::channel();
            let path = directory.path().join(name);
            let watch = watch(&path, move |content, _| drop(seen.send(content))).unwrap();
            Self { watch, changes, directory }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn path(&self) -> PathBuf {
            self.at("policy.wasm")
        }

        fn beside(&self) -> PathBuf {
            self.at("policy.wasm.new")
        }

        fn next(&self) -> io::Result<Vec<u8>> {
            self.changes.recv_timeout(LONG).expect("a change is reported")
        }

        /// The system may report one action as several; the last report counts.
        fn sees(&self, content: &[u8]) {
            while self.next().ok().as_deref() != Some(content) {}
        }
    }
}
