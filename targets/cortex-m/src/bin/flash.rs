//! The model in flash, multiplied in place, in 512 KiB of RAM all told.

#![no_std]
#![no_main]

use barre_core::kernels::{Kernels, Serial};
use barre_cortex_m::{Console, Error, entry, stack_figures};
use barre_firmware::demo::{Demo, run};
use barre_firmware::memory::{Arena, Heap};
use barre_firmware::model::{CONTEXT, MODEL, NEW_TOKENS, PROMPT};
use core::fmt::Write as _;

#[global_allocator]
static HEAP: Heap<{ 96 << 10 }> = Heap::new();
static ARENA: Arena<{ 320 << 10 }> = Arena::new();

entry!(main);

fn main() -> Result<(), Error> {
    let mut console = Console::open();
    let demo = Demo {
        kernels: &Kernels::scalar(),
        executor: &Serial,
        arena: ARENA.take(),
        window: None,
        context: CONTEXT,
        batch: 8,
        prompt: PROMPT,
        new_tokens: NEW_TOKENS,
        heap: Some(&|| HEAP.figures()),
    };
    run(&mut &*MODEL, demo, &mut console)?;
    let (used, size) = stack_figures();
    writeln!(console, "stack: {used} of {size} bytes used at the deepest")?;
    Ok(())
}
