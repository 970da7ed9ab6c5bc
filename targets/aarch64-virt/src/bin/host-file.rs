//! Any model that is a file of the host, streamed by semihosting: `model.gguf` in the folder that QEMU runs in.

#![no_std]
#![no_main]

use barre_aarch64_virt::{Error, HostFile, Streamed, entry};
use barre_core::io::Stream;
use barre_firmware::memory::Heap;

#[global_allocator]
static HEAP: Heap<{ 16 << 20 }> = Heap::new();

entry!(main);

fn main() -> Result<(), Error> {
    let streamed = Streamed::start(&|| HEAP.figures())?;
    streamed.answer(&mut Stream::new(HostFile::open(c"model.gguf")?))?;
    streamed.tell()
}
