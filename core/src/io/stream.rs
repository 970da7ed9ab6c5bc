//! Any `embedded_io::Read + Seek` as a [`ReadAt`].

use super::{AbsOffset, IoError, IoOp, ReadAt};
use embedded_io::{Error as _, ErrorKind, Read, Seek, SeekFrom};

/// How many times in a row a read may be `Interrupted` before it counts as failed.
pub const MAX_INTERRUPTED: u32 = 16;

/// A seekable reader with its position remembered, so that sequential reads cost no seek.
///
/// The read loop is this type's own: `embedded_io::Read::read_exact` neither retries `Interrupted` nor survives
/// a reader that claims to have read more than it was given room for.
#[derive(Debug)]
pub struct Stream<R> {
    inner: R,
    /// Where the next read happens; `None` when a fault has left that unknown.
    position: Option<u64>,
}

impl<R: Read + Seek> Stream<R> {
    /// Wraps `inner`, whatever its present position.
    pub const fn new(inner: R) -> Self {
        Self { inner, position: None }
    }

    /// The wrapped reader, at an unspecified position.
    pub fn into_inner(self) -> R {
        self.inner
    }

    fn seek_to(&mut self, at: u64) -> Result<(), IoError> {
        if self.position == Some(at) {
            return Ok(());
        }
        self.position = None;
        let got = self.seek(SeekFrom::Start(at), IoOp::Seek, at)?;
        if got != at {
            return Err(IoError::Contract { op: IoOp::Seek, offset: at, got, want: at });
        }
        self.position = Some(at);
        Ok(())
    }

    fn seek(&mut self, to: SeekFrom, op: IoOp, at: u64) -> Result<u64, IoError> {
        let mut interrupted = 0u32;
        loop {
            match self.inner.seek(to) {
                Ok(got) => return Ok(got),
                Err(e) if e.kind() == ErrorKind::Interrupted && interrupted < MAX_INTERRUPTED => {
                    interrupted = interrupted.saturating_add(1);
                }
                Err(e) => return Err(IoError::Io { op, kind: e.kind(), offset: at, len: 0 }),
            }
        }
    }
}

impl<R: Read + Seek> ReadAt for Stream<R> {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        if buf.is_empty() {
            return Ok(());
        }
        self.seek_to(at.get())?;
        let mut at = at.get();
        let need = buf.len() as u64;
        let mut rest = buf;
        let mut interrupted = 0u32;
        while !rest.is_empty() {
            let want = rest.len();
            // Until the read has succeeded nobody knows where the reader stands.
            self.position = None;
            match self.inner.read(rest) {
                Ok(0) => {
                    let have = need.saturating_sub(want as u64);
                    return Err(IoError::Truncated { offset: at, need, have });
                }
                Ok(n) => {
                    let Some(tail) = rest.get_mut(n..) else {
                        let (got, want) = (n as u64, want as u64);
                        return Err(IoError::Contract { op: IoOp::Read, offset: at, got, want });
                    };
                    rest = tail;
                    at = at.saturating_add(n as u64);
                    self.position = Some(at);
                    interrupted = 0;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted && interrupted < MAX_INTERRUPTED => {
                    interrupted = interrupted.saturating_add(1);
                }
                Err(e) => {
                    return Err(IoError::Io { op: IoOp::Read, kind: e.kind(), offset: at, len: want });
                }
            }
        }
        Ok(())
    }

