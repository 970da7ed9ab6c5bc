//! Positioned reads of a model file: tried again where that can help, slowed down on request, and counted.

use barre_core::io::{IoError, IoOp};
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::ops::{Range, Sub};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Direct reads begin and end at multiples of this, in the file and in memory: a page, which is a whole number of any
/// storage's blocks.
pub(crate) const PAGE: usize = 4096;

/// How often a read is tried again that failed for a reason which may pass.
pub const MAX_RETRIES: u32 = 4;

/// The pause before the first of them; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// A read that is about to be tried again.
#[derive(Debug)]
pub struct Retry<'a> {
    /// Byte of the file at which it failed.
    pub offset: u64,
    /// 1 for the first, up to [`MAX_RETRIES`].
    pub attempt: u32,
    /// The system's reason.
    pub error: &'a std::io::Error,
}

/// Told of every read that is tried again.
pub type OnRetry = fn(&Retry<'_>);

/// What has been read so far, and what it has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadFigures {
    /// Bytes read.
    pub bytes: u64,
    /// Time during which any read was under way.
    pub busy: Duration,
    /// Time during which a multiplication waited for its weights.
    pub stalled: Duration,
    /// Reads tried again.
    pub retries: u64,
}

impl Sub for ReadFigures {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            bytes: self.bytes - before.bytes,
            busy: self.busy - before.busy,
            stalled: self.stalled - before.stalled,
            retries: self.retries - before.retries,
        }
    }
}

/// An open file, read at positions.
#[derive(Debug)]
pub(crate) struct Storage {
    file: File,
    /// The same file, opened to be read around the page cache.
    direct: Option<File>,
    throttle: Option<Throttle>,
    on_retry: Option<OnRetry>,
    bytes: AtomicU64,
    retries: AtomicU64,
    stalled_ns: AtomicU64,
    busy: Mutex<Busy>,
}

#[derive(Debug, Default)]
struct Busy {
    reads: usize,
    since: Option<Instant>,
    total: Duration,
}

impl Storage {
    pub(crate) fn new(
        file: File,
        direct: Option<File>,
        speed: Option<f64>,
        on_retry: Option<OnRetry>,
    ) -> Self {
        Self {
            file,
            direct,
            throttle: speed.map(Throttle::new),
            on_retry,
            bytes: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            stalled_ns: AtomicU64::new(0),
            busy: Mutex::default(),
        }
    }

    /// What the system says of the file now.
    pub(crate) fn metadata(&self) -> std::io::Result<Metadata> {
        self.file.metadata()
    }

    pub(crate) const fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    pub(crate) fn figures(&self) -> ReadFigures {
        let busy = lock(&self.busy);
        ReadFigures {
            bytes: self.bytes.load(Ordering::Relaxed),
            busy: busy.total + busy.since.map_or(Duration::ZERO, |since| since.elapsed()),
            stalled: Duration::from_nanos(self.stalled_ns.load(Ordering::Relaxed)),
            retries: self.retries.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn count_stall(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.stalled_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Fills `buf` with the bytes at `at`.
    pub(crate) fn read(&self, at: u64, buf: &mut [u8]) -> Result<(), IoError> {
        let need = buf.len();
        self.fill(&self.file, at, buf, need, 1).map(|_| ())
    }

    /// Reads the `len` bytes at `at` into some place in `buf`, which starts at a page and has one page more than
    /// `len` rounded up to whole pages; where they are.
    pub(crate) fn read_into(&self, at: u64, len: usize, buf: &mut [u8]) -> Result<Range<usize>, IoError> {
        let Some(direct) = &self.direct else {
            self.fill(&self.file, at, &mut buf[..len], len, 1)?;
            return Ok(0..len);
        };
        let skip = (at % PAGE as u64) as usize;
        let whole = (skip + len).next_multiple_of(PAGE);
        self.fill(direct, at - skip as u64, &mut buf[..whole], skip + len, PAGE)?;
        Ok(skip..skip + len)
    }

    /// Asks the system to have these bytes in its page cache soon.
    pub(crate) fn advise(&self, at: u64, len: u64) {
        #[cfg(target_os = "linux")]
        if let (Ok(at), Ok(len)) = (i64::try_from(at), i64::try_from(len)) {
            use std::os::fd::AsRawFd as _;
            // SAFETY: the call takes numbers only, and the descriptor is open as long as `self.file` is. It is advice:
            // a refusal changes nothing.
            let _ = unsafe { libc::posix_fadvise(self.file.as_raw_fd(), at, len, libc::POSIX_FADV_WILLNEED) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (at, len);
    }

    /// Reads at least `need` bytes at `at` into `buf`, every time from a multiple of `unit` on.
    fn fill(&self, file: &File, at: u64, buf: &mut [u8], need: usize, unit: usize) -> Result<usize, IoError> {
        let _busy = self.busy();
        let done = fill(
            |buf, at| file.read_at(buf, at),
            at,
            buf,
            need,
            unit,
            |retry| {
                self.retries.fetch_add(1, Ordering::Relaxed);
                if let Some(tell) = self.on_retry {
                    tell(retry);
                }
            },
        )?;
        self.bytes.fetch_add(done as u64, Ordering::Relaxed);
        if let Some(throttle) = &self.throttle {
            throttle.wait(done);
        }
        Ok(done)
    }

    fn busy(&self) -> impl Drop {
        struct Guard<'a>(&'a Storage);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                let mut busy = lock(&self.0.busy);
                busy.reads -= 1;
                if busy.reads == 0
                    && let Some(since) = busy.since.take()
                {
                    busy.total += since.elapsed();
                }
            }
        }
        let mut busy = lock(&self.busy);
        if busy.reads == 0 {
            busy.since = Some(Instant::now());
        }
        busy.reads += 1;
        Guard(self)
    }
}

/// A poisoned lock guards numbers only, which are whole whoever panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// The read loop: joins short reads, goes on after interruptions, and tries again what may have passed.
fn fill(
    mut read: impl FnMut(&mut [u8], u64) -> std::io::Result<usize>,
    at: u64,
    buf: &mut [u8],
    need: usize,
    unit: usize,
    mut on_retry: impl FnMut(&Retry<'_>),
) -> Result<usize, IoError> {
    let (mut done, mut attempt) = (0, 0);
    while done < need {
        let from = done - done % unit;
        let (offset, len) = (at.saturating_add(from as u64), need - from);
        match read(&mut buf[from..], offset) {
            Ok(n) if from + n <= done => {
                let (offset, need) = (at.saturating_add(done as u64), need as u64);
                return Err(IoError::Truncated { offset, need, have: done as u64 });
            }
            Ok(n) => (done, attempt) = (from + n, 0),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(error) if may_pass(&error) && attempt < MAX_RETRIES => {
                std::thread::sleep(FIRST_PAUSE * (1 << attempt));
                attempt += 1;
                on_retry(&Retry { offset, attempt, error: &error });
            }
            Err(e) => return Err(IoError::Io { op: IoOp::Read, kind: e.kind().into(), offset, len }),
        }
    }
    Ok(done)
}

/// What a card with a loose contact, a busy bus or a network file system answers at times.
fn may_pass(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EAGAIN | libc::ETIMEDOUT))
}

/// Lets so many bytes a second pass, whoever asks.
#[derive(Debug)]
struct Throttle {
    bytes_per_second: f64,
    /// When storage of that speed has read what has been asked for so far.
    done: Mutex<Option<Instant>>,
}

/// A sleep lasts longer than it was asked to. Reads that follow each other make up for so much of it.
const OVERSLEPT: Duration = Duration::from_millis(2);

impl Throttle {
    fn new(bytes_per_second: f64) -> Self {
        Self { bytes_per_second, done: Mutex::new(None) }
    }

