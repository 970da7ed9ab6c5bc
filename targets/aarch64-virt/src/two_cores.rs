//! The second core, as an [`Executor`] of two threads.

#![allow(unsafe_code, reason = "a core is started; a task is lent to it for the length of a call")]

use crate::power;
use barre_core::kernels::Executor;
use barre_firmware::text::{Number, Text};
use core::arch::asm;
use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

type Task<'t> = &'t (dyn Fn() + Sync);

/// Where the first core leaves a task for the second.
struct Mailbox {
    task: UnsafeCell<Option<Task<'static>>>,
    state: AtomicU32,
    /// Tasks that the second core has taken part in.
    taken: AtomicU32,
}

// SAFETY: `state` says whose the task is: the first core's while EMPTY or DONE, the second's while TAKEN; from POSTED only
// one of them gets away, by a compare-exchange.
unsafe impl Sync for Mailbox {}

const EMPTY: u32 = 0;
const POSTED: u32 = 1;
const TAKEN: u32 = 2;
const DONE: u32 = 3;

static MAILBOX: Mailbox =
    Mailbox { task: UnsafeCell::new(None), state: AtomicU32::new(EMPTY), taken: AtomicU32::new(0) };
static STARTED: AtomicBool = AtomicBool::new(false);

/// Both cores. There is one such value at most.
#[derive(Debug)]
pub struct TwoCores(());

/// The second core does not start: the firmware's answer (PSCI), or 0 if it has been started before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CannotStart(pub i64);

impl fmt::Display for CannotStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = Text(if self.0 < 0 { "-" } else { "" });
        write!(f, "the second core does not start: the firmware says {sign}{}", Number(self.0.unsigned_abs()))
    }
}

impl core::error::Error for CannotStart {}

impl TwoCores {
    /// Starts the second core.
    ///
    /// # Errors
    /// [`CannotStart`].
    pub fn start() -> Result<Self, CannotStart> {
        // SAFETY: start.s defines it; only its address is taken.
        unsafe extern "C" {
            fn _start_core1();
        }
        if STARTED.swap(true, Ordering::Relaxed) {
            return Err(CannotStart(0));
        }
        let entry = _start_core1 as *const () as u64;
        // SAFETY: _start_core1 sets the core up as the first one was, on a stack of its own, and ends in `serve`.
        unsafe { power::start_core(1, entry) }.map_err(CannotStart)?;
        Ok(Self(()))
    }

    /// Tasks that the second core has taken part in so far.
    #[must_use]
    pub fn tasks_shared(&self) -> u32 {
        MAILBOX.taken.load(Ordering::Relaxed)
    }
}

impl Executor for TwoCores {
    fn threads(&self) -> usize {
        2
    }

    fn broadcast(&self, task: &(dyn Fn() + Sync)) {
        // A task that broadcasts in turn finds the mailbox in use, and works alone.
        if MAILBOX.state.load(Ordering::Acquire) != EMPTY {
            return task();
        }
        // SAFETY: this call does not return before the second core is done with the task or can no longer take it, and a
        // panic on either core ends the machine, so the borrow outlives every use.
        let lent = unsafe { core::mem::transmute::<Task<'_>, Task<'static>>(task) };
        // SAFETY: EMPTY, so the mailbox is this core's.
        unsafe { *MAILBOX.task.get() = Some(lent) };
        MAILBOX.state.store(POSTED, Ordering::Release);
        wake();
        task();
        let (from, to) = (POSTED, EMPTY);
        if MAILBOX.state.compare_exchange(from, to, Ordering::Acquire, Ordering::Acquire).is_ok() {
            return;
        }
        while MAILBOX.state.load(Ordering::Acquire) != DONE {
            core::hint::spin_loop();
        }
        MAILBOX.state.store(EMPTY, Ordering::Release);
    }
}

/// The second core's life.
// SAFETY: start.s is the only other place with this name, and it calls it as it is declared.
#[unsafe(no_mangle)]
extern "C" fn barre_start_core1() -> ! {
    loop {
        if MAILBOX.state.compare_exchange(POSTED, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_err() {
            wait();
            continue;
        }
        // SAFETY: TAKEN, so the mailbox is this core's, and the task lives until DONE.
        if let Some(task) = unsafe { *MAILBOX.task.get() } {
            task();
        }
        MAILBOX.taken.fetch_add(1, Ordering::Relaxed);
        MAILBOX.state.store(DONE, Ordering::Release);
    }
}

/// Ends the other core's [`wait`]; what was stored before is seen by then.
fn wake() {
    // SAFETY: a barrier and a hint.
    unsafe { asm!("dsb ish", "sev", options(nostack, preserves_flags)) }
}

/// Sleeps until the other core calls [`wake`], at once if it has since the last time.
fn wait() {
    // SAFETY: a hint.
    unsafe { asm!("wfe", options(nomem, nostack, preserves_flags)) }
}
