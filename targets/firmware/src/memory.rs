//! A heap for loading, which counts, and an arena: two statics, all the memory that barre takes.

#![allow(
    unsafe_code,
    reason = "memory that the borrow checker cannot follow: an allocator, a static handed out once"
)]

use barre_core::model::Plan;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering};
use linked_list_allocator::Heap as FreeList;

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
/// over a list of free blocks. Locked by spinning, so any core may allocate, but no interrupt may.
pub struct Heap<const N: usize> {
    memory: UnsafeCell<MaybeUninit<Block<N>>>,
    state: UnsafeCell<State>,
    locked: AtomicBool,
}

#[repr(C, align(64))]
struct Block<const N: usize>([u8; N]);

struct State {
    list: FreeList,
    figures: HeapFigures,
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
                list: FreeList::empty(),
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
        if state.list.size() == 0 && N > 0 {
            // SAFETY: `memory` is a static's (or a pinned test's) N bytes, which nothing else ever refers to.
            unsafe { state.list.init(self.memory.get().cast(), N) };
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
            let Ok(block) = state.list.allocate_first_fit(layout) else { return ptr::null_mut() };
            state.figures.used = state.list.used();
            state.figures.peak = state.figures.peak.max(state.figures.used);
            block.as_ptr()
        })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else { return };
        self.with(|state| {
            // SAFETY: the caller says that `block` came from here with this layout.
            unsafe { state.list.deallocate(block, layout) };
            state.figures.used = state.list.used();
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
    fn an_arena_is_handed_out_once() {
        static ARENA: Arena<128> = Arena::new();
        let memory = ARENA.take();
        assert_eq!(memory.len(), 128);
        assert!(memory.as_ptr().addr().is_multiple_of(Plan::ALIGN));
        assert!(ARENA.take().is_empty());
    }
}