    fn wait(&self, bytes: usize) {
        let until = {
            let mut done = lock(&self.done);
            let now = Instant::now();
            let begin = done.map_or(now, |done| done.max(now.checked_sub(OVERSLEPT).unwrap_or(now)));
            let until = begin + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
            *done = Some(until);
            until
        };
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads of the numbers 0, 1, 2 … that fail as `script` says, and are short.
    fn run(script: &[Result<usize, i32>], need: usize, unit: usize) -> (Result<Vec<u8>, IoError>, Vec<u32>) {
        let (mut script, mut attempts) = (script.iter(), Vec::new());
        let mut buf = vec![0; need.next_multiple_of(unit)];
        let read = |buf: &mut [u8], at: u64| match script.next() {
            Some(Err(code)) => Err(std::io::Error::from_raw_os_error(*code)),
            given => {
                assert!(at.is_multiple_of(unit as u64));
                let n = given.map_or(buf.len(), |most| buf.len().min(*most.as_ref().unwrap()));
                buf[..n].iter_mut().zip(at..).for_each(|(to, i)| *to = i as u8);
                Ok(n)
            }
        };
        let result = fill(read, 8, &mut buf, need, unit, |retry| attempts.push(retry.attempt));
        (result.map(|done| buf[..done.min(need)].to_vec()), attempts)
    }

    fn numbers(n: u8) -> Vec<u8> {
        (8..8 + n).collect()
    }

    #[test]
    fn what_may_pass_is_tried_again_a_bounded_number_of_times() {
        assert_eq!(run(&[Ok(3), Ok(1)], 10, 1), (Ok(numbers(10)), vec![]));
        let eintr = Err(libc::EINTR);
        assert_eq!(run(&[eintr, Ok(3), eintr, eintr], 10, 1), (Ok(numbers(10)), vec![]));
        let eio = Err(libc::EIO);
        assert_eq!(run(&[Ok(4), eio, eio, Ok(1), eio], 10, 1), (Ok(numbers(10)), vec![1, 2, 1]));
        let (result, attempts) = run(&[Ok(4), eio, eio, eio, eio, eio], 10, 1);
        assert!(matches!(result, Err(IoError::Io { op: IoOp::Read, offset: 12, len: 6, .. })), "{result:?}");
        assert_eq!(attempts, [1, 2, 3, 4]);
        let (result, attempts) = run(&[Err(libc::EBADF)], 10, 1);
        assert!(matches!(result, Err(IoError::Io { offset: 8, len: 10, .. })) && attempts.is_empty());
    }

    #[test]
    fn the_end_is_the_first_missing_byte() {
        let (result, _) = run(&[Ok(4), Ok(0)], 10, 1);
        assert_eq!(result, Err(IoError::Truncated { offset: 12, need: 10, have: 4 }));
    }

    #[test]
    fn direct_reads_begin_at_whole_units() {
        // A short read inside a unit is followed by one from the unit's beginning.
        assert_eq!(run(&[Ok(5), Ok(7)], 14, 8), (Ok(numbers(14)), vec![]));
        let (result, _) = run(&[Ok(5), Ok(5)], 14, 8);
        assert_eq!(result, Err(IoError::Truncated { offset: 13, need: 14, have: 5 }));
    }
}
