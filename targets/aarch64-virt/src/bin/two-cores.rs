//! The model in flash, multiplied in place by two cores.

#![no_std]
#![no_main]

use barre_aarch64_virt::{Error, Features, TwoCores, Uart, entry, kernels, stack_figures};
use barre_firmware::demo::{Demo, run};
use barre_firmware::memory::{Arena, Heap};
use barre_firmware::model::{CONTEXT, MODEL, NEW_TOKENS, PROMPT};
use core::fmt::Write as _;

#[global_allocator]
static HEAP: Heap<{ 256 << 10 }> = Heap::new();
static ARENA: Arena<{ 1 << 20 }> = Arena::new();

entry!(main);

fn main() -> Result<(), Error> {
    let features = Features::of_this_core();
    writeln!(Uart, "CPU: {features}")?;
    let cores = TwoCores::start()?;
    let demo = Demo {
        kernels: &kernels(features)?,
        executor: &cores,
        arena: ARENA.take(),
        window: None,
        context: CONTEXT,
        batch: CONTEXT,
        prompt: PROMPT,
        new_tokens: NEW_TOKENS,
        heap: Some(&|| HEAP.figures()),
    };
    run(&mut &*MODEL, demo, &mut Uart)?;
    let (used, size) = stack_figures();
    writeln!(Uart, "stack: {used} of {size} bytes used at the deepest")?;
    writeln!(Uart, "second core: took part in {} tasks", cores.tasks_shared())?;
    Ok(())
}