    fn len(&mut self) -> Result<u64, IoError> {
        self.position = None;
        let end = self.seek(SeekFrom::End(0), IoOp::Len, 0)?;
        self.position = Some(end);
        Ok(end)
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a panic is a test's failure")]
mod tests {
    use super::*;
    use embedded_io::ErrorType;

    /// Twenty bytes `0..20`; each call does what `faults` says for it, once it is a read (or seek).
    struct Faulty {
        at: u64,
        most: usize,
        seeks: usize,
        /// What the next read does, and how often.
        read_fault: Option<(ReadFault, u32)>,
        seek_fault: Option<SeekFault>,
    }

    #[derive(Clone, Copy)]
    enum ReadFault {
        Fails(ErrorKind),
        TooMany,
        Nothing,
    }

    #[derive(Clone, Copy)]
    enum SeekFault {
        Fails,
        Elsewhere,
    }

    impl Faulty {
        fn new(most: usize) -> Stream<Self> {
            Stream::new(Self { at: 0, most, seeks: 0, read_fault: None, seek_fault: None })
        }
    }

    impl ErrorType for Faulty {
        type Error = ErrorKind;
    }

    impl Read for Faulty {
        fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
            if let Some((fault, times)) = self.read_fault {
                self.read_fault = (times > 1).then(|| (fault, times - 1));
                return match fault {
                    ReadFault::Fails(kind) => Err(kind),
                    ReadFault::TooMany => Ok(buf.len() + 1),
                    ReadFault::Nothing => Ok(0),
                };
            }
            let n = buf.len().min(self.most).min(20usize.saturating_sub(self.at as usize));
            for to in &mut buf[..n] {
                *to = self.at as u8;
                self.at += 1;
            }
            Ok(n)
        }
    }

    impl Seek for Faulty {
        fn seek(&mut self, to: SeekFrom) -> Result<u64, ErrorKind> {
            self.seeks += 1;
            self.at = match to {
                SeekFrom::Start(at) => at,
                SeekFrom::End(by) => (20 + by) as u64,
                SeekFrom::Current(by) => (self.at as i64 + by) as u64,
            };
            match self.seek_fault.take() {
                Some(SeekFault::Fails) => Err(ErrorKind::Other),
                Some(SeekFault::Elsewhere) => {
                    self.at += 1;
                    Ok(self.at)
                }
                None => Ok(self.at),
            }
        }
    }

    fn read(stream: &mut Stream<Faulty>, at: u64) -> Result<[u8; 4], IoError> {
        let mut buf = [0xff; 4];
        stream.read_at(AbsOffset::new(at), &mut buf).map(|()| buf)
    }

    #[test]
    fn short_reads_are_joined_and_sequential_ones_seek_once() {
        for most in 1..=5 {
            let mut stream = Faulty::new(most);
            assert_eq!(read(&mut stream, 2), Ok([2, 3, 4, 5]));
            assert_eq!(read(&mut stream, 6), Ok([6, 7, 8, 9]));
            assert_eq!(stream.inner.seeks, 1);
            assert_eq!(read(&mut stream, 0), Ok([0, 1, 2, 3]));
            assert_eq!(stream.inner.seeks, 2);
        }
        assert_eq!(Faulty::new(1).len(), Ok(20));
    }

    #[test]
    fn interruptions_are_retried_up_to_the_bound() {
        for (times, fails) in [(1, false), (3, false), (MAX_INTERRUPTED, false), (MAX_INTERRUPTED + 1, true)]
        {
            let mut stream = Faulty::new(2);
            stream.inner.read_fault = Some((ReadFault::Fails(ErrorKind::Interrupted), times));
            let want = IoError::Io { op: IoOp::Read, kind: ErrorKind::Interrupted, offset: 2, len: 4 };
            assert_eq!(read(&mut stream, 2), if fails { Err(want) } else { Ok([2, 3, 4, 5]) });
            assert_eq!(read(&mut stream, 3), Ok([3, 4, 5, 6]));
        }
    }

    #[test]
    fn a_fault_is_an_error_and_leaves_nothing_behind() {
        let truncated = IoError::Truncated { offset: 2, need: 4, have: 0 };
        let contract = IoError::Contract { op: IoOp::Read, offset: 2, got: 5, want: 4 };
        let io = IoError::Io { op: IoOp::Read, kind: ErrorKind::TimedOut, offset: 2, len: 4 };
        for (fault, want) in [
            (ReadFault::Nothing, truncated),
            (ReadFault::TooMany, contract),
            (ReadFault::Fails(ErrorKind::TimedOut), io),
        ] {
            let mut stream = Faulty::new(3);
            stream.inner.read_fault = Some((fault, 1));
            assert_eq!(read(&mut stream, 2), Err(want));
            assert_eq!(read(&mut stream, 2), Ok([2, 3, 4, 5]));
        }
        let io = IoError::Io { op: IoOp::Seek, kind: ErrorKind::Other, offset: 2, len: 0 };
        let contract = IoError::Contract { op: IoOp::Seek, offset: 2, got: 3, want: 2 };
        for (fault, want) in [(SeekFault::Fails, io), (SeekFault::Elsewhere, contract)] {
            let mut stream = Faulty::new(3);
            stream.inner.seek_fault = Some(fault);
            assert_eq!(read(&mut stream, 2), Err(want));
            assert_eq!(read(&mut stream, 2), Ok([2, 3, 4, 5]));
        }
    }

    #[test]
    fn the_end_is_the_same_for_slice_and_stream() {
        let bytes: [u8; 20] = core::array::from_fn(|i| i as u8);
        for at in 0..25 {
            for len in 0..8 {
                let (mut a, mut b) = ([0; 8], [0; 8]);
                let slice = (&bytes[..]).read_at(AbsOffset::new(at), &mut a[..len]);
                for most in [1, 3, 20] {
                    let stream = Faulty::new(most).read_at(AbsOffset::new(at), &mut b[..len]);
                    assert_eq!(slice, stream);
                    assert!(slice.is_err() || a == b);
                }
            }
        }
    }
}
