//! Readers of one content in several manners.

use embedded_io::{ErrorType, Read, Seek, SeekFrom, Write};
use std::io::{self, Cursor};

/// A `std::io` reader or writer as an `embedded_io` one, reading at most `most` bytes a call.
#[derive(Debug)]
pub struct Std<R> {
    inner: R,
    most: usize,
}

impl<R> Std<R> {
    /// Gives what is asked for.
    pub fn new(inner: R) -> Self {
        Self { inner, most: usize::MAX }
    }
}

impl<'a> Std<Cursor<&'a [u8]>> {
    /// Gives `bytes`, at most `most` a call.
    pub fn short(bytes: &'a [u8], most: usize) -> Self {
        Self { inner: Cursor::new(bytes), most }
    }
}

impl<R> ErrorType for Std<R> {
    type Error = io::Error;
}

impl<R: io::Read> Read for Std<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(self.most);
        self.inner.read(&mut buf[..n])
    }
}

impl<R: io::Seek> Seek for Std<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(match to {
            SeekFrom::Start(n) => io::SeekFrom::Start(n),
            SeekFrom::End(n) => io::SeekFrom::End(n),
            SeekFrom::Current(n) => io::SeekFrom::Current(n),
        })
    }
}

impl<W: io::Write> Write for Std<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.inner.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
