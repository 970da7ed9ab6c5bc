//! Weights moved to huge pages.
//!
//! A mapped file lives in 4 KiB pages, and decoding, which reads every weight once a token, then waits for address
//! translations: on a virtual machine 20 GB/s became 14. A copy in huge pages costs about the time of three tokens,
//! so it isn't made at once but in passing: each tensor is copied when it comes by, a few of them a token.
//!
//! Where the host of a virtual machine finds the memory for each new page at that moment, the copy costs the time of a
//! hundred tokens, which few sessions would get back. So it is timed, and ends where it becomes too dear.

use crate::bandwidth::look_at;
use memmap2::{Advice, MmapMut, MmapOptions, UncheckedAdvice};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Files below this have too little to gain.
const LEAST: u64 = 32 << 20;

/// The use at which copying begins. The first is a look when a session is made, the second the prompt, whose first token
/// shall not wait.
const FIRST: u32 = 3;

/// Tokens over which the copying is spread from there on.
const SPREAD: u32 = 16;

/// Bytes that are timed at a time: as many as a huge page has.
const PIECE: usize = 2 << 20;

/// Copies of parts of a mapping, each at its own offset in anonymous memory; what is not copied takes no memory.
#[derive(Debug)]
pub(crate) struct HugeCopy {
    memory: MmapMut,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Tensors that have been asked for, by their starts.
    parts: BTreeMap<usize, Part>,
    cost: Cost,
}

/// A tensor that has been asked for.
#[derive(Debug)]
struct Part {
    len: usize,
    /// How often it has been asked for.
    uses: u32,
    /// The use at which it is copied.
    due: u32,
    copied: bool,
}

/// What copying has cost, beside reading.
#[derive(Debug, Default)]
struct Cost {
    /// Pieces that have been read to see how long that takes.
    reads: u32,
    /// The shortest time that took.
    read: Duration,
    bytes: usize,
    copying: Duration,
    too_dear: bool,
}

impl Cost {
    /// Pieces that are read: the best of a few, as others may have the core at times.
    const READS: u32 = 3;
    /// How many times as long as reading copying may take. By its traffic a copy, which clears, reads and writes, costs
    /// some six readings; huge pages save a sixth of one or more where they save much, which pays sixteen back within a
    /// hundred tokens.
    const WORTH: f64 = 16.0;
    /// What it may take besides, for others who have the core.
    const SLACK: Duration = Duration::from_millis(20);

    fn add_read(&mut self, time: Duration) {
        self.read = if self.reads == 0 { time } else { self.read.min(time) };
        self.reads += 1;
    }

    fn add_copy(&mut self, bytes: usize, time: Duration) {
        self.bytes += bytes;
        self.copying += time;
        let reading = self.read.as_secs_f64() * self.bytes as f64 / PIECE as f64;
        let most = Self::SLACK.as_secs_f64() + Self::WORTH * reading;
        self.too_dear |= self.reads > 0 && self.copying.as_secs_f64() > most;
    }
}

impl HugeCopy {
    /// Room for copies of a file of `len` bytes; `None` where they'd gain nothing, the system has no huge pages to give,
    /// or `available` bytes of memory don't hold the file a second time with as much again to spare.
    pub(crate) fn new(len: u64, available: Option<u64>) -> Option<Self> {
        if len < LEAST || available.is_none_or(|available| available / 2 < len) {
            return None;
        }
        let memory = MmapOptions::new().len(usize::try_from(len).ok()?).no_reserve_swap().map_anon().ok()?;
        memory.advise(Advice::HugePage).ok()?;
        Some(Self { memory, state: Mutex::default() })
    }

