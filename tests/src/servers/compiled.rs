//! The native code of the built-in policy, which one host leaves for the next: to compile the policy
//! takes most of a start. Other policies stay with their host, so that no test makes another one fast.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use corral_host::policy::builtin;
use corral_host::policy::prove::gate;
use tempfile::NamedTempFile;

use super::build_dir;

/// Puts what an earlier host compiled into the cache folder of a host that starts.
///
/// # Errors
/// If the folder can't be made or written.
pub(super) fn take_over(cache: &Path) -> anyhow::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(cache)?;
    copy(&left()?, cache)
}

/// Leaves what a host compiled for those that start later.
///
/// # Errors
/// If the folder can't be made or written.
pub(super) fn leave(cache: &Path) -> anyhow::Result<()> {
    let left = left()?;
    fs::create_dir_all(&left)?;
    copy(cache, &left)
}

fn left() -> anyhow::Result<PathBuf> {
    Ok(build_dir()?.join("compiled-policy"))
}

/// Copies the built-in policy's files, of every version of the compiler, unless they are there.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let digest = gate::digest(builtin());
    let files = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        files => files?,
    };
    for file in files {
        let file = file?;
        let name = file.file_name();
        let is_builtin = name
            .to_string_lossy()
            .strip_prefix(".policy.")
            .is_some_and(|rest| rest.split_once('-').is_some_and(|(of, _)| digest.starts_with(of)));
        let copy = to.join(&name);
        if is_builtin && !copy.exists() {
            // Such a file has the mode that a host demands, and comes into place whole.
            let mut whole = NamedTempFile::new_in(to)?;
            whole.write_all(&fs::read(file.path())?)?;
            whole.persist(copy)?;
        }
    }
    Ok(())
}
