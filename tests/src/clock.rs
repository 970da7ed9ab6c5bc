//! Time that other processes don't spoil.

use std::time::Duration;

/// Processor time of this thread: it doesn't pass while others have the processor.
#[must_use]
pub fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
