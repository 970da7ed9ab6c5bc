//! A thread pool that spins briefly between pieces of work, then sleeps.
//!
//! A decoded token is some hundred short parallel loops, a few microseconds apart: waking a sleeping thread for
//! each would cost more than the loop. Work is claimed by the threads themselves (see [`Executor`]), so a loop
//! that is done before a sleeper has woken does not wait for it: the pool closes the job, and who has not
//! joined by then never will. So another process on one of the cores costs that core's share, not a stall.

use barre_core::kernels::Executor;
use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, TryLockError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// More threads than any machine this is for has.
pub const MAX_THREADS: usize = 1024;

/// How long a waiting worker spins before it sleeps: longer than the gap between two loops of one token, shorter
/// than anybody would notice of a core that does nothing.
pub const SPIN: Duration = Duration::from_micros(50);

/// Turns of the spin loop between two looks at the clock, which costs as much as some turns do.
const TURNS: u32 = 32;

/// Addresses that a thread takes: Rust's stack of 2 MiB, and 2 MiB for what the C library and the runtime allocate at
/// its start. Those allocations end the process where they fail, so a thread is only started where there is room.
const ADDRESSES: usize = 4 << 20;

/// Whether a thread can be started without danger to the process.
pub(crate) fn room_for_a_thread() -> bool {
    memmap2::MmapOptions::new().len(ADDRESSES).no_reserve_swap().map_anon().is_ok()
}

/// A job borrowed from the caller of `broadcast`, as the workers see it.
type Job = *const (dyn Fn() + Sync);

/// In `state`: workers at work (bits 0..16), whether the job may be joined, the job's number (bits 17..).
const OPEN: u64 = 1 << 16;
const ACTIVE: u64 = OPEN - 1;
const NUMBER: u64 = !(OPEN | ACTIVE);

struct Shared {
    state: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    asleep: Vec<AtomicBool>,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    spin: Duration,
}

// SAFETY: `job` is written only while no worker is active and the job is closed, and read only by workers that
// have joined an open one; the joining and leaving of `state` orders the two. The job itself is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Shared {}

/// So many threads, the caller's among them.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    busy: Mutex<()>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

/// The number of threads is none that a pool can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadThreads(pub usize);

impl std::fmt::Display for BadThreads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} threads were asked for; it must be 1 to {MAX_THREADS}", self.0)
    }
}

impl std::error::Error for BadThreads {}

impl Pool {
    /// A pool of `threads`, which spin for [`SPIN`], or not at all if there are more of them than cores: they would
    /// take the core from a thread that has work. Where the system refuses to start one, the pool has those that
    /// it did start.
    ///
    /// # Errors
    /// [`BadThreads`] unless `threads` is 1 to [`MAX_THREADS`].
    pub fn new(threads: usize) -> Result<Self, BadThreads> {
        Self::with_spin(threads, if threads > cores() { Duration::ZERO } else { SPIN })
    }

    /// As [`new`](Self::new), with workers that spin for `spin` before they sleep. None at all spares a battery or
    /// a shared machine; longer than [`SPIN`] pays where nothing else runs.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_spin(threads: usize, spin: Duration) -> Result<Self, BadThreads> {
        if !(1..=MAX_THREADS).contains(&threads) {
            return Err(BadThreads(threads));
        }
        Ok(Self::spawned(threads, spin, |builder, work| builder.spawn(work)))
    }

    /// A pool of the threads that `spawn` can have, at most `threads` with the caller's.
    fn spawned(
        threads: usize,
        spin: Duration,
        mut spawn: impl FnMut(thread::Builder, Work) -> std::io::Result<thread::JoinHandle<()>>,
    ) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            asleep: (1..threads).map(|_| AtomicBool::new(false)).collect(),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
            spin,
        });
        let mut workers = Vec::new();
        let (start, started) = mpsc::channel();
        for i in 1..threads {
            if !room_for_a_thread() {
                break;
            }
            let (shared, start) = (Arc::clone(&shared), start.clone());
            let builder = thread::Builder::new().name(format!("barre-{i}"));
            let run = move || {
                let _ = start.send(());
                work(&shared, i - 1);
            };
            match spawn(builder, Box::new(run)) {
                Ok(handle) => workers.push(handle),
                Err(_) => break,
            }
            // Until the last one has what it needs, a look at the room that is left says nothing.
            let _ = started.recv();
        }
        Self { shared, workers, busy: Mutex::new(()) }
    }

    /// One thread for each core that this process may use.
    #[must_use]
    pub fn for_this_machine() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        Self::new(cores)
            .unwrap_or_else(|BadThreads(_)| unreachable!("a number of cores between 1 and the maximum"))
    }

    fn wake(&self) {
        for (worker, asleep) in self.workers.iter().zip(&self.shared.asleep) {
            if asleep.load(Ordering::Relaxed) && asleep.swap(false, Ordering::AcqRel) {
                worker.thread().unpark();
            }
        }
    }
}

