//! A model file: mapped, or read at positions.

use crate::ahead::ReadAhead;
use crate::huge::HugeCopy;
use crate::storage::Storage;
pub use crate::storage::{MAX_RETRIES, OnRetry, ReadFigures, Retry};
use barre_core::io::{AbsOffset, IoError, ReadAt};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
#[cfg(target_os = "linux")]
use std::thread;
use std::time::SystemTime;

/// How a file's bytes are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Mapped into memory: nothing is copied, and the system's page cache is the only copy.
    #[default]
    Map,
    /// Read at positions, as a board with less memory than the model has bytes must.
    Read,
    /// As [`Read`](Self::Read), but what is streamed is read around the system's page cache, which a model larger
    /// than the memory only flushes: no byte is copied on its way. Some file systems cannot do that.
    Direct,
}

/// How a file is to be opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct SourceOptions {
    /// How its bytes are reached.
    pub access: Access,
    /// Read no faster than so many bytes a second, as from slower storage. It does not slow a mapped file.
    pub read_speed: Option<f64>,
    /// Told of every read that is tried again.
    pub on_retry: Option<OnRetry>,
}

/// Why a file cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The path leads to something that is no regular file.
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// The file has no bytes.
    Empty(PathBuf),
    /// The system refuses.
    Io {
        /// The path.
        path: PathBuf,
        /// Its reason.
        error: std::io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFile { path, what } => write!(f, "{} is {what}, not a file", path.display()),
            Self::Empty(path) => write!(f, "{} is empty", path.display()),
            Self::Io { path, error } if error.kind() == ErrorKind::NotFound => {
                write!(f, "{} does not exist", path.display())
            }
            Self::Io { path, error } => write!(f, "cannot open {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}

/// An open model file.
///
/// A mapped file that another process cuts short raises SIGBUS when the missing part is touched, and nothing can
/// prevent that; [`Access::Read`] answers with an error instead. What is written into the file meanwhile is read as it
/// is then, either way; [`is_unchanged`](Self::is_unchanged) tells.
#[derive(Debug)]
pub struct Source {
    storage: Arc<Storage>,
    len: u64,
    modified: Option<SystemTime>,
    map: Option<Arc<memmap2::Mmap>>,
    huge: Option<HugeCopy>,
    /// Whether all pages are mapped without being asked for, once that is settled.
    populated: OnceLock<bool>,
}

impl Source {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path, access: Access) -> Result<Self, OpenError> {
        Self::open_with(path, &SourceOptions { access, ..SourceOptions::default() })
    }

    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with(path: &Path, options: &SourceOptions) -> Result<Self, OpenError> {
        let io = |error| OpenError::Io { path: path.to_owned(), error };
        // Asked before it is opened: opening a pipe would wait for its writer.
        regular(path, &std::fs::metadata(path).map_err(io)?)?;
        let file = File::open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        regular(path, &meta)?;
        let len = meta.len();
        if len == 0 {
            return Err(OpenError::Empty(path.to_owned()));
        }
        let map = match options.access {
            Access::Read | Access::Direct => None,
            Access::Map => {
                // SAFETY: the map is read-only, and only this value lends its bytes. That other processes may change the
                // file underneath is documented at the type; the core takes any bytes.
                Some(Arc::new(unsafe { memmap2::Mmap::map(&file) }.map_err(io)?))
            }
        };
        let direct = match options.access {
            Access::Direct => Some(open_direct(path).map_err(io)?),
            Access::Map | Access::Read => None,
        };
        let storage = Storage::new(file, direct, options.read_speed, options.on_retry);
        Ok(Self {
            storage: Arc::new(storage),
            len,
            modified: meta.modified().ok(),
            map,
            huge: None,
            populated: OnceLock::new(),
        })
    }

    /// Has the tensors of a mapped file copied to huge pages as they are used, a few a token, if the file is large
    /// enough to gain from it and the memory holds it twice with room to spare, until that turns out to cost too much.
    #[must_use]
    pub fn with_huge_pages(mut self) -> Self {
        if self.map.is_some() {
            self.huge = HugeCopy::new(self.len, available_memory());
        }
        self
    }

    /// Has a thread map all pages of a mapped file, from the first on, if the free memory holds them: soon everything will
    /// be used. The first call does it.
    pub fn populate(&self) {
        self.populated.get_or_init(|| {
            // A file larger than the free memory would push its own beginning out again.
            available_memory().is_none_or(|free| self.len < free) && self.map.as_ref().is_some_and(populate)
        });
    }

    /// Bytes that are in huge pages by now.
    #[must_use]
    pub fn huge_bytes(&self) -> u64 {
        self.huge.as_ref().map_or(0, HugeCopy::bytes)
    }

    /// Bytes of the file when it was opened.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file still has the length and the time of last writing that it had when it was opened. One call of
    /// the system's, cheap beside a token.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.storage.metadata().is_ok_and(|now| now.len() == self.len && now.modified().ok() == self.modified)
    }

    /// Never: an empty file is not opened.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The `len` bytes at `at` in place; `None` if the file is not mapped or ends before.
    #[must_use]
    pub fn bytes(&self, at: AbsOffset, len: usize) -> Option<&[u8]> {
        let map: &[u8] = self.map.as_ref()?;
        let start = usize::try_from(at.get()).ok()?;
        map.get(start..start.checked_add(len)?)
    }

    /// How the file's bytes are reached.
    #[must_use]
    pub fn access(&self) -> Access {
        match &self.map {
            Some(_) => Access::Map,
            None if self.storage.is_direct() => Access::Direct,
            None => Access::Read,
        }
    }

    /// What has been read so far through the file, by all its readers, and what it has cost. Of a mapped file only
    /// the system knows.
    #[must_use]
    pub fn figures(&self) -> ReadFigures {
        self.storage.figures()
    }
}

