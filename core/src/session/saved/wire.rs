//! Bytes of a saved session on their way in and out, with a checksum that runs along.

use super::{SavedError, SavedPart};
use crate::io::MAX_INTERRUPTED;
use crc::{CRC_64_XZ, Crc, Digest};
use embedded_io::{Error as _, ErrorKind, Read, Write};

/// CRC-64/XZ (ECMA-182): finds every burst of up to 64 bits, and misses one other damage in 2^64.
pub(super) static CRC: Crc<u64> = Crc::<u64>::new(&CRC_64_XZ);

/// What is written, and the checksum of all of it so far.
pub(super) struct Out<'w, W> {
    writer: &'w mut W,
    digest: Digest<'static, u64>,
    at: u64,
}

impl<'w, W: Write> Out<'w, W> {
    pub(super) fn new(writer: &'w mut W) -> Self {
        Self { writer, digest: CRC.digest(), at: 0 }
    }

    /// Writes `bytes`.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), SavedError> {
        self.digest.update(bytes);
        self.write(bytes)
    }

    /// Ends a part with the checksum of everything up to here, earlier parts included: parts cannot change places.
    pub(super) fn seal(&mut self) -> Result<(), SavedError> {
        let sum = self.digest.clone().finalize();
        self.write(&sum.to_le_bytes())
    }

    pub(super) fn flush(&mut self) -> Result<(), SavedError> {
        let mut interrupted = 0u32;
        loop {
            match self.writer.flush() {
                Ok(()) => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted && interrupted < MAX_INTERRUPTED => {
                    interrupted = interrupted.saturating_add(1);
                }
                Err(e) => return Err(SavedError::Write { kind: e.kind(), offset: self.at, len: 0 }),
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), SavedError> {
        let mut interrupted = 0u32;
        while !bytes.is_empty() {
            let (offset, len) = (self.at, bytes.len());
            match self.writer.write(bytes) {
                Ok(0) => return Err(SavedError::Write { kind: ErrorKind::WriteZero, offset, len }),
                Ok(n) => {
                    bytes = bytes.get(n..).ok_or(SavedError::Contract { offset, got: n, most: len })?;
                    self.at = self.at.saturating_add(n as u64);
                    interrupted = 0;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted && interrupted < MAX_INTERRUPTED => {
                    interrupted = interrupted.saturating_add(1);
                }
                Err(e) => return Err(SavedError::Write { kind: e.kind(), offset, len }),
            }
        }
        Ok(())
    }
}

/// What is read, and the checksum of all of it so far.
pub(super) struct In<'r, I> {
    reader: &'r mut I,
    digest: Digest<'static, u64>,
    at: u64,
}

impl<'r, I: Read> In<'r, I> {
    pub(super) fn new(reader: &'r mut I) -> Self {
        Self { reader, digest: CRC.digest(), at: 0 }
    }

    /// Fills `out` with bytes of `part`.
    pub(super) fn take(&mut self, part: SavedPart, out: &mut [u8]) -> Result<(), SavedError> {
        self.read(part, out)?;
        self.digest.update(out);
        Ok(())
    }

    /// Reads the checksum that ends `part`, and compares.
    pub(super) fn check(&mut self, part: SavedPart) -> Result<(), SavedError> {
        let (offset, want) = (self.at, self.digest.clone().finalize());
        let mut sum = [0; 8];
        self.read(part, &mut sum)?;
        if u64::from_le_bytes(sum) == want { Ok(()) } else { Err(SavedError::Corrupt { part, offset }) }
    }

    fn read(&mut self, part: SavedPart, out: &mut [u8]) -> Result<(), SavedError> {
        let mut rest = out;
        let mut interrupted = 0u32;
        while !rest.is_empty() {
            let (offset, len) = (self.at, rest.len());
            match self.reader.read(rest) {
                Ok(0) => return Err(SavedError::Truncated { part, offset }),
                Ok(n) => {
                    rest = rest.get_mut(n..).ok_or(SavedError::Contract { offset, got: n, most: len })?;
                    self.at = self.at.saturating_add(n as u64);
                    interrupted = 0;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted && interrupted < MAX_INTERRUPTED => {
                    interrupted = interrupted.saturating_add(1);
                }
                Err(e) => return Err(SavedError::Read { kind: e.kind(), offset, len }),
            }
        }
        Ok(())
    }
}
