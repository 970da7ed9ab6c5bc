//! Any model that a disk holds, streamed: the disk is the file itself, or has it in a FAT file system.

#![no_std]
#![no_main]

use barre_aarch64_virt::{Disk, Error, Streamed, Uart, entry, with_file};
use barre_core::io::{AbsOffset, ReadAt};
use barre_firmware::memory::Heap;
use barre_firmware::sectors::SectorReader;
use core::fmt::Write as _;

#[global_allocator]
static HEAP: Heap<{ 16 << 20 }> = Heap::new();

entry!(main);

fn main() -> Result<(), Error> {
    let streamed = Streamed::start(&|| HEAP.figures())?;
    let mut disk = SectorReader::new(Disk::open()?);
    let mut magic = [0; 4];
    // A disk without a first sector has no file system either, which is then the error.
    let raw = disk.read_at(AbsOffset::ZERO, &mut magic).is_ok() && &magic == b"GGUF";
    writeln!(Uart, "disk: {}", if raw { "a GGUF file" } else { "a file system" })?;
    if raw {
        streamed.answer(&mut disk)?
    } else {
        with_file(disk.into_inner(), |reader| streamed.answer(reader))??
    }
    streamed.tell()
}
