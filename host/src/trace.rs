//! Recorded access streams: which thing was accessed, in order, without times.
//!
//! A file is one big-endian 32-bit integer per access, perhaps in xz; or text with one number per
//! line.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// How every xz file begins.
const XZ_MAGIC: [u8; 6] = [0xFD, b'7', b'z', b'X', b'Z', 0];

/// What a text of numbers consists of, CRLF and a blank at a line's end included.
const TEXT: &[u8] = b"0123456789 \t\r\n";

/// Which thing was accessed, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace(Vec<u32>);

/// A file that is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file can't be read, or is damaged.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file ends within an access.
    #[error("{0} bytes are left over after the last access; each has four")]
    Partial(usize),
    /// A line of text is no 32-bit number.
    #[error("line {0} is no number below 2^32")]
    Line(usize),
}

/// What these bytes in xz are, by the program of that name.
fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut xz = Command::new("xz");
    xz.args(["--decompress", "--stdout"]).stdin(Stdio::piped());
    let started = xz.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut xz = started.map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return io::Error::other(
                "it is in xz, and the program xz is missing (Debian: xz-utils)",
            );
        }
        error
    })?;
    let input = xz.stdin.take();
    let output = thread::scope(|scope| {
        // By a thread of its own, since xz answers before it has everything. If xz ends early, its
        // status tells.
        scope.spawn(move || input.map(|mut input| input.write_all(bytes)));
        xz.wait_with_output()
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = match said.trim() {
        "" => format!("xz ended with {}", output.status),
        said => said.to_owned(),
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, reason))
}

impl Trace {
    /// Reads a file in any of the forms.
    ///
    /// # Errors
    /// The file can't be read, or is no trace.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let mut bytes = Vec::new();
        BufReader::new(File::open(path)?).read_to_end(&mut bytes)?;
        if bytes.starts_with(&XZ_MAGIC) {
            bytes = unpacked(&bytes)?;
        }
        // Four such bytes as one integer are a number above 150 million, and no trace consists of
        // such numbers alone.
        if !bytes.is_empty() && bytes.iter().all(|byte| TEXT.contains(byte)) {
            return Self::from_text(&bytes);
        }
        let (accesses, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(TraceError::Partial(rest.len()));
        }
        Ok(Self(accesses.iter().map(|bytes| u32::from_be_bytes(*bytes)).collect()))
    }

    fn from_text(bytes: &[u8]) -> Result<Self, TraceError> {
        let lines = String::from_utf8_lossy(bytes);
        let lines = lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let number = |(at, line): (usize, &str)| {
            line.trim().parse().map_err(|_invalid| TraceError::Line(at + 1))
        };
        lines.map(number).collect::<Result<_, _>>().map(Self)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<u32>, TraceError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Trace::read(file.path()).map(|trace| trace.accesses().to_vec())
    }

    #[test]
    fn integers_and_lines_of_text_are_read() {
        assert_eq!(read(&[0, 0, 0, 7, 0, 0, 1, 0]).unwrap(), [7, 256]);
        assert_eq!(read(b"7\r\n\n256 \n").unwrap(), [7, 256]);
        assert_eq!(read(b"").unwrap(), [0_u32; 0]);
    }

    #[test]
    fn what_xz_refuses_is_told() {
        let damaged = [&XZ_MAGIC[..], b"no more"].concat();
        let told = read(&damaged).unwrap_err().to_string();
        assert!(told.contains("xz"), "{told}");
    }

    #[test]
    fn what_is_no_trace_is_told_with_its_place() {
        assert_eq!(
            read(&[0, 0, 0, 7, 9]).unwrap_err().to_string(),
            TraceError::Partial(1).to_string()
        );
        assert_eq!(read(b"1\n2 3\n").unwrap_err().to_string(), TraceError::Line(2).to_string());
        assert!(read(b"4294967296\n").is_err());
    }
}
