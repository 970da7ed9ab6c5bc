//! The model in flash, multiplied in place by one core.

#![no_std]
#![no_main]

use barre_aarch64_virt::{Error, Features, Uart, entry, kernels, stack_figures};
use barre_core::kernels::Serial;
use barre_firmware::demo::run;
use barre_firmware::memory::{Arena, Heap};
use barre_firmware::model::{MODEL, command};
use barre_firmware::text::Number;
use core::fmt::Write as _;

#[global_allocator]
static HEAP: Heap<{ 256 << 10 }> = Heap::new();
static ARENA: Arena<{ 1 << 20 }> = Arena::new();

entry!(main);

fn main() -> Result<(), Error> {
    let features = Features::of_this_core();
    writeln!(Uart, "CPU: {features}")?;
    run(&mut &*MODEL, command(&kernels(features)?, &Serial, ARENA.take(), &|| HEAP.figures()), &mut Uart)?;
    let (used, size) = stack_figures();
    writeln!(Uart, "stack: {} of {} bytes used at the deepest", Number::from(used), Number::from(size))?;
    Ok(())
}
