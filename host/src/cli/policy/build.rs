//! `corral policy build`

use std::path::Path;

use crate::cli::{Failed, say};
use crate::policy::build;

use super::examine;

pub(super) fn run(path: &Path, out: Option<&Path>) -> Result<(), Failed> {
    let built = build::build(path, out)?;
    let passport = examine(&built.path, None)?;
    say(format_args!(
        "{}: {}@{}, {} bytes, sha-256 {}, built by {}",
        built.path.display(),
        passport.name,
        passport.version,
        built.bytes,
        built.digest,
        built.stamp.rustc,
    ));
    Ok(())
}

pub(super) fn check(path: &Path, component: &Path) -> Result<(), Failed> {
    build::check_current(path, component)?;
    say(format_args!("{} is what {} gives", component.display(), path.display()));
    Ok(())
}