impl ReadAt for &Source {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        if let Some(map) = &self.map {
            return (&map[..]).read_at(at, buf);
        }
        self.storage.read(at.get(), buf)
    }

    fn view(&self, at: AbsOffset, len: usize) -> Option<&[u8]> {
        match (&self.huge, &self.map) {
            (Some(huge), Some(map)) => huge.view(map, usize::try_from(at.get()).ok()?, len),
            _ => self.bytes(at, len),
        }
    }

    fn prefetch(&mut self, at: AbsOffset, len: u64) {
        match &self.map {
            // What is mapped anyway needs no call.
            Some(_) if self.populated.get() == Some(&true) => {}
            Some(map) => {
                #[cfg(target_os = "linux")]
                if let (Ok(at), Ok(len)) = (usize::try_from(at.get()), usize::try_from(len))
                    && at.checked_add(len).is_some_and(|end| end <= map.len())
                {
                    let _ = map.advise_range(memmap2::Advice::WillNeed, at, len);
                }
                #[cfg(not(target_os = "linux"))]
                let _ = map;
            }
            None => self.storage.advise(at.get(), len),
        }
    }

    fn len(&mut self) -> Result<u64, IoError> {
        Ok(self.len)
    }
}

/// Bytes that are mapped by one call.
#[cfg(target_os = "linux")]
const POPULATED_AT_ONCE: usize = 1 << 20;

/// Has a thread map every page as long as somebody has the map; whether it does.
///
/// For 600 MB that takes 6 ms if the page cache holds the file in large pieces, and 80 ms if page by page: too long to wait
/// for where threads that compute map what they meet first, sixteen pages at a time.
#[cfg(target_os = "linux")]
fn populate(map: &Arc<memmap2::Mmap>) -> bool {
    let piece = |map: &memmap2::Mmap, at: usize| {
        map.advise_range(memmap2::Advice::PopulateRead, at, POPULATED_AT_ONCE.min(map.len() - at))
    };
    // Linux before 5.14 cannot.
    if piece(map, 0).is_err() {
        return false;
    }
    let (len, map) = (map.len(), Arc::downgrade(map));
    let rest = move || {
        for at in (POPULATED_AT_ONCE..len).step_by(POPULATED_AT_ONCE) {
            let Some(map) = map.upgrade() else { return };
            // What cannot be mapped ahead says so where it is used.
            let _ = piece(&map, at);
        }
    };
    thread::Builder::new().name("barre-populate".to_owned()).spawn(rest).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn populate(_: &Arc<memmap2::Mmap>) -> bool {
    false
}

/// A session's own access to the file: with threads that read ahead, where the session's plan has weights lent.
#[derive(Debug)]
pub struct Reader<'a> {
    source: &'a Source,
    ahead: Option<ReadAhead>,
}

