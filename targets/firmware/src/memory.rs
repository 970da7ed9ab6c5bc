//! A heap for loading, which counts, and an arena: two statics, all the memory that barre takes.

#![allow(
    unsafe_code,
    reason = "memory that the borrow checker cannot follow: an allocator, a static handed out once"
)]

use barre_core::model::Plan;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

/// What a heap has been asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapFigures {
    /// Bytes that there are.
    pub size: usize,
    /// Bytes allocated now.
    pub used: usize,
    /// Bytes allocated at the fullest moment.
    pub peak: usize,
    /// Allocations and growths so far, those that failed too.
    pub allocations: usize,
}

/// A global allocator of `N` bytes in a static.
///
/// Needed while a model is loaded, for its directory of tensors and its vocabulary; never by a session. First fit
/// over a list of free blocks. Locked by spinning, so any core may allocate, but no interrupt may. An image has room for
/// no larger one: this takes 400 bytes.
pub struct Heap<const N: usize> {
    memory: UnsafeCell<MaybeUninit<Block<N>>>,
    state: UnsafeCell<State>,
    locked: AtomicBool,
}

#[repr(C, align(64))]
struct Block<const N: usize>([u8; N]);

struct State {
    /// The first free block, by address; null if there is none.
    free: *mut Free,
    started: bool,
    figures: HeapFigures,
}

/// The beginning of a free block. Blocks, free or not, are multiples of its size, at multiples of its size.
struct Free {
    bytes: usize,
    next: *mut Self,
}

const UNIT: usize = size_of::<Free>();

/// Bytes of the block for `layout`.
const fn block_bytes(layout: Layout) -> usize {
    // A layout's size is no more than half of what a usize can count.
    if layout.size() == 0 { UNIT } else { layout.size().next_multiple_of(UNIT) }
}

impl State {
    /// # Safety
    /// The list is of free memory that nothing else refers to.
    unsafe fn take(&mut self, layout: Layout) -> *mut u8 {
        let (need, align) = (block_bytes(layout), layout.align().max(UNIT));
        let mut link = &raw mut self.free;
        // SAFETY: `link` points at the list's beginning or into one of its blocks, and what a link points at is null or a
        // free block; what is written lies inside of the block at hand.
        unsafe {
            while !(*link).is_null() {
                let block = *link;
                let Free { bytes, next } = block.read();
                let before = block.addr().wrapping_neg() & (align - 1);
                if let Some(after) = bytes.checked_sub(before).and_then(|rest| rest.checked_sub(need)) {
                    let taken = block.byte_add(before);
                    let mut rest = next;
                    if after > 0 {
                        rest = taken.byte_add(need);
                        rest.write(Free { bytes: after, next });
                    }
                    if before > 0 {
                        block.write(Free { bytes: before, next: rest });
                    } else {
                        *link = rest;
                    }
                    return taken.cast();
                }
                link = &raw mut (*block).next;
            }
        }
        ptr::null_mut()
    }

    /// # Safety
    /// The `bytes` at `block` are a block that nothing refers to any more, and the list as for `take`.
    unsafe fn give_back(&mut self, block: *mut Free, mut bytes: usize) {
        let mut before: *mut Free = ptr::null_mut();
        let mut next = self.free;
        // SAFETY: as in `take`; blocks that touch are parts of one static.
        unsafe {
            while !next.is_null() && next < block {
                (before, next) = (next, (*next).next);
            }
            if !next.is_null() && block.byte_add(bytes) == next {
                bytes += (*next).bytes;
                next = (*next).next;
            }
            if before.is_null() {
                block.write(Free { bytes, next });
                self.free = block;
            } else if before.byte_add((*before).bytes) == block {
                let bytes = bytes + (*before).bytes;
                before.write(Free { bytes, next });
            } else {
                block.write(Free { bytes, next });
                (*before).next = block;
            }
        }
    }
}

// SAFETY: the state and, through it, the memory are reached only by `with`, which lets one caller in at a time.
unsafe impl<const N: usize> Sync for Heap<N> {}

impl<const N: usize> Heap<N> {
    /// A heap with all its bytes free.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a static is initialised by a constant expression")]
    pub const fn new() -> Self {
        Self {
            memory: UnsafeCell::new(MaybeUninit::uninit()),
            state: UnsafeCell::new(State {
                free: ptr::null_mut(),
                started: false,
                figures: HeapFigures { size: 0, used: 0, peak: 0, allocations: 0 },
            }),
            locked: AtomicBool::new(false),
        }
    }

    /// What it has been asked for so far.
    pub fn figures(&self) -> HeapFigures {
        self.with(|state| HeapFigures { size: N, ..state.figures })
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        while self.locked.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            core::hint::spin_loop();
        }
        // SAFETY: whoever set the lock is alone until it is cleared below.
        let state = unsafe { &mut *self.state.get() };
        if !state.started {
            state.started = true;
            let bytes = N / UNIT * UNIT;
            if bytes > 0 {
                // SAFETY: `memory` is a static's N bytes, aligned to more than a block, which nothing else ever refers to.
                unsafe { state.give_back(self.memory.get().cast(), bytes) };
            }
        }
        let result = f(state);
        self.locked.store(false, Ordering::Release);
        result
    }
}

