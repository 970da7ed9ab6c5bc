//! Gives the session less memory than the plan says: the error says how much it is, exit code 1.

#![no_std]
#![no_main]

use barre_aarch64_virt::{Error, Features, Uart, entry, kernels};
use barre_core::kernels::Serial;
use barre_firmware::demo::run;
use barre_firmware::memory::{Arena, Heap};
use barre_firmware::model::{MODEL, command};

#[global_allocator]
static HEAP: Heap<{ 256 << 10 }> = Heap::new();
static ARENA: Arena<4096> = Arena::new();

entry!(main);

fn main() -> Result<(), Error> {
    Ok(run(
        &mut &*MODEL,
        command(&kernels(Features::of_this_core())?, &Serial, ARENA.take(), &|| HEAP.figures()),
        &mut Uart,
    )?)
}
