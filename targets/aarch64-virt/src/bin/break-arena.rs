//! Gives the session less memory than the plan says: the error says how much it is, exit code 1.

#![no_std]
#![no_main]

use barre_aarch64_virt::{Error, Features, Uart, entry, kernels};
use barre_core::kernels::Serial;
use barre_firmware::demo::{Demo, run};
use barre_firmware::memory::{Arena, Heap};
use barre_firmware::model::{CONTEXT, MODEL, PROMPT};

#[global_allocator]
static HEAP: Heap<{ 256 << 10 }> = Heap::new();
static ARENA: Arena<4096> = Arena::new();

entry!(main);

fn main() -> Result<(), Error> {
    let demo = Demo {
        kernels: &kernels(Features::of_this_core())?,
        executor: &Serial,
        arena: ARENA.take(),
        window: None,
        context: CONTEXT,
        batch: CONTEXT,
        prompt: PROMPT,
        new_tokens: 1,
        heap: None,
    };
    Ok(run(&mut &*MODEL, demo, &mut Uart)?)
}