    /// `len` bytes from `start` of the mapping `file`, or of their copy.
    pub(crate) fn view<'a>(&'a self, file: &'a memmap2::Mmap, start: usize, len: usize) -> Option<&'a [u8]> {
        let original = file.get(start..start.checked_add(len)?)?;
        // A poisoned lock only means that another thread has panicked: the state is whole after every statement.
        let State { parts, cost } = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let order = parts.len() as u32;
        let part =
            parts.entry(start).or_insert(Part { len, uses: 0, due: FIRST + order % SPREAD, copied: false });
        part.uses = part.uses.saturating_add(1);
        let (whole, copied, due) = (part.len == len, part.copied, part.uses >= part.due);
        if copied && whole {
            return self.memory.get(start..start + len);
        }
        if copied || !whole || !due || cost.too_dear || !self.fits(parts, start, len) {
            return Some(original);
        }
        for (i, piece) in original.chunks(PIECE).enumerate() {
            if piece.len() == PIECE && cost.reads < Cost::READS {
                let began = Instant::now();
                black_box(look_at(piece));
                cost.add_read(began.elapsed());
            }
            let began = Instant::now();
            // SAFETY: the piece lies within the memory, which is as long as the file. Nobody has a reference to it: only
            // ranges that are marked as copied are handed out, this one isn't yet, and `fits` has made sure that none of
            // those overlaps it. The lock is held until it is marked.
            unsafe {
                let copy = self.memory.as_ptr().add(start + i * PIECE).cast_mut();
                std::ptr::copy_nonoverlapping(piece.as_ptr(), copy, piece.len());
            }
            cost.add_copy(piece.len(), began.elapsed());
            if cost.too_dear {
                self.give_back(start, len);
                return Some(original);
            }
        }
        if let Some(part) = parts.get_mut(&start) {
            part.copied = true;
        }
        // SAFETY: the mapping is of a file and never written to, so pages that are let go come back as they were when
        // somebody reads them.
        let _ = unsafe { file.unchecked_advise_range(UncheckedAdvice::DontNeed, start, len) };
        self.memory.get(start..start + len)
    }

    /// Gives back the pages of a part that isn't handed out: what is copied of it serves nobody.
    fn give_back(&self, start: usize, len: usize) {
        /// Whole pages, whatever their size. Those at the ends of the part hold its neighbours' bytes as well.
        const PAGES: usize = 64 << 10;
        let (first, end) = (start.next_multiple_of(PAGES), (start + len) / PAGES * PAGES);
        if first < end {
            // SAFETY: the memory begins at a page, so the range consists of pages, all of them within the part, to which
            // nobody has a reference.
            let _ =
                unsafe { self.memory.unchecked_advise_range(UncheckedAdvice::DontNeed, first, end - first) };
        }
    }

    /// Bytes copied so far.
    pub(crate) fn bytes(&self) -> u64 {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.parts.values().filter(|part| part.copied).map(|part| part.len as u64).sum()
    }

