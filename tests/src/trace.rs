//! Recorded access streams: one big-endian 32-bit integer per access, in order, perhaps in xz.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use liblzma::read::XzDecoder;

/// How every xz file begins.
const XZ_MAGIC: [u8; 6] = [0xFD, b'7', b'z', b'X', b'Z', 0];

/// The recorded product pages of a shop, where they lie beside the project.
const WEB12: &str = "../shared/traces/web12.trace.xz";

/// Which thing was accessed, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace(Vec<u32>);

impl Trace {
    /// Reads a file, xz or raw.
    ///
    /// # Errors
    /// When it can't be read, is damaged, or does not end with a whole access.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        Self::read_bytes(path).with_context(|| format!("the trace {}", path.display()))
    }

    fn read_bytes(path: &Path) -> anyhow::Result<Self> {
        let mut bytes = Vec::new();
        BufReader::new(File::open(path)?).read_to_end(&mut bytes)?;
        if bytes.starts_with(&XZ_MAGIC) {
            let packed = std::mem::take(&mut bytes);
            XzDecoder::new_multi_decoder(packed.as_slice()).read_to_end(&mut bytes)?;
        }
        let (accesses, rest) = bytes.as_chunks::<4>();
        ensure!(rest.is_empty(), "{} bytes are left over after the last access", rest.len());
        Ok(Self(accesses.iter().map(|bytes| u32::from_be_bytes(*bytes)).collect()))
    }

    /// The recorded product pages, if they lie beside this checkout.
    #[must_use]
    pub fn beside_the_project() -> Option<PathBuf> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(WEB12);
        path.exists().then_some(path)
    }

    /// Keeps the first `limit` accesses.
    #[must_use]
    pub fn limited(mut self, limit: usize) -> Self {
        self.0.truncate(limit);
        self
    }

    /// The accesses, in order.
    #[must_use]
    pub fn accesses(&self) -> &[u32] {
        &self.0
    }

    /// Each accessed thing once.
    #[must_use]
    pub fn distinct(&self) -> BTreeSet<u32> {
        self.0.iter().copied().collect()
    }
}

impl From<Vec<u32>> for Trace {
    fn from(accesses: Vec<u32>) -> Self {
        Self(accesses)
    }
}
