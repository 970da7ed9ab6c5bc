//! An allocator that counts what each thread holds: tests run side by side, and the core stays on its caller's thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counted. A test makes it its own with `#[global_allocator]`.
#[derive(Debug)]
pub struct Counting;

thread_local! {
    // Below 0 where a thread frees what another has allocated.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` with the arguments it came with. `realloc` is the trait's own: allocate,
// copy, free, so that both blocks count.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        HELD.set(HELD.get() + layout.size().cast_signed());
        PEAK.set(PEAK.get().max(HELD.get()));
        LARGEST.set(LARGEST.get().max(layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

/// What a thread has asked of the heap since the span began.
#[derive(Debug)]
pub struct Span {
    held: isize,
    calls: usize,
}

impl Span {
    /// Begins one, which ends the one before: there is one peak a thread.
    #[must_use]
    pub fn begin() -> Self {
        PEAK.set(HELD.get());
        LARGEST.set(0);
        Self { held: HELD.get(), calls: CALLS.get() }
    }

    /// Bytes held beyond those at its beginning.
    ///
    /// # Panics
    /// If fewer are held than then.
    #[must_use]
    pub fn held(&self) -> usize {
        usize::try_from(HELD.get() - self.held).expect("as much as at the beginning")
    }

    /// The most of them at a time.
    #[must_use]
    pub fn peak(&self) -> usize {
        (PEAK.get() - self.held).cast_unsigned()
    }

    /// Bytes of the largest request.
    #[must_use]
    pub fn largest(&self) -> usize {
        LARGEST.get()
    }

    /// Requests.
    #[must_use]
    pub fn calls(&self) -> usize {
        CALLS.get() - self.calls
    }
}
