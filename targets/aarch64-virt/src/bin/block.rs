//! Any model that a disk holds, streamed: the disk is the file itself, or has it in a FAT file system.
//!
//! The whole machine has 128 MiB of RAM; the arena is the session's, whatever the size of the file.

#![no_std]
#![no_main]

use barre_aarch64_virt::{Disk, Error, Features, TwoCores, Uart, entry, kernels, stack_figures, with_file};
use barre_core::io::{AbsOffset, ReadAt};
use barre_firmware::demo::{Demo, Failure, Task, run};
use barre_firmware::memory::{Arena, Heap};
use barre_firmware::sectors::SectorReader;
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
    let kernels = kernels(features)?;
    let cores = TwoCores::start()?;
    let answer = |reader: &mut dyn ReadAt| -> Result<(), Failure> {
        let demo = Demo {
            kernels: &kernels,
            executor: &cores,
            arena: ARENA.take(),
            window: Some(WINDOW),
            context: 64,
            batch: 64,
            task: Task::Continue("Once", 2),
            heap: Some(&|| HEAP.figures()),
        };
        run(reader, demo, &mut Uart)
    };

    let mut disk = SectorReader::new(Disk::open()?);
    let mut magic = [0; 4];
    // A disk without a first sector has no file system either, which is then the error.
    let raw = disk.read_at(AbsOffset::ZERO, &mut magic).is_ok() && &magic == b"GGUF";
    writeln!(Uart, "disk: {}", if raw { "a GGUF file" } else { "a file system" })?;
    if raw {
        answer(&mut disk)?
    } else {
        with_file(disk.into_inner(), answer)??
    }
    let (used, size) = stack_figures();
    writeln!(Uart, "stack: {} of {} bytes used at the deepest", Number::from(used), Number::from(size))?;
    writeln!(Uart, "second core: took part in {} tasks", Number(cores.tasks_shared().into()))?;
    Ok(())
}
