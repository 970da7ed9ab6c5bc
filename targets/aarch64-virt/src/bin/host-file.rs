//! Any model that is a file of the host, streamed by semihosting: `model.gguf` in the folder that QEMU runs in.

#![no_std]
#![no_main]

use barre_aarch64_virt::{Error, Features, HostFile, TwoCores, Uart, entry, kernels, stack_figures};
use barre_core::io::Stream;
use barre_firmware::demo::{Demo, Task, run};
use barre_firmware::memory::{Arena, Heap};
use barre_firmware::text::Number;
use core::fmt::Write as _;

#[global_allocator]
static HEAP: Heap<{ 16 << 20 }> = Heap::new();
static ARENA: Arena<{ 64 << 20 }> = Arena::new();

/// Bytes of weights in memory at a time.
const WINDOW: usize = 4 << 20;

entry!(main);

fn main() -> Result<(), Error> {
    let features = Features::of_this_core();
    writeln!(Uart, "CPU: {features}")?;
    let cores = TwoCores::start()?;
    let demo = Demo {
        kernels: &kernels(features)?,
        executor: &cores,
        arena: ARENA.take(),
        window: Some(WINDOW),
        context: 64,
        batch: 64,
        task: Task::Continue("Once", 2),
        heap: Some(&|| HEAP.figures()),
    };
    run(&mut Stream::new(HostFile::open(c"model.gguf")?), demo, &mut Uart)?;
    let (used, size) = stack_figures();
    writeln!(Uart, "stack: {} of {} bytes used at the deepest", Number::from(used), Number::from(size))?;
    Ok(())
}
