//! The installed Postgres, and the user that may run it.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::super::{build_dir, copy, run};

/// The installed Postgres, and the user that may run it.
#[derive(Clone)]
pub(super) struct Installed {
    bin: PathBuf,
    pub(super) owner: Owner,
}

impl Installed {
    /// Debian keeps several versions side by side and outside the path; the newest is taken.
    pub(super) fn find() -> anyhow::Result<Self> {
        let version =
            |bin: &Path| -> Option<u32> { bin.parent()?.file_name()?.to_str()?.parse().ok() };
        let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = debian
            .map(|entry| entry.path().join("bin"))
            .filter(|bin| bin.join("initdb").exists())
            .max_by_key(|bin| version(bin));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let bin = newest
            .or_else(|| std::env::split_paths(&path).find(|dir| dir.join("initdb").exists()))
            .context("Postgres is not installed; tests/prepare installs it")?;
        Ok(Self { bin, owner: Owner::find()? })
    }

    /// A data directory fresh from `initdb`, to be copied. Making it takes seconds, so it is kept
    /// beside the executables for later test processes.
    pub(super) async fn template(&self) -> anyhow::Result<PathBuf> {
        static TEMPLATE: OnceCell<PathBuf> = OnceCell::const_new();
        let made = TEMPLATE.get_or_try_init(|| async {
            let this = self.clone();
            tokio::task::spawn_blocking(move || this.make_template()).await?
        });
        made.await.cloned()
    }

    fn make_template(&self) -> anyhow::Result<PathBuf> {
        let template = build_dir()?.join(self.template_name()?);
        if template.exists() {
            return Ok(template);
        }
        let home = self.owner.temp_dir()?;
        let data = home.path().join("data");
        run(self
            .command("initdb", home.path())
            .arg("-D")
            .arg(&data)
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .arg("--no-sync"))?;
        let partial = template.with_extension(std::process::id().to_string());
        copy(&data, &partial)?;
        match fs::rename(&partial, &template) {
            Err(error) if !template.exists() => Err(error.into()),
            // Another test process made it first.
            Err(_) => Ok(fs::remove_dir_all(&partial).map(|()| template)?),
            Ok(()) => Ok(template),
        }
    }

    /// A name that differs where the content would differ: by version and by owner.
    fn template_name(&self) -> anyhow::Result<String> {
        let output = Command::new(self.bin.join("postgres")).arg("--version").output()?;
        ensure!(output.status.success(), "`postgres --version` failed");
        let version: String = String::from_utf8_lossy(&output.stdout)
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        Ok(format!("postgres-template-{}-{}", version.trim_matches('-'), self.owner.uid))
    }

    pub(super) fn command(&self, program: &str, home: &Path) -> Command {
        self.owner.command(&self.bin.join(program), home)
    }
}

/// The user that runs Postgres. Postgres refuses to run as root; then it is the user that its
/// package made.
#[derive(Clone, Copy)]
pub(in crate::servers) struct Owner {
    uid: u32,
    gid: u32,
    differs: bool,
}

impl Owner {
    pub(in crate::servers) fn find() -> anyhow::Result<Self> {
        let me = fs::metadata("/proc/self")?;
        if me.uid() != 0 {
            return Ok(Self { uid: me.uid(), gid: me.gid(), differs: false });
        }
        let users = fs::read_to_string("/etc/passwd")?;
        let user = |line: &str| {
            let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
            let uid = fields.next()?.parse().ok()?;
            Some(Self { uid, gid: fields.next()?.parse().ok()?, differs: true })
        };
        users.lines().find_map(user).context("root can't run Postgres, and no user `postgres` can")
    }

    /// A command that runs as this user.
    pub(in crate::servers) fn command(self, program: &Path, home: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(home);
        if self.differs {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Writes a file that only this user can read.
    pub(super) fn write(self, path: &Path, text: &str) -> io::Result<()> {
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        if self.differs {
            chown(path, Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }

    pub(in crate::servers) fn temp_dir(self) -> io::Result<TempDir> {
        let dir = tempfile::tempdir()?;
        if self.differs {
            chown(dir.path(), Some(self.uid), Some(self.gid))?;
        }
        Ok(dir)
    }
}
