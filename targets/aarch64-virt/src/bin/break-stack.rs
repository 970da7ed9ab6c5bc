//! Fills the stack until it meets the unmapped page below it: prints the fault and exits with 1.

#![no_std]
#![no_main]

use barre_aarch64_virt::{Error, entry};
use barre_firmware::memory::Heap;
use core::hint::black_box;

#[global_allocator]
static HEAP: Heap<64> = Heap::new();

entry!(main);

fn main() -> Result<(), Error> {
    black_box(deeper(black_box(1)));
    Ok(())
}

fn deeper(n: u64) -> u64 {
    let frame = black_box([n; 64]);
    if n == 0 { 0 } else { deeper(black_box(n + 1)) + frame[63] }
}