// SAFETY: blocks come from the free list, which gives memory out once, aligned and sized as asked; a failure is null.
unsafe impl<const N: usize> GlobalAlloc for Heap<N> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.with(|state| {
            state.figures.allocations += 1;
            // SAFETY: the list is the heap's own.
            let block = unsafe { state.take(layout) };
            if !block.is_null() {
                state.figures.used += block_bytes(layout);
                state.figures.peak = state.figures.peak.max(state.figures.used);
            }
            block
        })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.with(|state| {
            // SAFETY: the caller says that `block` came from here with this layout.
            unsafe { state.give_back(block.cast(), block_bytes(layout)) };
            state.figures.used -= block_bytes(layout);
        });
    }
}

/// `N` bytes for a session, aligned to [`Plan::ALIGN`], handed out once.
pub struct Arena<const N: usize> {
    memory: UnsafeCell<Block<N>>,
    taken: AtomicBool,
}

const _: () = assert!(align_of::<Block<1>>() == Plan::ALIGN);

// SAFETY: `take` gives the memory to one caller, ever.
unsafe impl<const N: usize> Sync for Arena<N> {}

impl<const N: usize> Arena<N> {
    /// An arena that nobody has.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a static is initialised by a constant expression")]
    pub const fn new() -> Self {
        Self { memory: UnsafeCell::new(Block([0; N])), taken: AtomicBool::new(false) }
    }

    /// The memory; empty for every caller but the first.
    #[expect(clippy::mut_from_ref, reason = "only the first caller gets any")]
    pub fn take(&'static self) -> &'static mut [u8] {
        if self.taken.swap(true, Ordering::AcqRel) {
            return &mut [];
        }
        // SAFETY: the swap was false for this caller alone, and the static lives for ever.
        unsafe { &mut (*self.memory.get()).0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_counts_and_gives_back() {
        static HEAP: Heap<4096> = Heap::new();
        let layout = Layout::from_size_align(1000, 16).expect("a layout");
        // SAFETY: the layout is not empty; blocks are given back with the layout that they were made with.
        unsafe {
            let blocks = [HEAP.alloc(layout), HEAP.alloc(layout), HEAP.alloc(layout), HEAP.alloc(layout)];
            assert!(blocks.iter().all(|b| !b.is_null() && b.addr().is_multiple_of(16)));
            assert!(HEAP.alloc(layout).is_null());
            let full = HEAP.figures();
            assert!(
                full.used >= 4000 && full.peak == full.used && full.allocations == 5 && full.size == 4096
            );
            for block in blocks {
                HEAP.dealloc(block, layout);
            }
            assert_eq!(HEAP.figures(), HeapFigures { used: 0, ..full });
            assert!(!HEAP.alloc(Layout::from_size_align(4000, 8).expect("a layout")).is_null());
        }
    }

    #[test]
    fn blocks_of_any_size_and_order_do_not_overlap_and_come_back() {
        static HEAP: Heap<{ 1 << 16 }> = Heap::new();
        let mut random = 1u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((random >> 33) % below) as usize
        };
        let mut blocks: std::vec::Vec<(*mut u8, Layout, u8)> = std::vec::Vec::new();
        let steps = if cfg!(miri) { 500 } else { 20_000 };
        for step in 0..steps {
            if blocks.is_empty() || next(2) == 0 {
                let layout = Layout::from_size_align(1 + next(3000), 1 << next(8)).expect("a layout");
                // SAFETY: the layout is not empty.
                let block = unsafe { HEAP.alloc(layout) };
                if !block.is_null() {
                    assert!(block.addr().is_multiple_of(layout.align()));
                    // SAFETY: the block is of that size.
                    unsafe { block.write_bytes(step as u8, layout.size()) };
                    blocks.push((block, layout, step as u8));
                }
            } else {
                let (block, layout, byte) = blocks.swap_remove(next(blocks.len() as u64));
                // SAFETY: the block has been filled, and is given back once with its layout.
                unsafe {
                    let bytes = core::slice::from_raw_parts(block, layout.size());
                    assert!(bytes.iter().all(|&b| b == byte));
                    HEAP.dealloc(block, layout);
                }
            }
        }
        for (block, layout, _) in blocks {
            // SAFETY: as above.
            unsafe { HEAP.dealloc(block, layout) };
        }
        let whole = Layout::from_size_align(1 << 16, 16).expect("a layout");
        // SAFETY: the layout is not empty. All free blocks have become one again.
        assert!(!unsafe { HEAP.alloc(whole) }.is_null());
    }

    #[test]
    fn an_arena_is_handed_out_once() {
        static ARENA: Arena<128> = Arena::new();
        let memory = ARENA.take();
        assert_eq!(memory.len(), 128);
        assert!(memory.as_ptr().addr().is_multiple_of(Plan::ALIGN));
        assert!(ARENA.take().is_empty());
    }
}
