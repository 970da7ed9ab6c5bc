//! Reads where the board has nothing: prints the fault and exits with 1.

#![no_std]
#![no_main]

use barre_cortex_m::{Error, entry};
use barre_firmware::memory::Heap;
use core::hint::black_box;

#[global_allocator]
static HEAP: Heap<64> = Heap::new();

entry!(main);

fn main() -> Result<(), Error> {
    // SAFETY: none; this is the fault. There is no memory at this address, so that the read never ends.
    black_box(unsafe { (0xdead_0000 as *const u32).read_volatile() });
    Ok(())
}
