//! The logger of images with defmt: frames go to a file of the host, `log.defmt` in the folder that QEMU runs in.
//!
//! A board would write them to RTT or a UART instead; what is logged stays the same.

#![allow(unsafe_code, reason = "defmt's logger is a set of unsafe functions, and an encoder without a lock")]

use core::cell::UnsafeCell;
use defmt::Encoder;
use semihosting::fs::File;
use semihosting::io::Write as _;

#[defmt::global_logger]
struct Log;

struct State(UnsafeCell<(Encoder, Option<File>)>);

// SAFETY: the boards have one core, and no interrupt logs.
unsafe impl Sync for State {}

static STATE: State = State(UnsafeCell::new((Encoder::new(), None)));

fn with(f: impl FnOnce(&mut Encoder, &mut dyn FnMut(&[u8]))) {
    // SAFETY: as above; nothing that runs inside comes back here.
    let (encoder, file) = unsafe { &mut *STATE.0.get() };
    if file.is_none() {
        *file = File::create(c"log.defmt").ok();
    }
    // A log that cannot be written has nowhere to say so.
    f(encoder, &mut |bytes| {
        let _ = file.as_mut().map(|file| file.write_all(bytes));
    });
}

// SAFETY: `acquire` and `release` come in pairs, with nothing between them but `write`.
unsafe impl defmt::Logger for Log {
    fn acquire() {
        with(|encoder, write| encoder.start_frame(write));
    }

    unsafe fn flush() {}

    unsafe fn release() {
        with(|encoder, write| encoder.end_frame(write));
    }

    unsafe fn write(bytes: &[u8]) {
        with(|encoder, write| encoder.write(bytes, write));
    }
}
