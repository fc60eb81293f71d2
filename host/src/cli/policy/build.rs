//! `corral policy build`

use std::path::Path;

use anyhow::anyhow;

use crate::cli::{Failed, say};
use crate::policy::build::{self, Compared};
use crate::service::conditions;

use super::gate;

/// Builds a component, and writes it if it passes the gate: a host may watch the file. The gate asks
/// as `corral policy check` does, but grants the limits of the language unless a configuration says
/// otherwise.
pub(super) fn run(path: &Path, out: Option<&Path>, config: Option<&Path>) -> Result<(), Failed> {
    let asked_with = gate::configuration(config)?;
    let component = build::component(path)?;
    let limits = match config {
        Some(_) => asked_with.policy.limits.clone(),
        None => component.language.limits(),
    };
    let examined = gate::examine(&component.bytes, limits, &conditions(&asked_with))?;
    let passport = examined.map_err(|rejection| {
        anyhow!("{}: nothing was written, since the policy was {rejection}", path.display())
    })?;
    let built = component.write(path, out)?;
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
