//! The result of a multiplication, and the part of it that one worker owns.

use crate::part::holds;
use core::marker::PhantomData;

/// A window of columns of a row-major `[tokens][stride]` f32 matrix: the outputs of some weight rows, for every
/// token. Windows of disjoint columns may be written by different threads at once.
#[derive(Debug)]
pub struct OutCols<'a> {
    first: *mut f32,
    stride: usize,
    tokens: usize,
    cols: usize,
    owner: PhantomData<&'a mut [f32]>,
}

#[allow(unsafe_code, reason = "columns of a row-major matrix cannot be borrowed as slices of it")]
// SAFETY: an `OutCols` is the only one that reaches its columns, as a `&mut [f32]` would be.
unsafe impl Send for OutCols<'_> {}

#[allow(unsafe_code, reason = "columns of a row-major matrix cannot be borrowed as slices of it")]
impl<'a> OutCols<'a> {
    /// The whole of `matrix`, `tokens` rows of `stride`.
    ///
    /// # Panics
    /// Only with debug assertions, else what is returned is empty: if `matrix` is not `tokens · stride` long.
    #[must_use]
    pub fn new(matrix: &'a mut [f32], tokens: usize, stride: usize) -> Self {
        let fits = holds(matrix.len() == tokens * stride, "the result must be tokens x stride");
        let (tokens, stride) = if fits { (tokens, stride) } else { (0, 0) };
        Self { first: matrix.as_mut_ptr(), stride, tokens, cols: stride, owner: PhantomData }
    }

    /// Tokens (rows of the matrix).
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.tokens
    }

    /// Columns in this window.
    #[must_use]
    pub const fn cols(&self) -> usize {
        self.cols
    }

    /// The window's part of token `t`'s row.
    ///
    /// # Panics
    /// Only with debug assertions, else what is returned is empty: if `t` is not below [`tokens`](Self::tokens).
    #[inline]
    pub fn row_mut(&mut self, t: usize) -> &mut [f32] {
        if !holds(t < self.tokens, "no such token") {
            return &mut [];
        }
        // SAFETY: `first` points at column 0 of the window in row 0 of a matrix of `tokens` rows of `stride`
        // floats, of which the window covers `cols`; `t` is a row of it, and `&mut self` makes this the only borrow.
        unsafe { core::slice::from_raw_parts_mut(self.first.add(t * self.stride), self.cols) }
    }

    /// The columns `first .. first + cols` of this window, for a worker of its own.
    ///
    /// # Safety
    /// While the result lives nothing else may touch these columns: the caller gives each of them out once.
    ///
    /// # Panics
    /// Only with debug assertions, else what is returned is empty: if the columns are not within the window.
    #[must_use]
    pub(crate) unsafe fn share(&self, first: usize, cols: usize) -> OutCols<'a> {
        let fits = holds(first <= self.cols && cols <= self.cols - first, "no such columns");
        let (first, cols) = if fits { (first, cols) } else { (0, 0) };
        // SAFETY: `first` is within a row (or one past its end when `cols` is 0), so the pointer stays in the matrix.
        let first = unsafe { self.first.add(first) };
        OutCols { first, stride: self.stride, tokens: self.tokens, cols, owner: PhantomData }
    }
}

impl<'a> OutCols<'a> {
    /// The columns `first .. first + cols` of the rows `from .. from + tokens`, for a worker of its own.
    ///
    /// # Safety
    /// As [`share`](Self::share), for these columns of these rows.
    ///
    /// # Panics
    /// Only with debug assertions, else what is returned is empty: if the block is not within the window.
    #[must_use]
    #[allow(unsafe_code, reason = "blocks of a row-major matrix cannot be borrowed as slices of it")]
    pub(crate) unsafe fn share_block(
        &self,
        from: usize,
        tokens: usize,
        first: usize,
        cols: usize,
    ) -> OutCols<'a> {
        let fits = holds(from < self.tokens && tokens <= self.tokens - from, "no such rows");
        let (from, tokens) = if fits { (from, tokens) } else { (0, 0) };
        // SAFETY: the caller keeps the promise of `share` for the rows that the block is cut to.
        let columns = unsafe { self.share(first, cols) };
        // SAFETY: row `from` is one of the matrix's rows, or 0.
        let first = unsafe { columns.first.add(from * self.stride) };
        OutCols { first, tokens, ..columns }
    }
}

/// An [`OutCols`] that the workers of one parallel loop see at the same time.
pub(crate) struct SharedOut<'a>(OutCols<'a>);

#[allow(unsafe_code, reason = "columns of a row-major matrix cannot be borrowed as slices of it")]
// SAFETY: the only thing that can be done through a shared reference is `share`, whose contract forbids overlap.
unsafe impl Sync for SharedOut<'_> {}

impl<'a> SharedOut<'a> {
    pub(crate) fn new(out: OutCols<'a>) -> Self {
        Self(out)
    }

    /// As [`OutCols::share`].
    ///
    /// # Safety
    /// As [`OutCols::share`].
    #[allow(unsafe_code, reason = "hands on the caller's promise")]
    pub(crate) unsafe fn share(&self, first: usize, cols: usize) -> OutCols<'a> {
        // SAFETY: the caller keeps the same promise.
        unsafe { self.0.share(first, cols) }
    }

    /// As [`OutCols::share_block`].
    ///
    /// # Safety
    /// As [`OutCols::share_block`].
    #[allow(unsafe_code, reason = "hands on the caller's promise")]
    pub(crate) unsafe fn share_block(
        &self,
        from: usize,
        tokens: usize,
        first: usize,
        cols: usize,
    ) -> OutCols<'a> {
        // SAFETY: the caller keeps the same promise.
        unsafe { self.0.share_block(from, tokens, first, cols) }
    }
}
