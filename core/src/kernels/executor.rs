//! Where threads come in.

/// Something that can run one closure on several threads at once.
///
/// The core divides its own work: each call of the task claims pieces until none is left. So an executor that
/// calls the task once, ten times, or on one thread only gives the same result; and a safe implementation cannot
/// return while a call of the task, which it only borrows, still runs.
pub trait Executor: Sync {
    /// How many calls of a task can usefully run at once; at least 1.
    fn threads(&self) -> usize;

    /// Calls `task` on up to [`threads`](Self::threads) threads, the caller's among them, and returns when all
    /// calls have returned.
    fn broadcast(&self, task: &(dyn Fn() + Sync));
}

/// The caller's thread alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Executor for Serial {
    fn threads(&self) -> usize {
        1
    }

    fn broadcast(&self, task: &(dyn Fn() + Sync)) {
        task();
    }
}
