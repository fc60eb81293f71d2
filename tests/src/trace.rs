//! Recorded access streams, as the host reads them, and where one lies.

use std::path::{Path, PathBuf};

pub use corral_host::trace::{Trace, TraceError};

/// The recorded product pages of a shop, where they lie beside the project.
const WEB12: &str = "../shared/traces/web12.trace.xz";

/// The recorded product pages, if they lie beside this checkout.
#[must_use]
pub fn beside_the_project() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(WEB12);
    path.exists().then_some(path)
}
