//! Readers of one content in several manners.

use barre_core::io::{AbsOffset, IoError, IoOp, ReadAt};
use embedded_io::{ErrorKind, ErrorType, Read, Seek, SeekFrom, Write};
use std::cell::Cell;
use std::collections::VecDeque;
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

/// A reader without views that lends what it has read ahead, on storage of a given speed, in simulated time.
///
/// One read at a time, in the order of the announcements; a buffer for each of the last `slots` of them.
#[derive(Debug)]
pub struct Lender<'a> {
    bytes: &'a [u8],
    slots: usize,
    seconds_per_byte: f64,
    clock: &'a Clock,
    /// Announced ranges, and when each has been read.
    announced: VecDeque<(u64, usize, f64)>,
    storage_free: f64,
    /// Every range that was read ahead or lent without having been announced, in order.
    pub reads: Vec<(u64, usize)>,
    /// How many ranges were announced at each call of `lend`, the wanted one among them.
    pub depths: Vec<usize>,
    /// Calls of `lend` so far.
    pub calls: usize,
    /// The number of the call that fails.
    pub fail_at: usize,
}

/// Simulated seconds.
#[derive(Debug, Default)]
pub struct Clock(pub Cell<f64>);

impl Clock {
    /// Lets `seconds` pass.
    pub fn advance(&self, seconds: f64) {
        self.0.set(self.0.get() + seconds);
    }
}

impl<'a> Lender<'a> {
    /// Reads `bytes_per_second` of `bytes` into `slots` buffers.
    #[must_use]
    pub fn new(bytes: &'a [u8], slots: usize, bytes_per_second: f64, clock: &'a Clock) -> Self {
        Self {
            bytes,
            slots,
            seconds_per_byte: bytes_per_second.recip(),
            clock,
            announced: VecDeque::new(),
            storage_free: 0.0,
            reads: Vec::new(),
            depths: Vec::new(),
            calls: 0,
            fail_at: usize::MAX,
        }
    }
}

impl ReadAt for Lender<'_> {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        self.clock.advance(buf.len() as f64 * self.seconds_per_byte);
        self.bytes.read_at(at, buf)
    }

    fn prefetch(&mut self, at: AbsOffset, len: u64) {
        if self.announced.len() == self.slots {
            self.announced.pop_front();
        }
        let start = self.storage_free.max(self.clock.0.get());
        self.storage_free = start + len as f64 * self.seconds_per_byte;
        self.reads.push((at.get(), len as usize));
        self.announced.push_back((at.get(), len as usize, self.storage_free));
    }

    fn lend(&mut self, at: AbsOffset, len: usize) -> Result<Option<&[u8]>, IoError> {
        while self.announced.front().is_some_and(|&(a, l, _)| (a, l) != (at.get(), len)) {
            self.announced.pop_front();
        }
        if self.announced.is_empty() {
            self.prefetch(at, len as u64);
        }
        self.depths.push(self.announced.len());
        let ready = self.announced.pop_front().map_or(0.0, |(_, _, ready)| ready);
        self.clock.0.set(self.clock.0.get().max(ready));
        self.calls += 1;
        if self.calls == self.fail_at {
            return Err(IoError::Io { op: IoOp::Read, kind: ErrorKind::Other, offset: at.get(), len });
        }
        Ok((usize::try_from(at.get()).ok()).and_then(|start| self.bytes.get(start..start.checked_add(len)?)))
    }

    fn len(&mut self) -> Result<u64, IoError> {
        Ok(self.bytes.len() as u64)
    }
}
