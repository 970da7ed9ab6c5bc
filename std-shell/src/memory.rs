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

    /// Keeps `len` bytes from `at` on in small pages: where a little is used here and there, huge ones would take all.
    pub(crate) fn small_pages(&self, at: usize, len: usize) {
        #[cfg(target_os = "linux")]
        {
            let _ = self.map.advise_range(memmap2::Advice::NoHugePage, at, len);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (at, len);
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Bytes held of the mapping that begins at `start`.
    fn held(start: usize) -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mapping = maps.split_once(&format!("\n{start:x}-")).expect("a mapping of its own").1;
        let field = mapping.lines().find_map(|l| l.strip_prefix("Rss:")).unwrap();
        field.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
    }

    #[test]
    fn what_is_kept_in_small_pages_takes_what_is_used() {
        const MIB: usize = 1 << 20;
        let mut arena = Arena::new(64 * MIB).unwrap();
        arena.small_pages(8 * MIB, 48 * MIB);
        let bytes = arena.bytes_mut();
        bytes[8 * MIB..56 * MIB].iter_mut().step_by(MIB).for_each(|byte| *byte = 1);
        // Of no system are pages larger than 64 KiB.
        let held = held(bytes.as_ptr() as usize + 8 * MIB);
        assert!((48 * SMALL_PAGE..=48 * (64 << 10)).contains(&held), "{held} bytes");
    }
}