    /// Whether no copied part overlaps this one, as the tensors of a hostile file may.
    fn fits(&self, parts: &BTreeMap<usize, Part>, start: usize, len: usize) -> bool {
        parts.iter().all(|(&at, part)| !part.copied || at + part.len <= start || start + len <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// A mapping of `len` bytes that differ from place to place.
    fn mapping(len: usize) -> memmap2::Mmap {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        // SAFETY: nobody else has the file.
        unsafe { memmap2::Mmap::map(&file) }.unwrap()
    }

    #[test]
    fn each_part_is_copied_once_after_some_uses_and_reads_the_same() {
        let file = mapping(LEAST as usize);
        let huge = HugeCopy::new(LEAST, Some(u64::MAX)).unwrap();
        let parts = [(0, 5000), (5000, 4 << 20), (9 << 20, 1 << 20)];
        for round in 1..20_usize {
            let mut moved = 0;
            for (i, &(start, len)) in parts.iter().enumerate() {
                let view = huge.view(&file, start, len).unwrap();
                assert!(view == &file[start..start + len], "part {i} in round {round}");
                moved += usize::from(view.as_ptr() != file[start..].as_ptr());
            }
            let due = (round + 1).saturating_sub(FIRST as usize);
            assert_eq!(moved, parts.len().min(due), "one more a round, from the third on");
        }
        assert_eq!(huge.bytes(), parts.iter().map(|&(_, len)| len as u64).sum::<u64>());
    }

    #[test]
    fn copying_ends_where_it_costs_too_much() {
        let ms = Duration::from_millis;
        let mut cost = Cost::default();
        cost.add_copy(1, ms(500));
        assert!(!cost.too_dear, "beside what?");
        let mut cost = Cost::default();
        for time in [30, 1, 2] {
            cost.add_read(ms(time));
        }
        for time in [16, 16, 16 + 20] {
            cost.add_copy(PIECE, ms(time));
            assert!(!cost.too_dear);
        }
        cost.add_copy(PIECE / 2, ms(9));
        assert!(cost.too_dear);
        cost.add_copy(100 * PIECE, ms(1));
        assert!(cost.too_dear, "once and for all");

        let file = mapping(LEAST as usize);
        let huge = HugeCopy::new(LEAST, Some(u64::MAX)).unwrap();
        for _ in 0..FIRST {
            huge.view(&file, 0, 5000).unwrap();
        }
        assert_eq!(huge.bytes(), 5000);
        huge.state.lock().unwrap().cost = cost;
        for _ in 0..40 {
            assert!(huge.view(&file, 8192, PIECE).unwrap() == &file[8192..][..PIECE]);
            assert!(huge.view(&file, 0, 5000).unwrap() == &file[..5000]);
        }
        assert_eq!(huge.bytes(), 5000, "what is copied stays, and nothing comes to it");
    }

    #[test]
    fn what_is_given_back_takes_nothing_from_its_neighbours() {
        let file = mapping(LEAST as usize);
        let huge = HugeCopy::new(LEAST, Some(u64::MAX)).unwrap();
        let (before, part, after) = ((0, 5000), (5000, PIECE + 3000), (PIECE + 8000, 70_000));
        for (start, len) in [before, after] {
            for _ in 0..FIRST + SPREAD {
                huge.view(&file, start, len).unwrap();
            }
        }
        assert_eq!(huge.bytes(), 75_000);
        // Whatever copying takes from here on, it is too much.
        huge.state.lock().unwrap().cost =
            Cost { reads: Cost::READS, copying: Cost::SLACK, ..Cost::default() };
        for _ in 0..FIRST + SPREAD {
            for (start, len) in [before, part, after] {
                assert!(huge.view(&file, start, len).unwrap() == &file[start..start + len]);
            }
        }
        assert!(huge.state.lock().unwrap().cost.too_dear);
        assert_eq!(huge.bytes(), 75_000);
        assert!(huge.memory[5000..65_536] == file[5000..65_536], "the page of the part before stays");
        assert!(huge.memory[1 << 20..][..4096] == [0; 4096], "the part's own are given back");
    }

    #[test]
    fn a_long_part_is_copied_piece_by_piece() {
        let file = mapping(LEAST as usize);
        let huge = HugeCopy::new(LEAST, Some(u64::MAX)).unwrap();
        let (start, len) = (4096, 2 * PIECE + 4097);
        for _ in 0..=FIRST {
            assert!(huge.view(&file, start, len).unwrap() == &file[start..start + len]);
        }
        assert!([0, len as u64].contains(&huge.bytes()), "whole or not at all");
    }

    #[test]
    fn overlapping_parts_and_other_lengths_are_not_copied() {
        let file = mapping(LEAST as usize);
        let huge = HugeCopy::new(LEAST, Some(u64::MAX)).unwrap();
        for _ in 0..40 {
            for (start, len) in [(4096, 4096), (6000, 4096), (4096, 100)] {
                assert!(huge.view(&file, start, len).unwrap() == &file[start..start + len]);
            }
        }
        assert_eq!(huge.bytes(), 4096);
        assert!(huge.view(&file, LEAST as usize - 5, 6).is_none());
        assert!(huge.view(&file, usize::MAX, 2).is_none());
    }

    #[test]
    fn little_files_and_little_memory_stay_where_they_are() {
        assert!(HugeCopy::new(LEAST - 1, Some(u64::MAX)).is_none());
        assert!(HugeCopy::new(LEAST, Some(2 * LEAST - 1)).is_none());
        assert!(HugeCopy::new(LEAST, None).is_none());
    }
}
