//! `corral policy build`

use std::path::Path;

use crate::cli::{Failed, say};
use crate::policy::build::{self, Compared};

use super::examine;

pub(super) fn run(path: &Path, out: Option<&Path>) -> Result<(), Failed> {
    let built = build::build(path, out)?;
    let passport = examine(&built.path, None, || built.language.limits())?;
    say(format_args!(
        "{}: {}@{}, {} bytes, sha-256 {}, built by {}",
        built.path.display(),
        passport.name,
        passport.version,
        built.bytes,
        built.digest,
        built.stamp.compiler,
    ));
    Ok(())
}

pub(super) fn check(path: &Path, component: &Path) -> Result<(), Failed> {
    let compared = build::check_current(path, component)?;
    let (component, project) = (component.display(), path.display());
    match compared {
        Compared::Bytes => {
            say(format_args!(
                "{component} is what {project} gives: it was built again, byte for byte"
            ));
        }
        Compared::Sources { compiler } => say(format_args!(
            "{component} was built from the sources in {project}, as it says itself; its bytes were \
             not compared, since only a crate is built again, and only by the compiler that built \
             it: {compiler}"
        )),
    }
    Ok(())
}
