//! Dividing work among an executor's threads.

use super::Executor;
use crate::part::{holds, part_mut};
use core::marker::PhantomData;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Runs `task(chunk, scratch)` for every chunk in `0..chunks`, each exactly once.
///
/// Threads claim chunks one at a time, so a slow core holds nothing up, each from a part of its own while that lasts: what
/// a thread has asked of memory beyond a chunk's end is what it comes to next. `scratch` is divided into slots of
/// `slot_bytes`, one for each thread that takes part; there must be room for at least one slot.
///
/// # Panics
/// Only with debug assertions, else nothing is run: if `scratch` is shorter than `slot_bytes`.
pub(crate) fn for_each_chunk(
    executor: &dyn Executor,
    chunks: usize,
    scratch: &mut [u8],
    slot_bytes: usize,
    task: &(dyn Fn(usize, &mut [u8]) + Sync),
) {
    if !holds(scratch.len() >= slot_bytes, "scratch has no room for a slot") {
        return;
    }
    let room = scratch.len().checked_div(slot_bytes).unwrap_or(usize::MAX);
    if chunks <= 1 || room == 1 || executor.threads() <= 1 {
        for chunk in 0..chunks {
            task(chunk, part_mut(scratch, 0, slot_bytes));
        }
        return;
    }
    let claims = Claims::new(chunks, executor.threads());
    let slots =
        Slots { base: scratch.as_mut_ptr(), slot_bytes, room, next: AtomicUsize::new(0), owner: PhantomData };
    let worker = || {
        let Some((thread, slot)) = slots.claim() else { return };
        while let Some(chunk) = claims.claim(thread) {
            task(chunk, slot);
        }
    };
    executor.broadcast(&worker);
    // An executor that never called the task has done nothing yet; `room` slots may all be claimed, but no worker runs
    // any more.
    while let Some(chunk) = claims.claim(0) {
        task(chunk, part_mut(scratch, 0, slot_bytes));
    }
}

/// Chunks in parts, one for each thread to begin with.
struct Claims {
    chunks: usize,
    parts: NonZeroUsize,
    /// Chunks of each part that have been claimed, or more.
    claimed: [AtomicUsize; Self::MOST_PARTS],
}

impl Claims {
    /// More threads share parts.
    const MOST_PARTS: usize = 16;

    fn new(chunks: usize, threads: usize) -> Self {
        let parts = NonZeroUsize::new(threads.min(Self::MOST_PARTS)).unwrap_or(NonZeroUsize::MIN);
        Self { chunks, parts, claimed: [const { AtomicUsize::new(0) }; Self::MOST_PARTS] }
    }

    /// The next chunk of `thread`'s part, or of one after it.
    fn claim(&self, thread: usize) -> Option<usize> {
        (0..self.parts.get()).find_map(|after| {
            let part = (thread + after) % self.parts;
            let (start, end) = (self.chunks * part / self.parts, self.chunks * (part + 1) / self.parts);
            let chunk = start + self.claimed.get(part)?.fetch_add(1, Ordering::Relaxed);
            (chunk < end).then_some(chunk)
        })
    }
}

/// Runs `task(i, row)` for every whole row of `len` elements in `rows`, each exactly once.
pub(crate) fn for_each_row<T: Send>(
    executor: &dyn Executor,
    rows: &mut [T],
    len: usize,
    task: &(dyn Fn(usize, &mut [T]) + Sync),
) {
    let count = rows.len().checked_div(len).unwrap_or(0);
    let rows = Rows::new(rows, len);
    for_each_chunk(executor, count, &mut [], 0, &|i, _| {
        #[allow(unsafe_code, reason = "rows are claimed at run time, which the borrow checker cannot follow")]
        // SAFETY: `i < count` and each `i` comes once.
        let row = unsafe { rows.row(i) };
        task(i, row);
    });
}

/// The rows of a matrix, handed out each to one thread.
pub(crate) struct Rows<'a, T> {
    base: *mut T,
    len: usize,
    owner: PhantomData<&'a mut [T]>,
}

#[allow(unsafe_code, reason = "rows are claimed at run time, which the borrow checker cannot follow")]
// SAFETY: the only thing that can be done through a shared reference is `row`, whose contract forbids overlap.
unsafe impl<T: Send> Sync for Rows<'_, T> {}

impl<'a, T> Rows<'a, T> {
    /// Rows of `len` elements.
    pub(crate) fn new(rows: &'a mut [T], len: usize) -> Self {
        Self { base: rows.as_mut_ptr(), len, owner: PhantomData }
    }

    /// Row `i`.
    ///
    /// # Safety
    /// The matrix has a row `i`, and while the result lives nobody else asks for it.
    #[allow(unsafe_code, reason = "rows are claimed at run time, which the borrow checker cannot follow")]
    pub(crate) unsafe fn row(&self, i: usize) -> &'a mut [T] {
        // SAFETY: the caller says that row `i` lies in the matrix that `base` starts and is asked for once.
        unsafe { core::slice::from_raw_parts_mut(self.base.add(i * self.len), self.len) }
    }
}

/// A scratch buffer handed out in slots, each to one thread.
struct Slots<'a> {
    base: *mut u8,
    slot_bytes: usize,
    room: usize,
    next: AtomicUsize,
    owner: PhantomData<&'a mut [u8]>,
}

#[allow(unsafe_code, reason = "slots are claimed at run time, which the borrow checker cannot follow")]
// SAFETY: `claim` gives each slot to one caller only.
unsafe impl Sync for Slots<'_> {}

impl<'a> Slots<'a> {
    #[allow(unsafe_code, reason = "slots are claimed at run time, which the borrow checker cannot follow")]
    fn claim(&self) -> Option<(usize, &'a mut [u8])> {
        let slot = self.next.fetch_add(1, Ordering::Relaxed);
        if slot >= self.room {
            return None;
        }
        // SAFETY: `room` slots of `slot_bytes` fit the buffer that `base` starts, the counter gives each number
        // once, and the buffer is borrowed for 'a.
        let bytes = unsafe {
            core::slice::from_raw_parts_mut(self.base.add(slot * self.slot_bytes), self.slot_bytes)
        };
        Some((slot, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    struct Lazy;
    impl Executor for Lazy {
        fn threads(&self) -> usize {
            4
        }
        fn broadcast(&self, _: &(dyn Fn() + Sync)) {}
    }

    struct Spawn(usize);
    impl Executor for Spawn {
        fn threads(&self) -> usize {
            self.0
        }
        fn broadcast(&self, task: &(dyn Fn() + Sync)) {
            std::thread::scope(|s| {
                for _ in 0..3 * self.0 {
                    s.spawn(task);
                }
            });
        }
    }

    #[test]
    fn every_chunk_runs_once_whatever_the_executor_does() {
        // More threads than parts, fewer chunks than threads.
        let executors =
            [(&Lazy as &dyn Executor, 2), (&Spawn(4), 3), (&Spawn(20), 20), (&super::super::Serial, 1)];
        for ((executor, slots), chunks) in executors.into_iter().flat_map(|e| [(e, 100), (e, 17), (e, 2)]) {
            let counts: vec::Vec<AtomicUsize> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
            let mut scratch = vec![0; slots * 8];
            for_each_chunk(executor, chunks, &mut scratch, 8, &|c, slot| {
                assert_eq!(slot.len(), 8);
                slot.fill(c as u8);
                counts[c].fetch_add(1, Ordering::Relaxed);
                assert!(slot.iter().all(|&b| b == c as u8));
            });
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
        }
    }
}
