//! The model in flash, multiplied in place, in 512 KiB of RAM all told.

#![no_std]
#![no_main]

use barre_core::kernels::{Kernels, Serial};
use barre_cortex_m::{Console, Error, entry, stack_figures};
use barre_firmware::demo::run;
use barre_firmware::memory::{Arena, Heap};
use barre_firmware::model::{MODEL, command};
use barre_firmware::text::Number;
use core::fmt::Write as _;

#[global_allocator]
static HEAP: Heap<{ 176 << 10 }> = Heap::new();
static ARENA: Arena<{ 200 << 10 }> = Arena::new();

entry!(main);

fn main() -> Result<(), Error> {
    let mut console = Console::open();
    run(&mut &*MODEL, command(&Kernels::scalar(), &Serial, ARENA.take(), &|| HEAP.figures()), &mut console)?;
    let (used, size) = stack_figures();
    writeln!(console, "stack: {} of {} bytes used at the deepest", Number::from(used), Number::from(size))?;
    Ok(())
}
