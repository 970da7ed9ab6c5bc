//! Loads the model with far too small a heap: the error says what could not be had, exit code 1.

#![no_std]
#![no_main]

use barre_core::kernels::{Kernels, Serial};
use barre_cortex_m::{Console, Error, entry};
use barre_firmware::demo::run;
use barre_firmware::memory::{Arena, Heap};
use barre_firmware::model::{MODEL, command};

#[global_allocator]
static HEAP: Heap<{ 4 << 10 }> = Heap::new();
static ARENA: Arena<{ 200 << 10 }> = Arena::new();

entry!(main);

fn main() -> Result<(), Error> {
    run(
        &mut &*MODEL,
        command(&Kernels::scalar(), &Serial, ARENA.take(), &|| HEAP.figures()),
        &mut Console::open(),
    )
}
