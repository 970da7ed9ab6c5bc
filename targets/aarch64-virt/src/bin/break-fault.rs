//! Writes to flash, which the MMU forbids: prints the fault and exits with 1.

#![no_std]
#![no_main]

use barre_aarch64_virt::{Error, entry};
use barre_firmware::memory::Heap;
use barre_firmware::model::MODEL;

#[global_allocator]
static HEAP: Heap<64> = Heap::new();

entry!(main);

fn main() -> Result<(), Error> {
    // SAFETY: none; this is the fault. Flash is mapped read-only, so that the write never happens.
    unsafe { MODEL.as_ptr().cast_mut().write_volatile(0) };
    Ok(())
}
