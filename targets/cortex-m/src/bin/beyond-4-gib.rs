//! A file whose tensors lie beyond 4 GiB, streamed on a CPU with 32-bit addresses.

#![no_std]
#![no_main]

use barre_core::kernels::{Kernels, Serial};
use barre_cortex_m::{Console, Error, entry, fail, stack_figures};
use barre_firmware::demo::{Demo, run};
use barre_firmware::far::Far;
use barre_firmware::memory::{Arena, Heap};
use barre_firmware::model::{MODEL, command};
use barre_firmware::text::Number;
use core::fmt::Write as _;

#[global_allocator]
static HEAP: Heap<{ 192 << 10 }> = Heap::new();
static ARENA: Arena<{ 200 << 10 }> = Arena::new();

entry!(main);

fn main() -> Result<(), Error> {
    let mut console = Console::open();
    let Ok(mut far) = Far::new(MODEL) else { fail(format_args!("the model cannot be stretched")) };
    let kernels = Kernels::scalar();
    let heap = || HEAP.figures();
    let demo = Demo { window: Some(8 << 10), ..command(&kernels, &Serial, ARENA.take(), &heap) };
    run(&mut far, demo, &mut console)?;
    let (used, size) = stack_figures();
    writeln!(console, "stack: {} of {} bytes used at the deepest", Number::from(used), Number::from(size))?;
    writeln!(console, "read: {} bytes from beyond 4 GiB", Number(far.far_bytes))?;
    Ok(())
}
