//! Loads the model with far too small a heap: the error says what could not be had, exit code 1.

#![no_std]
#![no_main]

use barre_core::kernels::{Kernels, Serial};
use barre_cortex_m::{Console, Error, entry};
use barre_firmware::demo::{Demo, run};
use barre_firmware::memory::{Arena, Heap};
use barre_firmware::model::{CONTEXT, MODEL, PROMPT};

#[global_allocator]
static HEAP: Heap<{ 4 << 10 }> = Heap::new();
static ARENA: Arena<{ 320 << 10 }> = Arena::new();

entry!(main);

fn main() -> Result<(), Error> {
    let demo = Demo {
        kernels: &Kernels::scalar(),
        executor: &Serial,
        arena: ARENA.take(),
        window: None,
        context: CONTEXT,
        batch: 8,
        prompt: PROMPT,
        new_tokens: 1,
        heap: None,
    };
    run(&mut &*MODEL, demo, &mut Console::open())
}
