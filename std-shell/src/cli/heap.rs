//! One heap for all threads.
//!
//! glibc gives every thread that allocates 64 MiB of addresses of its own. The workers allocate next to nothing, and a
//! process with a limit on its addresses (`ulimit -v`) can't spare them.

/// Has threads that are started from now on allocate from the heap of the first.
pub(super) fn share() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two integers; where it refuses them, nothing has changed.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