impl<'a> Reader<'a> {
    /// A reader that leaves reading ahead to the system.
    #[must_use]
    pub const fn new(source: &'a Source) -> Self {
        Self { source, ahead: None }
    }

    /// A reader that lends chunks from `slots` buffers of `slot_bytes`, as [`Plan`](barre_core::model::Plan) has them.
    ///
    /// # Errors
    /// The system's reason for not giving the memory.
    pub fn lending(source: &'a Source, slots: usize, slot_bytes: usize) -> std::io::Result<Self> {
        let ahead = ReadAhead::new(Arc::clone(&source.storage), slots, slot_bytes)?;
        Ok(Self { source, ahead: Some(ahead) })
    }
}

impl ReadAt for Reader<'_> {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        self.source.read_at(at, buf)
    }

    fn view(&self, at: AbsOffset, len: usize) -> Option<&[u8]> {
        ReadAt::view(&self.source, at, len)
    }

    fn prefetch(&mut self, at: AbsOffset, len: u64) {
        match (&mut self.ahead, usize::try_from(len)) {
            (Some(ahead), Ok(len)) => ahead.announce(at.get(), len),
            _ => self.source.prefetch(at, len),
        }
    }

    fn lend(&mut self, at: AbsOffset, len: usize) -> Result<Option<&[u8]>, IoError> {
        match &mut self.ahead {
            Some(ahead) => ahead.lend(at.get(), len),
            None => Ok(ReadAt::view(&self.source, at, len)),
        }
    }

    fn len(&mut self) -> Result<u64, IoError> {
        Ok(self.source.len)
    }
}

/// The file at `path`, to be read around the page cache.
fn open_direct(path: &Path) -> std::io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        File::options().read(true).custom_flags(libc::O_DIRECT).open(path)
    }
    #[cfg(not(target_os = "linux"))]
    Err(std::io::Error::new(ErrorKind::Unsupported, format!("{}: no direct reads here", path.display())))
}

fn regular(path: &Path, meta: &Metadata) -> Result<(), OpenError> {
    if meta.is_file() {
        return Ok(());
    }
    let what = if meta.is_dir() { "a directory" } else { "a device or pipe" };
    Err(OpenError::NotAFile { path: path.to_owned(), what })
}

/// Bytes of memory that can be had without swapping, as Linux estimates them.
fn available_memory() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("barre-source-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn both_ways_give_the_same_bytes_and_the_same_errors() {
        let bytes: Vec<u8> = (0..10_000u32).map(|i| (i * 7) as u8).collect();
        let path = file("bytes", &bytes);
        for access in [Access::Map, Access::Read, Access::Direct] {
            let source = Source::open(&path, access).unwrap();
            let mut reader = &source;
            assert_eq!(ReadAt::len(&mut reader), Ok(10_000));
            let mut buf = [0; 100];
            reader.read_at(AbsOffset::new(9_900), &mut buf).unwrap();
            assert_eq!(buf, bytes[9_900..]);
            assert_eq!(
                reader.read_at(AbsOffset::new(9_950), &mut buf),
                Err(IoError::Truncated { offset: 10_000, need: 100, have: 50 })
            );
            assert!(reader.read_at(AbsOffset::new(u64::MAX), &mut buf).is_err());
            let view = source.bytes(AbsOffset::new(5), 20);
            assert_eq!(view, (access == Access::Map).then_some(&bytes[5..25]));
            assert_eq!(source.bytes(AbsOffset::new(9_990), 11), None);
            assert_eq!(source.bytes(AbsOffset::new(u64::MAX), 2), None);
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_no_file_is_named() {
        let empty = file("empty", b"");
        let text = |path: &Path| Source::open(path, Access::Map).unwrap_err().to_string();
        assert!(text(&empty).ends_with("is empty"));
        assert!(text(&std::env::temp_dir()).ends_with("is a directory, not a file"));
        assert!(text(Path::new("/dev/null")).ends_with("is a device or pipe, not a file"));
        assert!(text(&empty.join("below")).contains("cannot open"));
        std::fs::remove_file(&empty).unwrap();
        assert!(text(&empty).ends_with("does not exist"));
    }
}
