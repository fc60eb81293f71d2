//! Reads a component's file without ever blocking.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// The size of the largest component that any configuration allows, and one byte, which shows that
/// a file is larger.
const LONGEST: u64 = (1 << 30) + 1;

/// The content of a regular file. A pipe, which may never have a writer, a device or a socket is
/// refused.
///
/// # Errors
/// The system's, and [`io::ErrorKind::InvalidInput`] if the path is not a regular file.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Without NONBLOCK, opening a pipe waits for its writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}
