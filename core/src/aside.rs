//! Errors put aside.
//!
//! An error of this crate says which name, which place and which numbers: up to 150 bytes, which each `?` moves. A
//! function that asks a file twenty questions in a row is mostly such moves (13 KB of an image, before), so it puts its
//! error aside once, and what `?` hands on is a [`Failed`] without size.

use core::cell::Cell;

/// Something failed; the error has been put aside.
#[derive(Debug)]
pub(crate) struct Failed(());

/// Where a function's error is put.
pub(crate) struct Aside<E>(Cell<E>);

impl<E: Copy> Aside<E> {
    /// `none` is never seen: only an error put aside makes a [`Failed`].
    pub(crate) const fn new(none: E) -> Self {
        Self(Cell::new(none))
    }

    /// Puts `error` aside.
    #[cold]
    #[inline(never)]
    pub(crate) fn fail(&self, error: E) -> Failed {
        self.0.set(error);
        Failed(())
    }

    /// The error that was put aside.
    #[cold]
    pub(crate) fn take(&self, _: Failed) -> E {
        self.0.get()
    }

    /// `result`, its error put aside.
    pub(crate) fn check<T, F: Into<E>>(&self, result: Result<T, F>) -> Result<T, Failed> {
        result.map_err(|e| self.fail(e.into()))
    }
}
