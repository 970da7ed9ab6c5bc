//! A file of the machine that runs the emulator or holds the probe, by Arm semihosting: `SYS_OPEN`, `SYS_SEEK`, `SYS_READ`,
//! `SYS_FLEN`.

use core::ffi::CStr;
use core::fmt;
use embedded_io::{ErrorKind, ErrorType, Read, Seek, SeekFrom};
use semihosting::fs::File;
use semihosting::io::{self, Read as _, Seek as _};

/// An open file. [`Stream`](barre_core::io::Stream) makes it the reader of a model.
pub struct HostFile(File);

/// The host has no such file, or lets none be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHostFile;

impl fmt::Display for NoHostFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host has no such file")
    }
}

impl core::error::Error for NoHostFile {}

impl HostFile {
    /// Opens the file of that name, seen from where the emulator runs.
    ///
    /// # Errors
    /// [`NoHostFile`].
    pub fn open(name: &CStr) -> Result<Self, NoHostFile> {
        File::open(name).map(Self).map_err(|_| NoHostFile)
    }
}

impl ErrorType for HostFile {
    type Error = ErrorKind;
}

impl Read for HostFile {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(buf).map_err(|e| kind(&e))
    }
}

impl Seek for HostFile {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, ErrorKind> {
        let to = match to {
            SeekFrom::Start(at) => io::SeekFrom::Start(at),
            SeekFrom::End(by) => io::SeekFrom::End(by),
            // The host knows no way to ask where a file is.
            SeekFrom::Current(_) => return Err(ErrorKind::Unsupported),
        };
        self.0.seek(to).map_err(|e| kind(&e))
    }
}

fn kind(e: &io::Error) -> ErrorKind {
    match e.kind() {
        io::ErrorKind::Interrupted => ErrorKind::Interrupted,
        io::ErrorKind::InvalidInput => ErrorKind::InvalidInput,
        _ => ErrorKind::Other,
    }
}
