//! An allocator inside the caller's block.
//!
//! The core takes small memory through the global allocator while it opens a model and encodes a text. In this library
//! that allocator has no memory of its own: it serves from the [`Heap`] of the engine whose call is under way, which a
//! [`Section`] names. There is one section at a time in the process; a second call that wants one is refused rather
//! than made to wait, for it may come from an interrupt that would wait for ever. Outside a section nothing can be
//! had, and nothing asks: after [`barre_init`](crate::barre_init) only the encoding of a prompt takes memory.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

/// Every allocation is a multiple of this, so that what is freed can hold a [`Hole`].
const UNIT: usize = if size_of::<Hole>() > 16 { size_of::<Hole>() } else { 16 };

/// A free part, written into itself. Holes are linked by ascending address and never touch.
#[repr(C)]
struct Hole {
    bytes: usize,
    next: *mut Hole,
}

/// First fit over holes. A model's tables are some hundred allocations, most of which stay.
#[derive(Debug)]
pub(crate) struct Heap {
    holes: *mut Hole,
    /// First byte, and first byte after the last.
    base: usize,
    end: usize,
    /// The end of the allocation that came furthest.
    peak: usize,
}

impl Heap {
    /// A heap in the `bytes` bytes at `block`; `None` if that is too little for anything.
    ///
    /// # Safety
    /// The bytes are writable and nobody else's as long as the heap or an allocation of it is used.
    pub(crate) unsafe fn new(block: *mut u8, bytes: usize) -> Option<Self> {
        let start = block.addr().wrapping_neg() & UNIT.wrapping_sub(1);
        let bytes = bytes.checked_sub(start)? / UNIT * UNIT;
        if bytes == 0 {
            return None;
        }
        // SAFETY: `start` is within the block, as the subtraction has shown.
        let holes = unsafe { block.add(start) }.cast::<Hole>();
        // SAFETY: aligned to `UNIT`, at least one of which is there, and the caller's word that it is ours.
        unsafe { holes.write(Hole { bytes, next: null_mut() }) };
        let base = holes.addr();
        Some(Self { holes, base, end: base.saturating_add(bytes), peak: base })
    }

    /// Bytes from `block`, where the heap began, to the end of the allocation that came furthest.
    pub(crate) fn peak_from(&self, block: *const u8) -> usize {
        self.peak.saturating_sub(block.addr())
    }

    /// Bytes from `block`, where the heap began, to the end of an allocation of `bytes` aligned to `align`, wherever the
    /// block begins and however much follows it: 0 if a hole between allocations has room for it.
    pub(crate) fn end_of_next_from(&self, block: *const u8, bytes: usize, align: usize) -> usize {
        let most = bytes.saturating_add(align).saturating_add(UNIT);
        let (mut hole, mut from) = (self.holes, self.end);
        while !hole.is_null() {
            // SAFETY: a hole in the list is an initialised part of the block.
            let (have, next) = unsafe { ((*hole).bytes, (*hole).next) };
            if hole.addr().saturating_add(have) == self.end {
                from = hole.addr();
            } else if have >= most {
                return 0;
            }
            hole = next;
        }
        from.saturating_sub(block.addr()).saturating_add(most)
    }

