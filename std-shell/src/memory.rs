//! Memory for a session's arena, and how much the process has used.

use barre_core::model::Plan;

/// Zeroed memory, aligned to a huge page where it is large enough to use them.
#[derive(Debug)]
pub struct Arena {
    map: memmap2::MmapMut,
    len: usize,
}

impl Arena {
    /// `len` bytes, aligned to [`Plan::ALIGN`].
    ///
    /// # Errors
    /// The system's reason for not giving them.
    pub fn new(len: usize) -> std::io::Result<Self> {
        // A mapping starts at a page, which is more than the arena asks for. Pages come into being when touched, so
        // a context that is never filled costs nothing.
        const { assert!(Plan::ALIGN <= SMALL_PAGE) };
        let map = memmap2::MmapMut::map_anon(len.max(1))?;
        // Streaming weights or a KV cache through 4 KiB pages costs a tenth of the bandwidth. A refusal costs nothing.
        #[cfg(target_os = "linux")]
        if len >= HUGE_PAGE {
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        Ok(Self { map, len })
    }

    /// As [`new`](Self::new), with all pages there at once: what is not to be had is missed now and not in the middle
    /// of a text, and what the process holds is known from here on.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn populated(len: usize) -> std::io::Result<Self> {
        let mut arena = Self::new(len)?;
        // A page comes into being when it is written to.
        arena.bytes_mut().iter_mut().step_by(SMALL_PAGE).for_each(|byte| *byte = 0);
        Ok(arena)
    }

    /// The bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map[..self.len]
    }
}

const SMALL_PAGE: usize = 4096;
#[cfg(target_os = "linux")]
const HUGE_PAGE: usize = 2 << 20;

/// The most memory that the process has held so far, in bytes, mapped file pages included; `None` where the system
/// does not tell.
#[must_use]
pub fn peak() -> Option<u64> {
    status_field("VmHWM:")
}

/// The memory that the process holds now, in bytes, mapped file pages included; `None` where the system does not tell.
#[must_use]
pub fn resident() -> Option<u64> {
    status_field("VmRSS:")
}

/// The part of the memory held now that is no file's: what the process itself costs, in bytes.
#[must_use]
pub fn anonymous() -> Option<u64> {
    status_field("RssAnon:")
}

fn status_field(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(field))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