impl Executor for Pool {
    fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    fn broadcast(&self, task: &(dyn Fn() + Sync)) {
        // A job inside a job, or of another thread's: the caller does it alone, which an executor may.
        let _busy = match self.busy.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
            Err(TryLockError::WouldBlock) => return task(),
        };
        if self.workers.is_empty() {
            return task();
        }
        let shared = &*self.shared;
        // A worker's panic is left over from a job whose caller panicked too.
        *shared.panic.lock().unwrap_or_else(|e| e.into_inner()) = None;
        // SAFETY: only the lifetime changes. `Close` below ends the job, and waits for every worker that has
        // joined it, before this function returns or unwinds; no worker touches a closed job.
        let job = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(task) };
        // SAFETY: the job before this one is closed and nobody is active, so no worker reads the cell.
        unsafe { *shared.job.get() = Some(std::ptr::from_ref(job)) };
        let number = shared.state.load(Ordering::Relaxed) & NUMBER;
        shared.state.store(number.wrapping_add(OPEN << 1) | OPEN, Ordering::Release);
        // A worker that fell asleep before it saw this store has said so before its last look at `state`.
        fence(Ordering::SeqCst);
        self.wake();
        {
            let _close = Close(shared);
            task();
        }
        let panic = shared.panic.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches the panics of its jobs and has none of its own.
            let _ = worker.join();
        }
    }
}

/// Cores that this process may use.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
}

/// Ends the present job when dropped, however its caller's part of it ended.
struct Close<'a>(&'a Shared);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        let state = &self.0.state;
        state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut patience = Patience::new(self.0.spin);
        while state.load(Ordering::Acquire) & ACTIVE != 0 {
            // The others are in their last chunk. If the system has taken the core from one of them, it shall have
            // this one.
            if !patience.turn() {
                thread::yield_now();
            }
        }
    }
}

/// A spin loop that ends after a time.
struct Patience {
    limit: Duration,
    start: Option<Instant>,
    turns: u32,
}

impl Patience {
    const fn new(limit: Duration) -> Self {
        Self { limit, start: None, turns: 0 }
    }

    /// Spins once; `false` once the time is over.
    fn turn(&mut self) -> bool {
        self.turns += 1;
        if self.turns < TURNS {
            std::hint::spin_loop();
            return true;
        }
        self.turns = 0;
        self.start.get_or_insert_with(Instant::now).elapsed() < self.limit
    }
}

/// What a worker does all its life.
type Work = Box<dyn FnOnce() + Send>;