    /// Memory of `layout`, or null.
    fn allocate(&mut self, layout: Layout) -> *mut u8 {
        let Some(bytes) = layout.size().max(1).checked_next_multiple_of(UNIT) else { return null_mut() };
        let align = layout.align().max(UNIT);
        let mut link: *mut *mut Hole = &raw mut self.holes;
        loop {
            // SAFETY: `link` is the list's head or the link of a hole in it, both valid and ours.
            let hole = unsafe { *link };
            if hole.is_null() {
                return null_mut();
            }
            // SAFETY: a hole in the list is an initialised part of the block.
            let (have, next) = unsafe { ((*hole).bytes, (*hole).next) };
            // A gap before an aligned place is a multiple of `UNIT`, for both ends are.
            // (`align_offset` would bring its panic.)
            let gap = hole.addr().wrapping_neg() & align.wrapping_sub(1);
            if let Some(rest) = have.checked_sub(gap).and_then(|n| n.checked_sub(bytes)) {
                let place = hole.cast::<u8>().wrapping_add(gap);
                let mut after = next;
                if rest > 0 {
                    after = place.wrapping_add(bytes).cast();
                    // SAFETY: `rest` bytes, a multiple of `UNIT`, follow the allocation inside the old hole.
                    unsafe { after.write(Hole { bytes: rest, next }) };
                }
                // SAFETY: `link` as above; a gap, if there is one, stays the hole that it is, shortened.
                unsafe {
                    if gap > 0 {
                        hole.write(Hole { bytes: gap, next: after });
                    } else {
                        *link = after;
                    }
                }
                self.peak = self.peak.max(place.addr().saturating_add(bytes));
                return place;
            }
            // SAFETY: `hole` is valid as above.
            link = unsafe { &raw mut (*hole).next };
        }
    }

    /// Takes back what [`allocate`](Self::allocate) has given for `layout`.
    fn free(&mut self, place: *mut u8, layout: Layout) {
        let at = place.addr();
        let Some(bytes) = layout.size().max(1).checked_next_multiple_of(UNIT) else { return };
        if at < self.base || at.saturating_add(bytes) > self.end {
            return;
        }
        let mut before: *mut Hole = null_mut();
        let mut after = self.holes;
        while !after.is_null() && after.addr() < at {
            before = after;
            // SAFETY: `after` is a hole in the list.
            after = unsafe { (*after).next };
        }
        let freed = place.cast::<Hole>();
        // SAFETY: the allocation was a multiple of `UNIT`, aligned to it, inside the block, and is nobody's now; the
        // holes around it are in the list. Neighbours that touch become one.
        unsafe {
            freed.write(Hole { bytes, next: after });
            if !after.is_null() && at.wrapping_add(bytes) == after.addr() {
                (*freed).bytes = bytes.wrapping_add((*after).bytes);
                (*freed).next = (*after).next;
            }
            if before.is_null() {
                self.holes = freed;
            } else if before.addr().wrapping_add((*before).bytes) == at {
                (*before).bytes = (*before).bytes.wrapping_add((*freed).bytes);
                (*before).next = (*freed).next;
            } else {
                (*before).next = freed;
            }
        }
    }
}

/// The heap of the section under way.
static CURRENT: AtomicPtr<Heap> = AtomicPtr::new(null_mut());

/// While it lives, the global allocator serves from one heap.
pub(crate) struct Section(());

impl Section {
    /// Begins a section with `heap`; `None` if there is one already.
    ///
    /// # Safety
    /// `heap` stays where it is and is not otherwise used until the section ends.
    pub(crate) unsafe fn enter(heap: *mut Heap) -> Option<Self> {
        let swapped = CURRENT.compare_exchange(null_mut(), heap, Ordering::Acquire, Ordering::Relaxed);
        // Lazily: a section that is made only to be dropped would end the one under way.
        swapped.is_ok().then(|| Self(()))
    }

    /// `value` at a place of its own in the heap, never dropped; `None` if there is no room.
    pub(crate) fn place<T>(&self, value: T) -> Option<NonNull<T>> {
        let place = NonNull::new(GLOBAL.serve(Layout::new::<T>()))?.cast::<T>();
        // SAFETY: fresh memory of the value's size and alignment.
        unsafe { place.write(value) };
        Some(place)
    }

    /// `len` zero bytes aligned to `align`, never freed; `None` if there is no room.
    pub(crate) fn bytes(&self, len: usize, align: usize) -> Option<NonNull<[u8]>> {
        let place = NonNull::new(GLOBAL.serve(Layout::from_size_align(len, align).ok()?))?;
        // SAFETY: fresh memory of `len` bytes.
        unsafe { place.write_bytes(0, len) };
        Some(NonNull::slice_from_raw_parts(place, len))
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        CURRENT.store(null_mut(), Ordering::Release);
    }
}

