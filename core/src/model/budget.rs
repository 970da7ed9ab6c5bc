//! From an amount of memory to the plan that makes the most of it.
//!
//! A batch of a prompt passes over the weights once, however many tokens it has, so its activations come before
//! copies of weights, up to a quarter of the budget. Chunks need only be so large that the storage reads them at its
//! full speed. All the rest is spent on weights that stay.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use super::plan::READ_AHEAD;
use super::{Limits, Matrix, Model, Plan, PlanError, WeightPlacement};
use crate::kernels::Kernels;

/// Where weights that are streamed lie while they are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunks {
    /// In a window of the arena, into which the core reads them.
    Window,
    /// In buffers of the reader's, which it fills ahead and lends.
    Lent,
}

/// The largest chunk that is of use: some hundred times what the storage reads in the time that it takes to begin.
const CHUNK: usize = 1 << 20;
/// Chunks that a reader has in hand where there is room: enough to read on while a pinned layer is multiplied.
const SLOTS: usize = 8;
/// A lending reader needs one buffer to fill while the other is lent.
const MIN_SLOTS: usize = 2;
/// The part of the budget that chunks may take.
const CHUNK_SHARE: usize = 8;
/// The part of the budget that the activations of a batch may take.
const BATCH_SHARE: u64 = 4;

impl Plan {
    /// The plan that needs the least memory: one token at a time, no weight pinned, chunks of one row. Of `limits`,
    /// `batch` and `weights` are left out of account.
    ///
    /// # Errors
    /// [`PlanError`] if another limit is out of range or a region is larger than the target can address.
    pub fn minimum(
        model: &Model,
        kernels: &Kernels,
        limits: &Limits,
        chunks: Chunks,
    ) -> Result<Self, PlanError> {
        Search { model, kernels, limits, chunks }.plan(1, longest_row(model), MIN_SLOTS, 0)
    }

    /// The plan that makes the most of `budget` bytes, arena and reader's buffers together: all weights resident if
    /// there is room for them, or else those pinned that there is room for. Of `limits`, `weights` is left out of
    /// account and `batch` is the most that is of use.
    ///
    /// # Errors
    /// [`PlanError::OverBudget`] if `budget` is below [`minimum`](Self::minimum); others as there.
    pub fn within(
        model: &Model,
        kernels: &Kernels,
        limits: &Limits,
        chunks: Chunks,
        budget: usize,
    ) -> Result<Self, PlanError> {
        let minimum = Self::minimum(model, kernels, limits, chunks)?;
        if minimum.total_bytes() > budget as u64 {
            let need = minimum.total_bytes();
            return Err(PlanError::OverBudget {
                region: minimum.first_beyond(budget),
                need,
                have: budget as u64,
            });
        }
        let search = Search { model, kernels, limits, chunks };
        let batch = search.batch(budget, minimum.total_bytes());
        let resident = Limits { batch, weights: WeightPlacement::Resident, ..*limits };
        if let Ok(plan) = Self::new(model, kernels, &resident)
            && plan.total_bytes() <= budget as u64
        {
            return Ok(plan);
        }
        let row = longest_row(model);
        let chunk = CHUNK.min(budget.checked_div(CHUNK_SHARE * SLOTS).unwrap_or(0)).max(row);
        let many = [SLOTS, SLOTS / 2].map(|slots| (chunk, slots));
        let small = core::iter::successors(Some(chunk), |&c| (c > row).then_some((c / 2).max(row)));
        for (chunk, slots) in many.into_iter().chain(small.map(|chunk| (chunk, MIN_SLOTS))) {
            let Ok(plan) = search.plan(batch, chunk, slots, 0) else { continue };
            let Some(left) = (budget as u64).checked_sub(plan.total_bytes()) else { continue };
            let pinned = usize::try_from(left).unwrap_or(usize::MAX);
            // Whole alignment units, so that the region takes what it says.
            let pinned = pinned.saturating_sub(pinned.checked_rem(Self::ALIGN).unwrap_or(0));
            return search.plan(batch, chunk, slots, pinned);
        }
        Ok(minimum)
    }

    /// The first region that does not fit into `budget` bytes, when each takes its place in turn.
    fn first_beyond(&self, budget: usize) -> &'static str {
        let mut end = 0usize;
        for region in self.regions() {
            end =
                end.saturating_add(region.bytes).checked_next_multiple_of(Self::ALIGN).unwrap_or(usize::MAX);
            if end > budget {
                return region.name;
            }
        }
        READ_AHEAD
    }
}

/// What stays the same while plans are tried.
#[derive(Clone, Copy)]
struct Search<'a> {
    model: &'a Model,
    kernels: &'a Kernels,
    limits: &'a Limits,
    chunks: Chunks,
}

impl Search<'_> {
    fn plan(&self, batch: usize, chunk: usize, slots: usize, pinned: usize) -> Result<Plan, PlanError> {
        let weights = match self.chunks {
            Chunks::Window => WeightPlacement::Pinned { pinned, window: chunk },
            Chunks::Lent => WeightPlacement::Lent { pinned, chunk, slots },
        };
        Plan::new(self.model, self.kernels, &Limits { batch, weights, ..*self.limits })
    }

    /// The largest batch whose activations keep to their share of `budget`, found by bisection: a plan's size grows
    /// with it. `one` is the size with a batch of 1.
    fn batch(&self, budget: usize, one: u64) -> usize {
        let share = (budget as u64).checked_div(BATCH_SHARE).unwrap_or(0).saturating_add(one);
        let most = share.min(budget as u64);
        let row = longest_row(self.model);
        let fits = |batch| self.plan(batch, row, MIN_SLOTS, 0).is_ok_and(|plan| plan.total_bytes() <= most);
        let (mut low, mut high) = (1, self.limits.batch.min(self.limits.context).max(1));
        if fits(high) {
            return high;
        }
        // `low` fits, `high` does not.
        while high.saturating_sub(low) > 1 {
            let middle = low.midpoint(high);
            if fits(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }
}

fn longest_row(model: &Model) -> usize {
    model.matrices().map(Matrix::row_bytes).max().unwrap_or(0)
}
