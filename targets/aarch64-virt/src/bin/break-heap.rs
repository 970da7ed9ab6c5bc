//! Loads the model with far too small a heap: the error says what could not be had, exit code 1.

#![no_std]
#![no_main]

use barre_aarch64_virt::{Error, Features, Uart, entry, kernels};
use barre_core::kernels::Serial;
use barre_firmware::demo::run;
use barre_firmware::memory::{Arena, Heap};
use barre_firmware::model::{MODEL, command};

#[global_allocator]
static HEAP: Heap<{ 4 << 10 }> = Heap::new();
static ARENA: Arena<{ 1 << 20 }> = Arena::new();

entry!(main);

fn main() -> Result<(), Error> {
    Ok(run(
        &mut &*MODEL,
        command(&kernels(Features::of_this_core())?, &Serial, ARENA.take(), &|| HEAP.figures()),
        &mut Uart,
    )?)
}