/// The process's allocator, which has no memory of its own.
struct Global;

impl Global {
    fn serve(&self, layout: Layout) -> *mut u8 {
        let heap = CURRENT.load(Ordering::Relaxed);
        // SAFETY: null or, by the contract of `Section::enter`, a heap that only this section's thread uses.
        unsafe { heap.as_mut() }.map_or(null_mut(), |heap| heap.allocate(layout))
    }
}

// SAFETY: memory comes from the block of one heap, each part given once until it is freed; a null pointer says that
// there is none. Only the thread inside the section allocates or frees (module documentation).
unsafe impl GlobalAlloc for Global {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.serve(layout)
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        let heap = CURRENT.load(Ordering::Relaxed);
        // SAFETY: as in `serve`.
        if let Some(heap) = unsafe { heap.as_mut() } {
            heap.free(place, layout);
        }
    }
}

#[cfg_attr(not(test), global_allocator)]
static GLOBAL: Global = Global;

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    /// Bytes of all holes, and their number.
    fn free_bytes(heap: &Heap) -> (usize, usize) {
        let (mut bytes, mut count, mut hole) = (0, 0, heap.holes);
        while !hole.is_null() {
            // SAFETY: a hole in the list.
            unsafe {
                bytes += (*hole).bytes;
                count += 1;
                assert!((*hole).next.is_null() || hole.addr() + (*hole).bytes < (*hole).next.addr());
                hole = (*hole).next;
            }
        }
        (bytes, count)
    }

    #[test]
    fn whatever_the_order_nothing_overlaps_and_all_comes_back() {
        let mut block = vec![0u8; 40_000];
        // SAFETY: the vector outlives the heap.
        let mut heap = unsafe { Heap::new(block.as_mut_ptr().wrapping_add(3), 39_990) }.expect("room");
        let all = free_bytes(&heap);
        assert_eq!(all.1, 1);
        let mut live: Vec<(*mut u8, Layout, u8)> = Vec::new();
        let mut seed = 9u32;
        let mut refused = 0;
        for round in 0..20_000u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let r = (seed >> 8) as usize;
            if r % 5 < 3 {
                let layout = Layout::from_size_align(r % 900, 1 << (r % 8)).expect("a layout");
                let place = heap.allocate(layout);
                if place.is_null() {
                    refused += 1;
                    continue;
                }
                assert!(place.addr().is_multiple_of(layout.align()));
                // SAFETY: as long as the layout says.
                unsafe { place.write_bytes(round as u8, layout.size()) };
                live.push((place, layout, round as u8));
            } else if !live.is_empty() {
                let (place, layout, fill) = live.swap_remove(r % live.len());
                // SAFETY: a live allocation.
                let bytes = unsafe { core::slice::from_raw_parts(place, layout.size()) };
                assert!(bytes.iter().all(|&b| b == fill));
                heap.free(place, layout);
            }
        }
        assert!(refused > 0, "the block must have been full at times");
        for (place, layout, _) in live {
            heap.free(place, layout);
        }
        assert_eq!(free_bytes(&heap), all);
        assert!(heap.allocate(Layout::from_size_align(usize::MAX / 2, 1).expect("a layout")).is_null());
    }

    #[test]
    fn a_block_without_room_is_none_and_foreign_memory_is_left_alone() {
        let mut block = [0u8; 64];
        // SAFETY: the array outlives the heaps.
        unsafe {
            assert!(Heap::new(block.as_mut_ptr(), 3).is_none());
            let mut heap = Heap::new(block.as_mut_ptr(), 64).expect("room");
            let before = free_bytes(&heap);
            heap.free(null_mut::<u8>().wrapping_add(64), Layout::new::<u64>());
            assert_eq!(free_bytes(&heap), before);
        }
    }
}
