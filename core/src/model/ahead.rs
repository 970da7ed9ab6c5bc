//! What a session has told its reader about the chunks to come.
//!
//! A pass over the weights is the same each time, so the next chunk is known while the present one is multiplied:
//! the next rows, the next matrix, the next layer, the head, or the first layer again for the token that will
//! follow. A reader that is told early can read without a pause, through attention and sampling too.

use super::Matrix;
use super::pins::matrix_at;
use super::tensors::MATRICES_PER_LAYER;
use super::weights::Pass;
use crate::io::ReadAt;

/// A chunk of a pass: the rows from `row` on of the matrix at `step`, for the output head of number `head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    step: usize,
    row: usize,
    head: usize,
}

/// The chunks announced but not yet asked for: `count` of them from `next` on, and `tail` after them.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    next: Option<Spot>,
    tail: Option<Spot>,
    count: usize,
    /// Output heads that end the pass, and how many of them are done.
    heads: usize,
    head: usize,
}

impl Ahead {
    pub(crate) const fn expect_heads(&mut self, heads: usize, head: usize) {
        self.heads = heads;
        self.head = head;
    }

    /// The first chunk of a pass; `None` if nothing is streamed.
    pub(crate) fn first(&self, pass: &Pass<'_>) -> Option<Spot> {
        self.streamed_from(pass, Spot { step: 0, row: 0, head: 0 })
    }

    /// The chunk that begins with `row` of `matrix`.
    pub(crate) fn spot(&self, pass: &Pass<'_>, matrix: &Matrix, row: usize) -> Spot {
        let index = matrix.index(pass.model.layers().len());
        let first = index - index % MATRICES_PER_LAYER;
        let same = |&step: &usize| matrix_at(pass.model, step).is_some_and(|m| m.abs() == matrix.abs());
        let step = (first..first + MATRICES_PER_LAYER).find(same).unwrap_or(index);
        let head = if index == pass.model.layers().len() * MATRICES_PER_LAYER { self.head } else { 0 };
        Spot { step, row, head }
    }

    /// Makes `spot` the next chunk, whatever was expected. A cancelled pass or a failed read leads elsewhere: then
    /// what was announced is forgotten, and the reader drops it for the announcements that follow.
    pub(crate) fn turn_to(&mut self, spot: Spot) {
        if self.count == 0 || self.next != Some(spot) {
            (self.next, self.tail, self.count) = (Some(spot), Some(spot), 0);
        }
    }

    /// Announces chunks until `depth` of them are.
    pub(crate) fn announce(&mut self, reader: &mut impl ReadAt, pass: &Pass<'_>, depth: usize) {
        while self.count < depth {
            let Some(spot) = self.tail else { return };
            let Some(matrix) = matrix_at(pass.model, spot.step) else { return };
            let skip = spot.row as u64 * matrix.row_bytes() as u64;
            let Some(at) = matrix.abs().checked_add(skip) else { return };
            reader.prefetch(at, pass.rows_at(matrix, spot.row) as u64 * matrix.row_bytes() as u64);
            self.tail = self.after(pass, spot);
            self.count += 1;
        }
    }

    /// Goes on to the chunk after `spot`, which has been asked for.
    pub(crate) fn pass_over(&mut self, pass: &Pass<'_>, spot: Spot) {
        self.turn_to(spot);
        self.next = self.after(pass, spot);
        if self.count == 0 {
            self.tail = self.next;
        } else {
            self.count -= 1;
        }
    }

    fn after(&self, pass: &Pass<'_>, spot: Spot) -> Option<Spot> {
        let matrix = matrix_at(pass.model, spot.step)?;
        let row = spot.row + pass.rows_at(matrix, spot.row);
        if row < matrix.n() {
            return Some(Spot { row, ..spot });
        }
        let head_step = pass.model.layers().len() * MATRICES_PER_LAYER;
        let next = match spot.step {
            step if step + 1 < head_step => Spot { step: step + 1, row: 0, head: 0 },
            step if step < head_step && self.heads > 0 => Spot { step: head_step, row: 0, head: 0 },
            step if step == head_step && spot.head + 1 < self.heads => {
                Spot { step, row: 0, head: spot.head + 1 }
            }
            _ => Spot { step: 0, row: 0, head: 0 },
        };
        self.streamed_from(pass, next)
    }

    /// The first streamed chunk from the beginning of `spot`'s step on, around the end of the pass if need be.
    fn streamed_from(&self, pass: &Pass<'_>, spot: Spot) -> Option<Spot> {
        let head_step = pass.model.layers().len() * MATRICES_PER_LAYER;
        let steps = head_step + 1;
        let mut spot = spot;
        for _ in 0..=steps {
            let matrix = matrix_at(pass.model, spot.step)?;
            let row = pass.pin(matrix).rows as usize;
            if row < matrix.n() {
                return Some(Spot { row, ..spot });
            }
            let skip_head = spot.step + 1 == head_step && self.heads == 0;
            let step = if skip_head || spot.step == head_step { 0 } else { spot.step + 1 };
            spot = Spot { step, row: 0, head: 0 };
        }
        None
    }
}