fn work(shared: &Shared, index: usize) {
    let mut done = 0;
    loop {
        let mut patience = Patience::new(shared.spin);
        // Wait for a job that may be joined and has not been done yet.
        let state = loop {
            let state = shared.state.load(Ordering::Acquire);
            if state & OPEN != 0 && state & NUMBER != done {
                break state;
            }
            if shared.stop.load(Ordering::Relaxed) {
                return;
            }
            if patience.turn() {
                continue;
            }
            shared.asleep[index].store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            let state = shared.state.load(Ordering::Acquire);
            let idle = state & OPEN == 0 || state & NUMBER == done;
            if idle && !shared.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            shared.asleep[index].store(false, Ordering::Relaxed);
            patience = Patience::new(shared.spin);
        };
        if shared.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            continue;
        }
        done = state & NUMBER;
        // SAFETY: this worker is counted among the active of an open job, so the cell holds that job and the
        // caller of `broadcast`, from whom it is borrowed, waits.
        if let Some(job) = unsafe { (*shared.job.get()).map(|job| &*job) }
            && let Err(panic) = catch_unwind(AssertUnwindSafe(job))
        {
            shared.panic.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(panic);
        }
        shared.state.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn count(pool: &Pool, chunks: usize) -> usize {
        let (next, sum) = (AtomicUsize::new(0), AtomicUsize::new(0));
        pool.broadcast(&|| {
            while next.fetch_add(1, Ordering::Relaxed) < chunks {
                sum.fetch_add(1, Ordering::Relaxed);
            }
        });
        sum.into_inner()
    }

    #[test]
    fn every_chunk_is_done_when_broadcast_returns() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads).unwrap();
            for round in 0..2000 {
                assert_eq!(count(&pool, round % 70), round % 70);
            }
            // Long enough for the workers to fall asleep.
            thread::sleep(Duration::from_millis(20));
            assert_eq!(count(&pool, 1000), 1000);
        }
    }

    #[test]
    fn all_threads_take_part() {
        let pool = Pool::new(3).unwrap();
        let names = Mutex::new(std::collections::BTreeSet::new());
        pool.broadcast(&|| {
            names.lock().unwrap().insert(format!("{:?}", thread::current().id()));
            while names.lock().unwrap().len() < 3 {
                thread::yield_now();
            }
        });
        assert_eq!(names.into_inner().unwrap().len(), 3);
    }

    #[test]
    fn f25_threads_that_cannot_be_had_are_done_without() {
        for k in 0..4 {
            let mut spawned = 0;
            let pool = Pool::spawned(4, Duration::ZERO, |builder, work| {
                if spawned == k {
                    return Err(std::io::ErrorKind::WouldBlock.into());
                }
                spawned += 1;
                builder.spawn(work)
            });
            assert_eq!(pool.threads(), (k + 1).min(4), "spawn {k} fails");
            assert_eq!(count(&pool, 1000), 1000);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(2).unwrap();
        for _ in 0..20 {
            let joined = AtomicUsize::new(0);
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.broadcast(&|| {
                    joined.fetch_add(1, Ordering::SeqCst);
                    while joined.load(Ordering::SeqCst) < 2 {
                        thread::yield_now();
                    }
                    panic!("a task fails");
                });
            }));
            assert!(result.is_err());
            assert_eq!(count(&pool, 100), 100);
        }
    }

    #[test]
    fn a_panic_of_the_callers_part_leaves_nobody_behind() {
        let pool = Pool::new(3).unwrap();
        let caller = thread::current().id();
        for _ in 0..20 {
            let inside = AtomicUsize::new(0);
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.broadcast(&|| {
                    inside.fetch_add(1, Ordering::SeqCst);
                    assert_ne!(thread::current().id(), caller, "a task fails");
                    thread::sleep(Duration::from_millis(1));
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
            }));
            assert!(result.is_err());
            // The caller's own part has not left; every other has.
            assert_eq!(inside.into_inner(), 1);
        }
    }

    #[test]
    fn a_loop_is_done_without_the_workers_that_sleep() {
        // Workers that never spin, and jobs too short for any of them to wake in time: none may be waited for.
        let pool = Pool::with_spin(8, Duration::ZERO).unwrap();
        for round in 0..500 {
            assert_eq!(count(&pool, round % 9), round % 9);
        }
    }

    #[test]
    fn callers_on_several_threads_do_not_mix() {
        let pool = Pool::new(3).unwrap();
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for round in 0..500 {
                        assert_eq!(count(&pool, round % 50), round % 50);
                    }
                });
            }
        });
    }

    #[test]
    fn a_job_inside_a_job_is_done() {
        let pool = Pool::new(2).unwrap();
        let sum = AtomicUsize::new(0);
        pool.broadcast(&|| {
            sum.fetch_add(count(&pool, 10), Ordering::Relaxed);
        });
        assert!(sum.into_inner() >= 10);
    }

    #[test]
    fn impossible_numbers_of_threads_are_refused() {
        assert_eq!(Pool::new(0).unwrap_err(), BadThreads(0));
        assert_eq!(Pool::new(10_000).unwrap_err(), BadThreads(10_000));
    }
}
