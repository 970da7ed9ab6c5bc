//! What becomes of a mapped file that another process cuts short.
//!
//! Touching a page that is no longer in the file raises SIGBUS. Nothing can be computed any more, and by default the
//! process would die without a word, so it says why and ends with the code of any failure.

const CAUSE: &[u8] =
    b"error: the model file was cut short, or its disk failed, while it was mapped (`--io read` does without mapping)\n";

/// Has SIGBUS end the process with a line on stderr.
pub(super) fn install() {
    let handler: extern "C" fn(libc::c_int) = end;
    // SAFETY: `end` calls nothing but functions that POSIX allows in a signal handler, and it does not return.
    unsafe {
        libc::signal(libc::SIGBUS, handler as libc::sighandler_t);
    }
}

extern "C" fn end(_: libc::c_int) {
    // SAFETY: the pointer and length are those of a static; `write` and `_exit` are async-signal-safe.
    unsafe {
        libc::write(libc::STDERR_FILENO, CAUSE.as_ptr().cast(), CAUSE.len());
        libc::_exit(1);
    }
}
